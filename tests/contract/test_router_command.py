"""`thrift-plugins router`, and an app that uses what it has made."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from tests.cli_kit import ROOT, command, stranger
from tests.llama_index_kit import openai
from tests.unit.test_learned_router import world
from thrift_plugins import CacheConfig, Config, ConfigError, RoutingConfig, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.routed import open_router
from thrift_plugins.routing import LearnedRouter
from thrift_plugins.routing.learned import _digest
from thrift_plugins.testing import LoopbackProvider
from thrift_plugins.types import Message, Request, Scope, Tier

EASY = "Please tell me about the opening hours of case 7, thanks."
HARD = "Please tell me about the prove the theorem of case 7, thanks."


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)


def labels(name: str, count: int, seed: int = 1) -> str:
    lines = [
        json.dumps({"prompt": each.request.messages[0].text, "feature": "faq", "scores": dict(each.scores)})
        for each in world(count, seed=seed)
    ]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def trained() -> None:
    done = command("router", "train", labels("labels.jsonl", 700), "--tiers", "small,large", "--quality", "0.95")
    assert done.exit_code == 0
    assert "faq" in done.stdout
    assert "thrift-plugins router promote candidate.json" in " ".join(done.stdout.split())


def in_force() -> None:
    trained()
    Path("candidate.json").rename("router.json")


def test_from_labels_to_an_app() -> None:
    trained()
    done = command("router", "evaluate", labels("others.jsonl", 500, seed=8), "--json", "figures.json")
    assert "at least what was promised" in " ".join(done.stdout.split())
    figures = json.loads(Path("figures.json").read_text())
    assert figures["quality"] >= 0.95
    assert figures["cheaper_share"] > 0.3
    assert command("router", "explain", EASY, "--feature", "faq").stdout.startswith("small: expected quality")
    assert command("router", "explain", HARD, "--feature", "faq").stdout.startswith("large: expected quality")


def test_an_app_uses_it() -> None:
    in_force()
    with LoopbackProvider() as provider:
        config = Config(store="memory:", cache=CacheConfig(enabled=False), routing=RoutingConfig(router="router.json"))
        runtime = Runtime(config)
        tiers = [
            ChatOpenAI(model=name, base_url=provider.base_url, api_key="k", max_retries=0)
            for name in ("gpt-4o-mini", "gpt-4o")
        ]
        model = ThriftChatModel(tiers=tiers, names=["small", "large"], runtime=runtime)
        with scope(feature="faq"):
            answers = [model.invoke(text) for text in (EASY, HARD)]
        assert [request.model for request in provider.requests] == ["gpt-4o-mini", "gpt-4o"]
        assert [each.response_metadata["thrift"]["policy"] for each in answers] == ["learned", "learned"]
        both = [openai(provider, "gpt-4o-mini"), openai(provider, "gpt-4o")]
        llm = ThriftLLM(tiers=both, names=["small", "large"], runtime=runtime)
        with scope(feature="faq"):
            llm.complete(EASY)
            llm.complete(HARD)
        llm.complete(EASY)
        assert [request.model for request in provider.requests[2:]] == ["gpt-4o-mini", "gpt-4o", "gpt-4o"]
        runtime.close()


def test_what_cannot_be_used_is_told() -> None:
    few = command("router", "train", labels("few.jsonl", 30), "--tiers", "small,large")
    assert "100 are needed" in str(few.exception)
    with pytest.raises(ConfigError, match="no router can be read"):
        Runtime(Config(store="memory:", routing=RoutingConfig(router="none.json")))
    trained()
    other = command("router", "evaluate", labels("others.jsonl", 20), "--router", "labels.jsonl")
    assert "train it anew" in str(other.exception)
    Path("none.jsonl").write_text('{"prompt": "x", "scores": {"other": 1}}\n')
    assert "no example has a score" in str(command("router", "evaluate", "none.jsonl").exception)


def test_a_router_that_checks_answers_is_tried_on_answers() -> None:
    """Without them nobody knows what it would have let stand: not all, and not at the cheap tier's price alone."""

    def written(name: str, seed: int, share: float) -> str:
        lines = []
        for number, each in enumerate(world(600, seed=seed)):
            good, told = each.scores["small"] > 0.5, {"prompt": each.request.messages[0].text, "scores": dict(each.scores)}
            answers = {"small": f"It comes to {5 if good else 77_777}.", "large": "It comes to 5."}
            lines.append(json.dumps({**told, "answers": answers} if number < share * 600 else told))
        Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return name

    train = ("router", "train", written("labels.jsonl", 1, 1.0), "--tiers", "small,large", "--quality", "0.95")
    assert command(*train).exit_code == 0
    assert json.loads(Path("candidate.json").read_text())["promises"]["*"][4] is not None, "it checks answers"
    for words in (("evaluate",), ("promote", "candidate.json", "--router", "other.json")):
        verb, *rest = words
        refused = command("router", verb, *rest[:1], written("bare.jsonl", 8, 0.0), *rest[1:])
        assert "no example has the answer of small" in str(refused.exception)
    told = command("router", "evaluate", written("some.jsonl", 8, 0.5))
    assert told.stdout.startswith("300 examples")
    assert "at least what was promised" in " ".join(told.stdout.split())


