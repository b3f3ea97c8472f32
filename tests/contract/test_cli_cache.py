"""`thrift-plugins cache`: statistics, forgetting, copies, files and warm-up, on real stores of a stranger's machine."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli_kit import command, stranger
from tests.langchain_kit import CHEAP, STRONG, chat
from tests.langchain_kit import thrift as chat_model
from tests.llama_index_kit import openai, user
from tests.redis_server import RedisServer
from thrift_plugins import Config, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.stores import SQLiteStore
from thrift_plugins.testing import LoopbackProvider

TOML = 'store = "sqlite:///answers.db"\n'


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)
    Path("thrift.toml").write_text(TOML, encoding="utf-8")


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


def ask_around(provider: LoopbackProvider) -> None:
    """Two tenants, two features, one document: five answers and three hits."""
    runtime = Runtime("thrift.toml")
    model = chat_model(provider, runtime)
    for tenant, feature, question in (
        ("acme", "faq", "What is a refund?"),
        ("acme", "faq", "What is a refund?"),
        ("acme", "docs", "What is a delivery?"),
        ("globex", "faq", "What is a refund?"),
        ("globex", "faq", "What is a refund?"),
        ("globex", "faq", "What is a refund?"),
        ("globex", "docs", "What is a delivery?"),
        ("", "", "What is a tensor?"),
    ):
        with scope(tenant=tenant, feature=feature, tags="doc:7" if feature == "docs" else ()):
            model.invoke(question)
    runtime.close()


def told(*words: str) -> dict[str, Any]:
    result = command("cache", *words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def entries(url: str = "answers.db") -> int:
    return int(told("stats", "--store", url)["entries"])


def test_stats_tell_the_store_and_the_ledger(provider: LoopbackProvider):
    ask_around(provider)
    figures = told("stats")
    assert (figures["entries"], figures["calls"], figures["hits"], figures["hit_rate"]) == (5, 8, 3, 3 / 8)
    assert figures["tags"] == {"feature:faq": 2, "feature:docs": 2, "doc:7": 2}
    assert sorted(figures["tenants"].values()) == [1, 2, 2]
    assert figures["bytes"] > 0
    assert 0 <= figures["newest_s"] <= figures["oldest_s"] < 60
    assert {name: line["hits"] for name, line in figures["by_tenant"].items()} == {"acme": 1, "globex": 2, "": 0}
    assert {name: line["hits"] for name, line in figures["by_feature"].items()} == {"faq": 3, "docs": 0, "": 0}
    assert sum(line["saved_usd"] for line in figures["by_day"].values()) == pytest.approx(figures["saved_usd"])
    assert figures["saved_usd"] > 0


def test_stats_of_one_tenant_count_that_one_alone(provider: LoopbackProvider):
    ask_around(provider)
    figures = told("stats", "--tenant", "globex")
    assert (figures["entries"], figures["calls"], figures["hits"]) == (2, 4, 2)
    assert list(figures["by_tenant"]) == ["globex"]


def test_stats_tell_how_the_semantic_tier_does(provider: LoopbackProvider):
    toml = f"{TOML}[cache.semantic]\nenabled = true\n"
    Path("thrift.toml").write_text(toml, encoding="utf-8")
    assert told("stats")["semantic"] == []
    runtime = Runtime("thrift.toml")
    model = chat_model(provider, runtime)
    with scope(feature="faq"):
        model.invoke("How do I change my delivery address?")
        model.invoke("hi, how do i change my delivery address? thanks")
    runtime.close()
    (line,) = told("stats")["semantic"]
    assert line["name"].startswith("faq on ")
    assert (line["mode"], line["lookups"], line["hits"], line["checked"]) == ("trial", 2, 1, 1)
    assert "semantic" in told("stats", "--tenant", "acme")
    words = " ".join(command("cache", "stats").output.split())
    assert "Semantic tier" in words
    assert "trial" in words


def test_stats_are_for_people_too(provider: LoopbackProvider):
    empty = command("cache", "stats")
    assert "0 answers" in empty.output
    assert "The ledger has no calls." in empty.output
    ask_around(provider)
    words = " ".join(command("cache", "stats").output.split())
    for said in ("5 answers", "8 calls, 3 hits (37.5%)", "By tenant", "By feature", "By day", "globex", "doc:7 (2)"):
        assert said in words


def test_a_store_in_memory_is_not_there_for_others():
    result = command("cache", "stats", "--store", "memory:")
    assert result.exception is not None
    assert "its own process only" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "forgotten", "left"),
    [
        (("--tag", "doc:7"), 2, 3),
        (("--feature", "faq"), 2, 3),
        (("--feature", "faq", "--tenant", "acme"), 1, 4),
        (("--tenant", "globex"), None, 3),
        (("--tenant", ""), None, 4),
        (("--tag", "nothing has it"), 0, 5),
    ],
)
def test_forget(provider: LoopbackProvider, options: tuple[str, ...], forgotten: int | None, left: int):
    ask_around(provider)
    assert told("forget", *options) == {"forgotten": forgotten}
    assert entries() == left


def test_forget_one_key_and_clear_all(provider: LoopbackProvider):
    ask_around(provider)
    with closing(SQLiteStore(Path("answers.db"))) as store:
        key = next(iter(store.scan())).key
    assert told("forget", "--key", key) == {"forgotten": None}
    assert entries() == 4
    refused = command("cache", "clear")
    assert refused.exit_code == 1
    assert entries() == 4
    assert told("clear", "--yes") == {"cleared": True}
    assert entries() == 0


@pytest.mark.parametrize("options", [(), ("--tag", "a", "--feature", "b"), ("--key", "a", "--tenant", "b")])
def test_what_to_forget_must_be_clear(options: tuple[str, ...]):
    assert command("cache", "forget", *options).exit_code != 0


def test_a_copy_answers_as_the_original(provider: LoopbackProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ask_around(provider)
    monkeypatch.setenv("THRIFT_SECRET", "of the test suite, long enough")
    with RedisServer(tmp_path) as server:
        copied = told("copy", server.patient_url)
        assert (copied["entries"], copied["refused"]) == (5, 0)
        runtime = Runtime(Config(store=server.patient_url))
        billed = len(provider.billed)
        with scope(tenant="globex", feature="faq"):
            assert chat_model(provider, runtime).invoke("What is a refund?").response_metadata["thrift"]["hit"]
        assert len(provider.billed) == billed
        assert runtime.forget(tag="doc:7") == 2
        runtime.close()


def test_a_copy_with_limits_is_as_small_as_asked(provider: LoopbackProvider):
    ask_around(provider)
    assert told("copy", "few.db", "--most", "2")["entries"] == 2
    assert entries("few.db") == 2
    assert told("copy", "small.db", "--max-bytes", "1")["entries"] == 0
    assert told("copy", "one.db", "--tenant", "acme")["entries"] == 2


def test_a_file_without_answers_holds_no_word_of_them(provider: LoopbackProvider):
    ask_around(provider)
    said = chat(provider, CHEAP).invoke("What is a refund?").text[:20]
    assert told("export", "index.jsonl") == {"written": 5}
    text = Path("index.jsonl").read_text()
    assert said not in text
    assert stat.S_IMODE(Path("index.jsonl").stat().st_mode) == 0o600
    assert [len(json.loads(line)) for line in text.splitlines()[1:]] == [5] * 5
    result = command("cache", "import", "index.jsonl")
    assert "without the answers" in str(result.exception)


def test_a_file_with_answers_reads_back(provider: LoopbackProvider):
    ask_around(provider)
    told("export", "all.jsonl", "--with-answers")
    back = told("import", "all.jsonl", "--store", "other.db")
    assert (back["entries"], back["refused"]) == (5, 0)
    with closing(SQLiteStore(Path("answers.db"))) as store, closing(SQLiteStore(Path("other.db"))) as other:
        kept = {entry.key: (entry.value, entry.tags) for entry in store.scan()}
        assert {entry.key: (entry.value, entry.tags) for entry in other.scan()} == kept


def test_what_was_forgotten_does_not_come_back_by_a_file(provider: LoopbackProvider):
    ask_around(provider)
    told("export", "all.jsonl", "--with-answers")
    told("forget", "--tag", "doc:7")
    assert told("import", "all.jsonl")["refused"] == 2
    assert entries() == 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{}", "line 2"),
        (b"nonsense", "line 2"),
        (b'{"key":"x","written":1,"expires":null,"tags":[],"answer":{}}', "not an address"),
        (b'{"key":"{-}:' + b"a" * 64 + b'","written":1,"expires":null,"tags":[""],"answer":{}}', "not words"),
        (b'{"key":"{-}:' + b"a" * 64 + b'","written":"x","expires":null,"tags":[],"answer":{}}', "line 2"),
    ],
)
def test_a_line_that_is_no_entry_is_named_and_nothing_is_kept(line: bytes, problem: str):
    head = b'{"kind":"thrift cache","schema":1,"answers":true}\n'
    Path("bad.jsonl").write_bytes(head + line + b"\n")
    result = command("cache", "import", "bad.jsonl")
    assert problem in str(result.exception)
    assert entries() == 0


@pytest.mark.parametrize("text", [b"", b"[]\n", b"{}\n", b'{"kind":"header","schema":1}\n'])
def test_a_file_that_is_not_ours_is_refused(text: bytes):
    Path("bad.jsonl").write_bytes(text)
    assert "not a cache written" in str(command("cache", "import", "bad.jsonl").exception)


# Warm-up --------------------------------------------------------------------------------------------------------------

HEADER = {
    "kind": "header", "schema": 1, "name": "faq", "start": "2026-10-01T00:00:00Z",
    "prices_usd_per_million_tokens": {STRONG: {"input": 2.5, "output": 10.0}},
}  # fmt: skip


def row(number: int, question: str, **more: Any) -> dict[str, Any]:
    arm = {"text": f"Recorded {number}.", "score": 1.0, "usage": {"input_tokens": 9, "output_tokens": 3}}
    return {
        "id": f"r{number}", "t": number, "tenant": "acme", "user": "u", "feature": "faq", "deadline_s": None,
        "messages": [{"role": "user", "content": question}], "tools": None, "params": {}, "baseline": STRONG,
        "arms": {STRONG: arm}, "check": {"kind": "recorded"}, **more,
    }  # fmt: skip


def recording() -> str:
    rows = [
        row(1, "What is a refund?"),
        row(2, "What is a refund?"),
        row(3, "Name a colour.", params={"temperature": 1.0}),
        row(4, "What is a delivery?", arms={STRONG: {**row(4, "")["arms"][STRONG], "text": None}}),
    ]
    Path("faq.jsonl").write_text("\n".join(map(json.dumps, [HEADER, *rows])), encoding="utf-8")
    return "faq.jsonl"


def app(monkeypatch: pytest.MonkeyPatch, model: object) -> None:
    """The app's own module, as `--app` imports it."""
    import sys
    from types import ModuleType

    module = ModuleType("own_app")
    module.model = model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_app", module)


