"""The quality gate from the app's call to the ledger, in both frameworks, over real clients and stores."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from tests import langchain_kit, llama_index_kit
from tests.cli_kit import command, stranger
from thrift_plugins import Budget, CacheConfig, Config, OutputConfig, QualityConfig, Runtime, feedback, scope
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain import JudgeModel, ThriftChatModel
from thrift_plugins.ledger import remarks
from thrift_plugins.llama_index import JudgeModel as LlamaIndexJudgeModel
from thrift_plugins.quality import AutoJudge, Calibration, Judge, LLMJudge, verdicts
from thrift_plugins.testing import Answer, LoopbackProvider, WireRequest

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
ALWAYS = QualityConfig(enabled=True, share=1.0)


@pytest.fixture
def provider(quiet: LoopbackProvider) -> LoopbackProvider:
    quiet.script(differing)
    return quiet


def differing(request: WireRequest) -> Answer:
    """The cheap model is wrong about numbers."""
    return Answer(text="seven" if request.model == CHEAP and "many" in request.last_user else "eight")


def runtime_of(quality: QualityConfig = ALWAYS, *, judge: Judge | None = None, **settings: Any) -> Runtime:
    told = {"store": "memory:", "cache": CacheConfig(enabled=False), **settings}
    return Runtime(Config(quality=quality, **told), judge=judge)


def model_of(framework: str, provider: LoopbackProvider, runtime: Runtime) -> Callable[[str], str]:
    """Asks a wrapped model."""
    if framework == "langchain":
        model = langchain_kit.thrift(provider, runtime)
        return lambda question: model.invoke(question).text
    llm = llama_index_kit.thrift(provider, runtime, temperature=0)
    return lambda question: llm.chat([ChatMessage(content=question)]).message.content or ""


def until(true: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def compared(runtime: Runtime) -> int:
    assert runtime.gate is not None
    return sum(standing.compared for standing in runtime.gate.standings())


def lines(runtime: Runtime) -> list[dict[str, Any]]:
    assert runtime.ledger is not None
    return [entry for entry in runtime.ledger.records() if "quality" in entry.get("extra", {})]


FRAMEWORKS = pytest.mark.parametrize("framework", ["langchain", "llama_index"])


@FRAMEWORKS
def test_a_tactic_that_harms_a_feature_is_taken_off_there_and_nowhere_else(provider: LoopbackProvider, framework: str):
    runtime = runtime_of()
    ask = model_of(framework, provider, runtime)
    with scope(feature="counting"):
        for number in range(40):
            before = compared(runtime)
            ask(f"How many legs, in case {number}?")
            assert runtime.gate is not None
            if runtime.gate.off("counting"):
                break
            until(
                lambda before=before: compared(runtime) > before or bool(runtime.gate and runtime.gate.off("counting"))
            )
        assert runtime.gate.off("counting") == {"routing"}
        assert ask("How many legs has a spider?") == "eight"
    with scope(feature="naming"):
        assert ask("What is the name of a spider?") == "eight"
    (standing, *_) = runtime.gate.standings()
    assert (standing.tactic, standing.feature, standing.verdict) == ("routing", "counting", "broken")
    assert standing.worse == standing.compared < 40
    entries = list(runtime.ledger.records()) if runtime.ledger else []
    by_feature = {entry["feature"]: entry for entry in entries if "quality" not in entry.get("extra", {})}
    assert by_feature["counting"]["served_model"] == STRONG
    assert by_feature["counting"]["fallbacks"] == ["quality: routing is rolled back for counting"]
    assert by_feature["naming"]["served_model"] == CHEAP
    (rolled,) = [entry for entry in lines(runtime) if entry["error"] == "RolledBack"]
    assert "answers that were compared are worse" in rolled["fallbacks"][0]
    shadows = [entry for entry in lines(runtime) if entry["extra"]["quality"]["what"] == "judged"]
    assert len(shadows) >= standing.compared
    for shadow in shadows:
        assert shadow["bill"]["baseline"] == 0
        assert shadow["bill"]["overheads"]["routing"] == -shadow["bill"]["actual"] < 0
    booked = verdicts(entries)[0]
    assert (booked.tactic, booked.feature, booked.verdict, booked.worse) == (
        "routing",
        "counting",
        "broken",
        standing.worse,
    )
    runtime.close()


@FRAMEWORKS
def test_what_is_compared_costs_no_more_than_its_budget_and_nobody_waits_or_hears_of_it(
    provider: LoopbackProvider, framework: str
):
    """There is no room for the longest answer that a model may give: what is not asked is not asked later either."""
    runtime = runtime_of(QualityConfig(enabled=True, share=1.0, usd=0.000_2))
    ask = model_of(framework, provider, runtime)
    for number in range(12):
        ask(f"Is it {number}?")
    provider.wait_idle()
    time.sleep(0.2)
    runtime.close()
    assert runtime.gate is not None
    assert sum(standing.unasked for standing in runtime.gate.standings()) == 12
    spent = sum(-sum(entry["bill"]["overheads"].values()) for entry in lines(runtime))
    assert spent <= 200_000


@pytest.mark.parametrize("way", ["ainvoke", "stream", "astream"])
async def test_it_watches_every_way_of_asking(provider: LoopbackProvider, way: str):
    runtime = runtime_of()
    model = langchain_kit.thrift(provider, runtime)
    match way:
        case "ainvoke":
            await model.ainvoke("Is it hot?")
        case "stream":
            assert list(model.stream("Is it hot?"))
        case _:
            assert [chunk async for chunk in model.astream("Is it hot?")]
    for _ in range(1_000):
        if compared(runtime):
            break
        await asyncio.sleep(0.01)
    assert compared(runtime) == 1
    assert sorted(row.model for row in provider.billed) == sorted([CHEAP, STRONG])
    runtime.close()


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_model_judges_prose_in_both_orders_and_its_cost_is_booked(provider: LoopbackProvider, framework: str):
    def script(request: WireRequest) -> Answer:
        if request.model == "gpt-4.1-mini":
            first, second = request.last_user.split("answer A\n")[1].split("answer B\n")
            return Answer(text="A" if "wheel" in first else "B" if "wheel" in second else "SAME")
        return Answer(text=" ".join(["wheel" if request.model == STRONG else "stone"] * 20))

    provider.script(script)
    kit = {"langchain": (langchain_kit.chat, JudgeModel), "llama_index": (llama_index_kit.openai, LlamaIndexJudgeModel)}
    make, judge_model = kit[framework]
    judge = AutoJudge(
        LLMJudge(judge_model(make(provider, "gpt-4.1-mini", max_tokens=16)), calibration=Calibration.flips(0.1))
    )
    runtime = runtime_of(judge=judge)
    model_of(framework, provider, runtime)("Who rolls?")
    until(lambda: compared(runtime) == 1)
    assert runtime.gate is not None
    (standing,) = runtime.gate.standings()
    assert standing.worse == 1
    runtime.close()
    (shadow,) = [entry for entry in lines(runtime) if entry["extra"]["quality"]["what"] == "judged"]
    assert [reason for _, reason, *_ in shadow["overheads"]] == ["judge", "judge", "shadow"]
    assert shadow["extra"]["quality"]["judge"] == "auto+llm:gpt-4.1-mini"


@FRAMEWORKS
def test_where_several_have_acted_the_others_are_left_as_they_were(provider: LoopbackProvider, framework: str):
    runtime = runtime_of(output=OutputConfig(mode="soft", words=20))
    ask = model_of(framework, provider, runtime)
    for number in range(9):
        ask(f"Is it {number}?")
        until(lambda number=number: compared(runtime) == number + 1)
    runtime.close()
    seen = set()
    for line in lines(runtime):
        if line["extra"]["quality"]["what"] != "judged":
            continue
        aim, number = line["extra"]["quality"]["told"][0], lines(runtime).index(line)
        served, shadow = [request for request in provider.requests if f"Is it {number}?" in request.last_user]
        assert (served.model, "20 words" in served.last_user) == (CHEAP, True)
        seen.add(aim)
        assert (shadow.model, "20 words" in shadow.last_user) == {
            "routing": (STRONG, True), "budget": (CHEAP, False), "all": (STRONG, False),
        }[aim]  # fmt: skip
        assert [tactic for tactic, *_ in line["overheads"]] == ["quality" if aim == "all" else aim]
    assert seen


def test_a_hit_is_compared_with_a_fresh_answer(provider: LoopbackProvider):
    runtime = runtime_of(cache=CacheConfig(kinds=False))
    model = langchain_kit.thrift(provider, runtime, tiers=1)
    model.invoke("Is it hot?")
    model.invoke("Is it hot?")
    until(lambda: compared(runtime) == 1)
    assert runtime.gate is not None
    (standing,) = runtime.gate.standings()
    assert (standing.tactic, standing.same) == ("cache", 1)
    assert len(provider.billed) == 2
    runtime.close()


def test_answers_of_a_tactic_that_was_rolled_back_are_not_given_again_by_the_cache(provider: LoopbackProvider):
    runtime = runtime_of(QualityConfig(enabled=True, share=1e-9), cache=CacheConfig(kinds=False))
    ask = model_of("langchain", provider, runtime)
    assert runtime.gate is not None
    assert [ask("How many legs?") for _ in range(2)] == ["seven", "seven"]
    runtime.gate.take(time.time(), "off", "routing", "", "a test says so")
    assert [ask("How many legs?") for _ in range(2)] == ["eight", "eight"]
    assert [row.model for row in provider.billed] == [CHEAP, STRONG]
    runtime.close()


@FRAMEWORKS
def test_no_prompt_and_no_answer_is_left_in_any_file(provider: LoopbackProvider, tmp_path: Path, framework: str):
    provider.script(lambda request: Answer(text=f"canary-answer {request.model}"))
    runtime = runtime_of(store=str(tmp_path / "answers.db"))
    ask = model_of(framework, provider, runtime)
    with scope(feature="faq"):
        for number in range(5):
            ask(f"Is it canary-prompt {number}?")
        until(lambda: compared(runtime) == 5)
    runtime.close()
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    assert any(b"judged" in held for held in files)
    assert not any(b"canary" in held for held in files)


def test_a_judge_without_a_gate_is_refused():
    with pytest.raises(ConfigError, match="a judge has nothing to judge"):
        Runtime(Config(store="memory:"), judge=AutoJudge())


def test_workers_of_a_store_agree_and_a_new_one_knows(provider: LoopbackProvider, tmp_path: Path):
    url = str(tmp_path / "answers.db")
    first = runtime_of(store=url)
    ask = model_of("langchain", provider, first)
    assert first.gate is not None
    with scope(feature="counting"):
        for number in range(40):
            ask(f"How many, in case {number}?")
            if first.gate.off("counting"):
                break
            time.sleep(0.02)
    until(lambda: bool(first.gate and first.gate.off("counting")))
    first.close()
    second = runtime_of(store=url)
    ask = model_of("langchain", provider, second)
    with scope(feature="counting"):
        ask("How many are there?")
        until(lambda: bool(second.gate and second.gate.off("counting")))
        assert ask("How many are there now?") == "eight"
    second.close()
    assert provider.wait_idle()


def test_a_thumb_is_booked_with_the_feature_of_its_call(provider: LoopbackProvider):
    runtime = runtime_of(QualityConfig(enabled=True, share=1e-9))
    model: ThriftChatModel = langchain_kit.thrift(provider, runtime)
    with scope(feature="faq"):
        message = model.invoke("Is it hot?")
    feedback(message.response_metadata["thrift"]["request_id"], good=False, runtime=runtime)
    runtime.feedback("nobody-knows", good=True)
    runtime.close()
    told = [entry for entry in lines(runtime) if entry["extra"]["quality"]["what"] == "feedback"]
    assert [(entry["feature"], entry["extra"]["quality"]["told"][1]) for entry in told] == [("faq", False), ("", True)]


def test_the_budgets_of_the_app_hold_for_what_is_compared_too(provider: LoopbackProvider):
    runtime = runtime_of(
        budgets=[Budget.tokens("all", 100_000, window="total"), Budget.usd("of one", 1, per=["tenant"])]
    )
    ask = model_of("langchain", provider, runtime)
    ask("Is it hot?")
    until(lambda: compared(runtime) == 1)
    remaining = {budget.budget.name: budget.used for budget in runtime.budgets()}
    rows = provider.billed
    assert remaining["all"] == sum(row.input_tokens + row.output_tokens for row in rows)
    assert len(rows) == 2
    runtime.close()


def test_the_command_shows_verdicts_and_puts_a_tactic_on_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LoopbackProvider
):
    stranger(monkeypatch, tmp_path)
    (tmp_path / "thrift.toml").write_text('store = "answers.db"\n[quality]\nenabled = true\nshare = 1.0\n')
    (tmp_path / "off.toml").write_text('store = "answers.db"\n')
    assert "Nothing was compared yet." in command("gate").output
    assert "enabled = true under [quality]" in " ".join(command("gate", "--config", "off.toml").output.split())
    runtime = Runtime("thrift.toml")
    assert runtime.gate is not None
    for number in range(40):
        for rolled in runtime.gate.compared("routing", "faq", "worse", time.time() - 60 + number):
            assert runtime.ledger is not None
            runtime.ledger.append(remarks.rolled_back(*rolled))
    runtime.close()
    shown = command("gate", "--json", "gate.json").output
    assert "routing is off for faq since" in shown
    assert "are worse, 0 better" in " ".join(shown.split())
    told = json.loads((tmp_path / "gate.json").read_text())
    assert [(one["tactic"], one["feature"], one["verdict"]) for one in told["verdicts"]] == [
        ("routing", "faq", "broken")
    ]
    refused = command("gate", "--allow", "budget", "--feature", "faq").exception
    assert isinstance(refused, ConfigError)
    assert str(refused) == "budget is not rolled back for faq; rolled back are: routing for faq"
    assert "routing acts again for faq" in command("gate", "--allow", "routing", "--feature", "faq").output
    assert "is off for" not in command("gate").output
    after = Runtime("thrift.toml")
    assert after.ledger is not None
    assert verdicts(after.ledger.records()) == []
    after.close()
    assert "quality gate" in command("doctor").output