def test_the_curve_is_drawn() -> None:
    trained()
    done = command("router", "evaluate", labels("others.jsonl", 300, seed=8), "--html", "curve.html")
    assert "% of the cost" in done.stdout
    assert " o" in done.stdout or "*o" in done.stdout or "o" in done.stdout.split("|", 1)[1]
    page = Path("curve.html").read_text(encoding="utf-8")
    assert "<polyline" in page
    assert "promised: 95%" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_only_a_better_router_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    trained()
    others = labels("others.jsonl", 500, seed=8)
    done = command("router", "promote", "candidate.json", others)
    assert "is in force as router.json" in " ".join(done.stdout.split())
    again = command("router", "promote", "candidate.json", others)
    assert "does not beat the router in force" in str(again.exception)
    assert "no router before" in str(command("router", "rollback").exception)
    first = Path("router.json").read_text()
    made = LearnedRouter.load("router.json")
    wary = replace(made.promises["faq"], limit=-0.05)
    replace(made, promises={**made.promises, "faq": wary}).save(Path("router.json"))
    before = Path("router.json").read_text()
    there = []
    moved = Path.replace
    monkeypatch.setattr(Path, "replace", lambda old, new: (moved(old, new), there.append(Path("router.json").exists())))
    assert command("router", "promote", "candidate.json", others).exit_code == 0
    assert there, "and an app that starts meanwhile finds a router"
    assert all(there)
    assert Path("router.json").read_text() == first
    assert command("router", "rollback").exit_code == 0
    assert Path("router.json").read_text() == before


def wary(trusted: str, by: float) -> bytes:
    """A router that routes less."""
    made = LearnedRouter.load(trusted)
    promise = replace(made.promises["faq"], limit=-by)
    replace(made, promises={**made.promises, "faq": promise}).save(Path("wary.json"))
    return Path("wary.json").read_bytes()