def test_warm_up_fills_the_cache_of_a_chat_model(provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch):
    runtime = Runtime("thrift.toml")
    model = ThriftChatModel(tiers=[chat(provider, STRONG)], runtime=runtime)
    app(monkeypatch, model)
    assert told("warm", recording(), "--app", "own_app:model") == {
        "kept": 1,
        "known": 1,
        "not_kept": 1,
        "not_recorded": 1,
    }
    with scope(tenant="acme"):
        assert model.invoke("What is a refund?").text == "Recorded 1."
    assert runtime.ledger is not None
    assert [record["outcome"] for record in runtime.ledger.records()] == ["hit"]
    assert not provider.billed
    runtime.close()


def test_warm_up_fills_the_cache_of_an_llm(provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch):
    runtime = Runtime("thrift.toml")
    llm = ThriftLLM(tiers=[openai(provider, STRONG)], runtime=runtime)
    app(monkeypatch, llm)
    assert told("warm", recording(), "--app", "own_app:model")["kept"] == 1
    with scope(tenant="acme"):
        assert llm.chat(user("What is a refund?")).message.content == "Recorded 1."
    assert not provider.billed
    runtime.close()


@pytest.mark.parametrize("path", ["own_app:nothing", "no_such_module:model", "own_app", "own_app:model"])
def test_an_app_that_is_none_is_named(path: str, monkeypatch: pytest.MonkeyPatch):
    app(monkeypatch, object())
    result = command("cache", "warm", recording(), "--app", path)
    assert path in str(result.exception)
