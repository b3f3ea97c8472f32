"""The whole month, with each tactic alone and with all together, and what a team would pick instead, in one table.

    python -m tests.benchmarks.proof --data DIR --json FILE

Everything learns from what the folder has of the month before, and from what the replay itself pays for. What a team would pick:
LangChain's exact cache, LiteLLM's complexity router (its heuristic), headroom, each alone and all three, where they install (extra
`bench`). They know no tenants: how many of the cache's answers were another tenant's is counted.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import llama_index.core
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from tests.benchmarks.harness import arguments, report
from thrift_plugins.langchain.recorded import RecordedChatModel
from thrift_plugins.prices import Prices
from thrift_plugins.replay import SWITCHES, Outcome, Row, Setup, Trace, prepared, replay
from thrift_plugins.replay.apps import cheapness, heard, replies
from thrift_plugins.replay.check import Answer, score
from thrift_plugins.replay.month import Framework
from thrift_plugins.tape import Tape
from thrift_plugins.types import Usage

TARGETS = {"all_paid": 0.27, "all_quality_drop": 0.005}
KINDS = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}

Messages = list[dict[str, Any]]
Figures = dict[str, float | int | str | None]


def ours(trace: Trace, setup: Setup, framework: Framework) -> Outcome:
    """The month with some tactics on."""
    with tempfile.TemporaryDirectory() as folder:
        return replay(trace, framework, setup, Path(folder))


def told(name: str, outcome: Outcome) -> Figures:
    """The figures of one way."""
    saved = outcome.summary.total.saved_fraction
    drop = outcome.quality.baseline - outcome.quality.actual
    return {
        f"{name}_saved": saved,
        f"{name}_paid": 1 - saved,
        f"{name}_quality": outcome.quality.actual,
        f"{name}_quality_drop": drop,
    }


@dataclass
class Team:
    """An app that has picked its parts elsewhere.

    Attributes:
        cache: whether LangChain's exact cache is on.
        router: whether a question goes to the cheapest model, by its text and its instructions.
        compressor: makes messages shorter.
    """

    cache: bool = False
    router: Callable[[str, str], bool] | None = None
    compressor: Callable[[Messages, str], Messages] | None = None

    def month(self, name: str, trace: Trace) -> Figures:
        """What the month costs it, how good its answers are, and how many were another tenant's."""
        prices = Prices(trace.prices)
        order, tape = cheapness(prices), Tape()
        before = paid = crossed = count = 0
        quality = base = 0.0
        first: dict[str, str] = {}
        set_llm_cache(InMemoryCache() if self.cache else None)
        for row in trace:
            at, count = trace.start + row.t, count + 1
            tape.load(replies(row), heard(row))
            answer, usage = self._ask(row, tape, order)
            before += prices.cost(row.baseline, row.arms[row.baseline].usage, at=at)
            if usage is None:
                crossed += first[_known(row)] != row.tenant
            else:
                first[_known(row)] = row.tenant
                paid += prices.cost(answer.model, usage, at=at)
            quality, base = quality + score(row, answer), base + row.arms[row.baseline].score
        set_llm_cache(None)
        saved, drop = 1 - paid / before, (base - quality) / count
        found: Figures = {f"{name}_saved": saved, f"{name}_quality": quality / count, f"{name}_quality_drop": drop}
        return {**found, f"{name}_other_tenants": crossed} if self.cache else found

    def _ask(self, row: Row, tape: Tape, order: Callable[[str], float]) -> tuple[Answer, Usage | None]:
        """The answer, and what it used; None where the cache gave it."""
        messages: Messages = [dict(each) for each in row.messages]
        if self.compressor:
            messages = self.compressor(messages, row.baseline)
        system = next((each["content"] for each in messages if each["role"] == "system"), "")
        cheap = self.router is not None and self.router(row.messages[-1]["content"], system)
        model = RecordedChatModel(model_name=min(row.arms, key=order) if cheap else row.baseline, tape=tape)
        bound = model.bind_tools([{"type": "function", "function": tool} for tool in row.tools]) if row.tools else model
        message = bound.invoke([KINDS[each["role"]](each["content"]) for each in messages], **row.params)
        mark, sent = message.additional_kwargs["recorded"], tape.sent
        answer = Answer(message.text, mark["model"], "" if sent else mark["topic"], sent() if sent else None)
        if sent is None:
            return answer, None
        used = message.usage_metadata or {}
        return answer, Usage(used["input_tokens"], used["output_tokens"], source="replayed")


