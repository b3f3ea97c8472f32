"""A router that is trained on what the app has asked and booked, without a file of labels."""

from __future__ import annotations

import asyncio
import json
import random
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from tests.cli_kit import ROOT, command, stranger
from tests.langchain_kit import records
from tests.llama_index_kit import openai, user
from tests.questions_worker import MANY
from tests.unit.test_learned_router import EASY, HARD
from thrift_plugins import CacheConfig, Config, LedgerConfig, RoutingConfig, Runtime, feedback, scope
from thrift_plugins.langchain import RoutingRunnable, ThriftChatModel
from thrift_plugins.lessons import lessons
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import Answer, LoopbackProvider
from thrift_plugins.testing.script import WireRequest

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
TIERS = ("--tiers", "small,large")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as made:
        made.script(script)
        yield made


def script(request: WireRequest) -> Answer:
    """A cheap model that is right about what is easy alone."""
    hard = any(subject in request.text for subject in HARD)
    return Answer("Yes." if request.model == STRONG else "no" if hard else "yes")


def wait_for(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


class App:
    """An app with two tiers, the settings of which are in a file, and a ledger in another."""

    def __init__(self, provider: LoopbackProvider, share: float = 1.0, **routing: Any) -> None:
        told = {"record": ["faq"], "shadow": 0.2, **routing}
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in told.items())
        Path("thrift.toml").write_text(f'store = "app.db"\n[cache]\nenabled = false\n[routing]\n{lines}\n', encoding="utf-8")
        self.runtime = Runtime("thrift.toml")
        if self.runtime.engine.lessons is not None:
            self.runtime.engine.lessons._share = share  # type: ignore[attr-defined]  # a share of 0.2 takes five times as long
        models = [
            ChatOpenAI(model=name, base_url=provider.base_url, api_key="k", max_retries=0, temperature=0)
            for name in (CHEAP, STRONG)
        ]
        self.model = ThriftChatModel(tiers=models, names=["small", "large"], runtime=self.runtime)

    def ask(self, text: str, feature: str = "faq") -> AIMessage:
        with scope(feature=feature):
            return self.model.invoke(text)

    def end(self, lines: int) -> None:
        """Close it once so many answers are written down: what is asked in the background is not waited for by anybody else."""
        wait_for(lambda: len(Path("questions.jsonl").read_text(encoding="utf-8").splitlines()) >= lines)
        self.runtime.close()

    def live(self, count: int) -> None:
        chance = random.Random(3)
        for number in range(count):
            subject = chance.choice(HARD if chance.random() < 0.5 else EASY)
            self.ask(f"Please tell me about the {subject} of case {number}, thanks.")


def test_from_traffic_to_a_router_in_force(provider: LoopbackProvider) -> None:
    app = App(provider)
    app.live(260)
    app.end(520)
    done = command("router", "train", *TIERS, "--quality", "0.95", "--out", "candidate.json")
    told = " ".join(done.stdout.split())
    assert "260 questions were written down: 260 compared with the strong model's answer" in told
    assert "faq" in told
    asked = ("explain", "Please tell me about the gift cards of case 7, thanks.", "--feature", "faq", "--router", "candidate.json")
    assert "small answers first, and is checked" in command("router", *asked).stdout
    held = command("router", "evaluate", "--router", "candidate.json", "--json", "figures.json")
    assert held.exit_code == 0
    figures = json.loads(Path("figures.json").read_text())
    assert 25 < figures["examples"] < 85, "what was not learnt from"
    assert figures["quality"] >= 0.95
    assert 0.3 < figures["cheaper_share"] < 0.7
    assert command("router", "promote", "candidate.json").exit_code == 0
    assert Path("router.json").is_file()


def test_what_it_costs_is_on_routings_bill(provider: LoopbackProvider) -> None:
    app = App(provider)
    app.ask("Hello")
    wait_for(lambda: len(records(app.model)) == 2)
    call, shadow = sorted(records(app.model), key=lambda record: len(record["id"]))
    assert (call["served_model"], shadow["id"]) == (CHEAP, f"{call['id']}-large")
    assert [(tactic, reason, model) for tactic, reason, model, *_ in shadow["overheads"]] == [("routing", "shadow", STRONG)]
    bill = shadow["bill"]
    assert sum(bill["rows"].values()) + sum(bill["overheads"].values()) + bill["actual"] == bill["baseline"] == 0
    assert bill["overheads"]["routing"] < 0
    app.end(2)
    [lesson] = lessons(Path("questions.jsonl"))
    assert (lesson.served, lesson.drawn) == ("small", True)
    assert {name: str(reply.content) for name, reply in lesson.example.replies.items()} == {"small": "yes", "large": "Yes."}
    assert lesson.example.costs["large"] > lesson.example.costs["small"] > 0


