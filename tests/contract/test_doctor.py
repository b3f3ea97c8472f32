"""The doctor finds what is wrong, says it in a sentence, and shows no secret."""

from __future__ import annotations

import json
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from tests.cli_kit import command, stranger
from tests.redis_server import RedisServer
from thrift_plugins import Config, Runtime
from thrift_plugins.cli.checks import State, installed, versions
from thrift_plugins.cli.checks.storage import release
from thrift_plugins.ledger import Cost, Event
from thrift_plugins.types import NO_USAGE, Patch, Scope, Usage


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    stranger(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def configured(text: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """Exit code and findings under a `thrift.toml`."""
    Path("thrift.toml").write_text(text)
    return examined()


def examined() -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    result = command("doctor", "--json")
    told = json.loads(result.stdout)
    assert told["ok"] == (result.exit_code == 0)
    return result.exit_code, {(entry["area"], entry["name"]): entry for entry in told["findings"]}


def test_a_fresh_machine_is_well():
    code, found = examined()
    assert code == 0
    assert {entry["state"] for entry in found.values()} <= {"ok", "note"}
    assert found["store", "file"]["what"].startswith("mode 600")
    assert found["ledger", "events"]["what"] == "none yet"
    assert {"python", "langchain-core", "llama-index-core", "redis", "tiktoken", "genai-prices"} <= {
        name for area, name in found if area == "versions"
    }
    assert found["on", "routing"]["what"] == "on: by rules, caution 0.5"


def test_people_get_a_table_of_80_columns():
    result = command("doctor")
    assert result.exit_code == 0
    assert "All is well." in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("[cache]\ntl = 3\n", ("config", "settings"), "no setting 'tl'. Did you mean 'ttl'?"),
        ("[cache\n", ("config", "settings"), "is not TOML"),
        ('store = "mysql://x"\n', ("store", "open"), "no store has the scheme 'mysql'"),
        ('store = "redis://127.0.0.1:1"\n', ("store", "open"), "set THRIFT_SECRET"),
        ('[ledger]\nurl = "ftp://x"\n', ("ledger", "events"), "no event log has the scheme 'ftp'"),
        ("[prices.m]\ninput = 1.0\n", ("prices", "overrides"), "needs 'output'"),
    ],
)
def test_a_setting_that_cannot_work(text: str, where: tuple[str, str], says: str):
    code, found = configured(text)
    assert code == 1
    assert found[where]["state"] == "wrong"
    assert says in found[where]["what"]
    assert "1 thing to repair." in command("doctor").output


def test_a_named_file_that_is_not_there():
    result = command("doctor", "--config", "nowhere.toml")
    assert result.exit_code == 1
    assert "cannot read nowhere.toml" in " ".join(result.output.split())


def test_a_damaged_store_file():
    Path("a.db").write_bytes(b"no database at all, just words" * 100)
    code, found = configured('store = "a.db"\n')
    assert code == 1
    assert "is not a SQLite file" in found["store", "open"]["what"]


def test_a_store_that_others_may_read():
    configured('store = "a.db"\n')
    Path("a.db").chmod(0o644)
    code, found = examined()
    assert code == 1
    assert "chmod 600" in found["store", "file"]["what"]


def test_memory_is_worth_a_note():
    code, found = configured('store = "memory:"\n')
    assert code == 0
    assert found["store", "lifetime"]["state"] == "note"


def test_a_redis_server(redis: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THRIFT_SECRET", "the words that nobody may see")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody-may-see")
    code, found = configured(f'store = "{redis.patient_url}"\n')
    assert code == 0, found
    assert found["store", "server"]["what"].startswith(("Redis ", "Valkey "))
    assert "noeviction" in found["store", "memory"]["what"]
    assert found["keys", "OPENAI_API_KEY"]["what"] == "set"
    assert b"doctor" not in redis.ask("KEYS", "*")


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "THRIFT_SECRET"):
        monkeypatch.setenv(name, "nobody-may-see-this")
    Path("thrift.toml").write_text('store = "redis://user:nobody-may-see-this@127.0.0.1:1"\n')
    for words in (["doctor"], ["doctor", "--json"]):
        result = command(*words)
        assert result.exit_code == 1
        assert "nobody-may-see" not in result.output


def test_a_full_server_that_evicts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THRIFT_SECRET", "the words that nobody may see")
    with RedisServer(tmp_path, "--maxmemory", "64mb", "--maxmemory-policy", "noeviction") as server:
        _, found = configured(f'store = "{server.patient_url}"\n')
    assert found["store", "memory"]["state"] == "note"
    assert "use volatile-lru" in found["store", "memory"]["what"]


def test_a_server_that_is_gone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THRIFT_SECRET", "the words that nobody may see")
    code, found = configured('store = "valkey://127.0.0.1:1"\n')
    assert code == 1
    assert "calls are made without a cache" in found["store", "write and read"]["what"]
    assert found["store", "server"]["state"] == "note"


@pytest.mark.parametrize(
    ("name", "version", "state"),
    [
        ("Redis", "6.2.19", State.note),
        ("Redis", "6.2.20", State.ok),
        ("Redis", "7.0.15", State.note),
        ("Redis", "7.2.10", State.note),
        ("Redis", "7.2.11", State.ok),
        ("Redis", "7.4.6", State.ok),
        ("Redis", "8.0.3", State.note),
        ("Redis", "8.0.4", State.ok),
        ("Redis", "8.2.1", State.note),
        ("Redis", "8.2.2", State.ok),
        ("Redis", "8.4.0", State.ok),
        ("Redis", "5.0.14", State.note),
        ("Valkey", "7.2.10", State.note),
        ("Valkey", "8.0.6", State.ok),
        ("Valkey", "8.1.3", State.note),
        ("Valkey", "8.1.4", State.ok),
        ("Valkey", "9.0.0", State.ok),
        ("Redis", "", State.note),
    ],
)
def test_versions_with_the_hole(name: str, version: str, state: State):
    assert release(name, version).state is state