def _known(row: Row) -> str:
    """What LangChain's cache knows a request by, short of the model."""
    return repr([list(map(dict, row.messages)), row.tools, row.params])


def complexity_router() -> Callable[[str, str], bool]:
    """LiteLLM's heuristic: what is simple or of medium complexity goes to the cheapest model."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter
    from litellm.router_strategy.complexity_router.config import ComplexityTier

    router = ComplexityRouter("auto", _Nothing(), derive_savings_baseline=False)
    cheap = {ComplexityTier.SIMPLE, ComplexityTier.MEDIUM}
    return lambda prompt, system: router.classify(prompt, system)[0] in cheap


class _Nothing:
    """LiteLLM's router around its heuristic, which asks it for nothing."""

    model_list: tuple[()] = ()

    def __getattr__(self, name: str) -> None:
        return None


def headroom() -> Callable[[Messages, str], Messages]:
    """headroom's pipeline over everything that it may touch, user's messages too."""
    os.environ.setdefault("HEADROOM_TELEMETRY", "off")
    vocabularies = Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache"
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(vocabularies))  # it counts without a network
    from headroom import compress

    def shorter(messages: Messages, model: str) -> Messages:
        found = compress(messages, model=model, compress_user_messages=True, protect_recent=0).messages
        return [{"role": each["role"], "content": each["content"]} for each in found]

    return shorter


def peers(trace: Trace) -> Figures:
    """What a team would pick instead, each alone and all together."""
    makers: Mapping[str, Callable[[], Any]] = {"router": complexity_router, "compressor": headroom}
    parts: dict[str, Any] = {"cache": True}
    for part, make in makers.items():
        try:
            parts[part] = make()
        except Exception as error:
            sys.stderr.write(f"{make.__name__} does not run here: {type(error).__name__}: {str(error)[:120]}\n")
    names = {"cache": "peer_langchain_cache", "router": "peer_litellm_router", "compressor": "peer_headroom"}
    figures: Figures = {}
    for part, what in parts.items():
        figures |= Team(**{part: what}).month(names[part], trace)
    return {**figures, **Team(**parts).month("peers_all", trace)} if len(parts) > 1 else figures


def main() -> None:
    """Measure and report."""
    given = arguments(__doc__ or "")
    trace = Trace(given.data / "traces" / "kb_month")
    figures: Figures = {}
    for name in SWITCHES:
        with tempfile.TemporaryDirectory() as made:
            figures |= told(name, ours(trace, prepared([name], trace, given.data, Path(made)), "langchain"))
    digests = set()
    with tempfile.TemporaryDirectory() as made:
        setup = prepared(SWITCHES, trace, given.data, Path(made))
        for framework in ("langchain", "llama_index"):
            started = perf_counter()
            outcome = ours(trace, setup, framework)
            digests.add(outcome.ledger_sha256)
            figures |= told("all", outcome)
            figures[f"seconds_{framework}"] = perf_counter() - started
        shared = dataclasses.replace(setup, shared=frozenset({"faq"}))  # whose knowledge base is public
        figures |= told("all_shared_faq", ours(trace, shared, "langchain"))
    figures["ledgers_equal"] = int(len(digests) == 1)
    figures["baseline_quality"] = outcome.quality.baseline
    figures["baseline_usd"] = outcome.summary.total.baseline / 1e9
    figures |= peers(trace)
    report("The whole month", figures, TARGETS, given.json)


if __name__ == "__main__":
    main()