def test_a_rejected_answer_is_not_paid_for_again(provider: LoopbackProvider) -> None:
    """It is written down already, and the first of two answers is what counts."""
    provider.script(lambda request: Answer("I'm sorry, but I can't help." if request.model == CHEAP else "At nine."))
    app = App(provider)
    assert app.ask("Hello").text == "At nine."
    app.runtime.close()
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]
    [lesson] = lessons(Path("questions.jsonl"))
    assert lesson.example.replies.keys() == {"small", "large"}


def test_only_what_the_app_names_is_written_down(provider: LoopbackProvider) -> None:
    app = App(provider)
    app.ask("Mine is anna@example.com, sk-proj-abcdefghijklmnop1234567890.", feature="private")
    assert not Path("questions.jsonl").exists()
    app.ask("Mine is anna@example.com, sk-proj-abcdefghijklmnop1234567890.")
    app.runtime.close()
    written = Path("questions.jsonl").read_text(encoding="utf-8")
    assert "Mine is" in written
    assert "anna@example.com" not in written
    assert "abcdefghijklmnop" not in written
    assert stat.S_IMODE(Path("questions.jsonl").stat().st_mode) == 0o600


async def test_llama_index_and_what_must_not_be_asked_twice(provider: LoopbackProvider) -> None:
    app = App(provider)
    llm = ThriftLLM(
        tiers=[openai(provider, CHEAP), openai(provider, STRONG)], names=["small", "large"], runtime=app.runtime
    )
    chain: RoutingRunnable[Any, Any] = RoutingRunnable(
        app.model.tiers, models=[CHEAP, STRONG], names=["small", "large"], runtime=app.runtime
    )
    with scope(feature="faq"):
        llm.chat(user("Hello"))
        chain.invoke("Hello there")
        await app.model.ainvoke("Hello to you")
        await asyncio.sleep(0)
        await asyncio.gather(*app.runtime.background._tasks)
    app.end(5)
    asked = {str(each.example.request.messages[-1].text): len(each.example.replies) for each in lessons(Path("questions.jsonl"))}
    assert asked["Hello"] == 2
    assert asked["Hello to you"] == 2
    assert asked["Hello there"] == 1, "what a chain does besides is not ours to do again"


def test_without_a_recording_it_says_what_to_do(provider: LoopbackProvider) -> None:
    done = command("router", "train", *TIERS)
    assert "Name the features that may be, in routing.record" in str(done.exception)
    app = App(provider, shadow=0.0, share=0.0)
    app.ask("Hello")
    app.runtime.close()
    done = command("router", "train", *TIERS)
    assert "1 nobody can say how good" in done.stdout
    assert "set routing.shadow" in str(done.exception)
    app = App(provider)
    app.live(20)
    app.end(41)
    assert "100 are needed" in str(command("router", "train", *TIERS).exception)
    Path("questions.jsonl").write_text('{"id": 3}\n')
    assert "line 1: no question that was written down" in str(command("router", "train", *TIERS).exception)


def test_readers_are_believed_over_the_strong_model(provider: LoopbackProvider) -> None:
    app = App(provider)
    answer = app.ask("Hello")
    feedback(answer.response_metadata["thrift"]["request_id"], good=False, runtime=app.runtime)
    app.end(2)
    done = command("router", "train", *TIERS)
    assert "1 a reader has said so" in done.stdout


def test_a_disk_that_is_full_costs_no_answer(provider: LoopbackProvider, caplog: pytest.LogCaptureFixture) -> None:
    Path("questions.jsonl").mkdir()
    app = App(provider)
    assert app.ask("Hello").content == "yes"
    assert app.ask("Hello").content == "yes"
    assert caplog.text.count("questions are written down no more") == 1
    app.runtime.close()


def test_several_workers_write_to_one_file() -> None:
    file = Path("questions.jsonl").absolute()
    asked = [sys.executable, "-m", "tests.questions_worker", str(file)]
    workers = [subprocess.Popen([*asked, name], cwd=ROOT) for name in ("a", "b", "c", "d")]
    assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    assert len(lessons(file)) == 4 * MANY


def test_a_line_that_was_cut_short_costs_that_line_alone(provider: LoopbackProvider) -> None:
    app = App(provider, shadow=0.0, share=0.0)
    file = Path("questions.jsonl")
    app.ask("Hello")
    whole = file.read_bytes()
    app.ask("K\u00e4se")
    rest = file.read_bytes()[len(whole) :]
    file.write_bytes(whole + rest[: rest.index("\u00e4".encode()) + 1])  # the disk was full in the middle of a letter
    assert len(lessons(file)) == 1
    app.ask("Bye")
    with file.open("ab") as opened:
        opened.write(b"\n")  # as where one worker sees half of what another writes, and takes it for such a line
    app.ask("Bye again")
    app.runtime.close()
    asked = [each.example.request.messages[-1].text for each in lessons(file)]
    assert asked == ["Hello", "Bye", "Bye again"]


def test_nothing_by_default() -> None:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), ledger=LedgerConfig(url="memory:")))
    assert runtime.engine.lessons is None
    off = Runtime(Config(store="memory:", routing=RoutingConfig(enabled=False, record=["faq"])))
    assert off.engine.lessons is None