def test_commands_that_change_it_at_once() -> None:
    """A worker that starts meanwhile reads a whole router, and so are those that were in force before."""
    trained()
    Path("router.json").write_bytes(wary("candidate.json", 0.05))
    asked = [sys.executable, "-m", "tests.promotions_worker"]
    files = [str(Path(name).absolute()) for name in ("candidate.json", "router.json")]
    workers = [subprocess.Popen([*asked, *files], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    while any(worker.poll() is None for worker in workers):
        LearnedRouter.load("router.json")
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert all(int(worker.communicate()[0]) for worker in workers)
    there = sorted(path.name for path in Path().glob("*router.json*"))
    assert there[0] == ".router.json.lock"
    for name in there[1:]:
        LearnedRouter.load(name)


def test_a_promotion_that_was_killed_can_be_taken_back() -> None:
    in_force()
    first, now = Path("router.json").read_bytes(), wary("router.json", 0.05)
    Path("router.json.2").write_bytes(first)  # killed before it had written what is in force as the first
    Path("router.json").write_bytes(now)
    assert command("router", "rollback").exit_code == 0
    assert Path("router.json").read_bytes() == first
    Path("router.json").write_bytes(now)
    Path("router.json.1").write_bytes(now)  # killed before it had put another in its place
    Path("router.json.2").write_bytes(first)
    assert command("router", "rollback").exit_code == 0
    assert Path("router.json").read_bytes() == first
    assert "no router before" in str(command("router", "rollback").exception)
    Path("router.json.1").write_text("{}")
    assert "remove router.json.1, and roll back again" in str(command("router", "rollback").exception)


def test_a_router_in_force_that_is_of_no_use_any_more() -> None:
    trained()
    others = labels("others.jsonl", 200, seed=8)
    text = Path("candidate.json").read_text().replace('"small"', '"vanished"')
    for broken in ("{}", text):
        Path("router.json").write_text(broken)
        assert "move router.json away, and promote again" in str(command("router", "promote", "candidate.json", others).exception)
    told = {**json.loads(text)}
    told.pop("sha256")
    Path("router.json").write_text(json.dumps({**told, "sha256": _digest(told)}))
    refused = " ".join(str(command("router", "promote", "candidate.json", others).exception).split())
    assert "a score for each of vanished, large, or none is above 0 (there are scores of large, small)" in refused
    assert "move router.json away, and promote again" in refused
    assert "must be a file" in str(command("router", "promote", "candidate.json", others, "--router", "none/r.json").exception)
    assert "must be a file" in str(command("router", "rollback", "--router", ".").exception)


def test_what_a_link_leads_to_is_written_whole_and_keeps_its_mode() -> None:
    trained()
    Path("there").mkdir()
    Path("there/real.json").write_bytes(wary("candidate.json", 0.05))
    Path("there/real.json").chmod(0o640)
    Path("router.json").symlink_to("there/real.json")
    assert command("router", "promote", "candidate.json", labels("others.jsonl", 200, seed=8)).exit_code == 0
    assert Path("router.json").is_symlink()
    assert Path("there/real.json").read_bytes() == Path("candidate.json").read_bytes()
    assert Path("there/real.json").stat().st_mode & 0o777 == 0o640


def test_features_have_promises_of_their_own() -> None:
    Path("thrift.toml").write_text(
        "[routing]\nquality = 0.95\n[routing.features]\nother = 'gpt-4o'\n[routing.features.faq]\nquality = 0.9\nconfidence = 0.8\n"
    )
    done = command("router", "train", labels("labels.jsonl", 700), "--tiers", "small,large")
    assert "0.9 (0.8)" in done.stdout
    told = json.loads(Path("candidate.json").read_text())
    assert (told["target"], told["confidence"], told["goals"]) == (0.95, 0.95, {"faq": [0.9, 0.8]})
    assert command("router", "train", "labels.jsonl", "--tiers", "small,large", "--quality", "0.97").exit_code == 0
    told = json.loads(Path("candidate.json").read_text())
    assert (told["target"], told["goals"]) == (0.97, {"faq": [0.9, 0.8]})


def test_what_promises_less_than_is_asked_for_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    in_force()
    asked = Request("1", 0.0, "gpt-4o", (Message("user", EASY),), scope=Scope(feature="faq"))
    two = [Tier("small", "gpt-4o-mini"), Tier("large", "gpt-4o")]

    def chosen(**settings: Any) -> str:
        made = open_router(RoutingConfig(router="router.json", **settings))
        return made.decide(asked, two, 1).name

    assert chosen() == chosen(quality=0.95) == chosen(quality=0.99, features={"faq": {"quality": 0.9}}) == "small"
    assert not caplog.records
    assert chosen(quality=0.99) == chosen(features={"faq": {"confidence": 0.99}}) == "large"
    assert "promises 0.95 of the quality with 0.95 confidence for 'faq'" in caplog.text


@pytest.mark.parametrize(("named", "where"), [("", "router.json"), ("[routing]\nrouter = 'live.json'\n", "live.json")])
def test_training_leaves_the_router_in_force_alone(named: str, where: str) -> None:
    Path("thrift.toml").write_text(named)
    trained()
    assert not Path(where).exists()
    assert command("router", "promote", "candidate.json", labels("others.jsonl", 500, seed=8)).exit_code == 0
    before = Path(where).read_bytes()
    done = command("router", "train", "labels.jsonl", "--tiers", "small,large", "--out", f"../{Path.cwd().name}/{where}")
    assert "is the router in force" in str(done.exception)
    assert Path(where).read_bytes() == before
    Path("candidate.json").unlink()
    assert command("router", "explain", EASY, "--feature", "faq").stdout.startswith("small"), "that in force is asked"