def test_what_the_ledger_holds():
    with Path("thrift.toml").open("w") as file:
        file.write('store = "a.db"\n[prices.house-model]\ninput = 0.1\noutput = 0.2\n')
    runtime = Runtime(Config.load("thrift.toml"))
    for number, model in enumerate(["gpt-4o", "gpt-4o", "house-model", "no-such-model"]):
        cost = Cost(model, Usage(10, 5, source="provider"))
        runtime.ledger.append(
            Event(f"e{number}", 1_790_000_000.0 + number, "langchain", Scope(), "answered", cost, model)
        )
    runtime.close()
    code, found = examined()
    assert code == 0
    assert found["ledger", "events"]["what"] == "4, the last on 2026-09-21 at 14:13 UTC"
    assert found["prices", "known"]["what"] == "gpt-4o, house-model"
    assert found["prices", "overrides"]["what"] == "yours for house-model"
    assert found["prices", "unknown"]["state"] == "note"
    assert "1 calls of no-such-model are in no sum" in found["prices", "unknown"]["what"]


def test_what_is_off():
    _, found = configured("[cache]\nenabled = false\n[routing]\nenabled = false\n[ledger]\nenabled = false\n")
    assert [found["on", name]["what"][:3] for name in ("response cache", "routing", "ledger")] == ["off"] * 3
    assert ("ledger", "events") not in found


def test_how_prompts_are_compressed():
    _, found = configured("[compression]\nenabled = true\n[compression.features.rag]\nratio = 4.0\n")
    assert found["on", "prompt compression"]["what"] == "on: nothing is left out, only spelling changes; rag: ratio 4"
    assert examined()[1]["lately", "calls"]["what"].startswith("none in the last 30 days")
    _, found = configured("")
    assert found["on", "prompt compression"]["what"] == "off"


def test_which_students_there_are():
    _, found = configured("[distillation]\nrecord = ['intent']\n")
    assert found["on", "local students"]["what"] == "off; answers of intent are recorded"
    _, found = configured("[distillation]\nenabled = true\n")
    assert found["on", "local students"]["what"] == "on: all that are in their folder, 0.96 agreement"


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    distribution = installed.distribution

    def lacking(name: str):
        if name in ("llama-index-core", "langchain-openai", "redis", "genai-prices"):
            raise PackageNotFoundError(name)
        return distribution(name)

    monkeypatch.setattr(installed, "distribution", lacking)
    found = {finding.name: finding for finding in versions()}
    assert found["llama-index-core"].state is State.note
    assert "LlamaIndex half cannot be used" in found["llama-index-core"].what
    assert found["langchain-openai"].state is State.ok
    assert found["redis"].state is State.wrong
    assert found["genai-prices"].state is State.wrong


def test_an_old_price_list(monkeypatch: pytest.MonkeyPatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100 * 86_400)
    (listed,) = [finding for finding in versions() if finding.name == "genai-prices"]
    assert listed.state is State.note
    assert "pip install -U" in listed.what


RAG = Usage(4_000, 300, source="provider")


def lived(count: int, *, feature: str = "rag", usage: Usage = RAG, ago: float = 86_400.0) -> None:
    """Calls of a feature on the default ledger, half of them from the cache."""
    runtime = Runtime()
    cost = Cost("gpt-4o", usage)
    for number in range(count):
        at = time.time() - ago + number
        name = f"{feature}-{number}"
        if number % 2:
            hit = Patch("cache", "made", before=True, after=False)
            event = Event(
                name, at, "langchain", Scope(feature=feature), "hit", cost, "", NO_USAGE, "stop", patches=(hit,)
            )
        else:
            event = Event(name, at, "langchain", Scope(feature=feature), "answered", cost, "gpt-4o", usage, "stop")
        runtime.ledger.append(event)
    runtime.close()


def test_what_each_tactic_did_lately_and_what_to_turn_on_next():
    lived(200)
    lived(200, feature="mail", usage=Usage(200, 900, source="provider"))
    lived(100, feature="old", ago=40 * 86_400)
    code, found = examined()
    assert code == 0
    assert found["lately", "calls"]["what"].startswith("400 calls in 30 days: $")
    assert "(50.0%)" in found["lately", "cache"]["what"]
    assert found["lately", "routing"] == {
        "area": "lately",
        "name": "routing",
        "state": "note",
        "what": "is on and has done nothing",
    }
    told = [found["next", f"{place}."]["what"] for place in (1, 2, 3)]
    assert any("batch" in each and "“rag”" in each for each in told), told
    assert any("[output.features.mail]" in each or "“mail” as a batch" in each for each in told), told
    assert not any("“old”" in each for each in told)
    amounts = [float(each.partition("$")[2].split()[0].replace(",", "")) for each in told if "$" in each]
    assert amounts == sorted(amounts, reverse=True)


def test_with_no_call_lately_nothing_is_advised():
    lived(10, ago=40 * 86_400)
    _, found = examined()
    assert found["lately", "calls"]["what"].startswith("none in the last 30 days")
    assert not [name for area, name in found if area == "next"]
