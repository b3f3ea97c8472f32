"""One demonstration: every visitor's question through an app on one framework, with us and, offline, without us."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from thrift_plugins.config import Config, LedgerConfig
from thrift_plugins.demo.app import STRONG, App
from thrift_plugins.demo.bill import Billed
from thrift_plugins.demo.knowledge import SYSTEM, Search, articles, questions
from thrift_plugins.demo.stand_in import quote
from thrift_plugins.ledger import Line
from thrift_plugins.prices import Prices
from thrift_plugins.runtime import Runtime
from thrift_plugins.scope import scope
from thrift_plugins.testing import LoopbackProvider
from thrift_plugins.tokens import count_messages
from thrift_plugins.types import Message, Nano, Usage, usd

Framework: TypeAlias = Literal["langchain", "llama_index"]
Record: TypeAlias = Mapping[str, Any]
"""One ledger record."""

CAP: Nano = 250_000_000
"""Real money that one app may spend before it stops: 25 cents."""

_LIKELY_OUTPUT_TOKENS = 120  # of an answer in a few sentences, for the guess that is printed before real money is spent


@dataclass(frozen=True, slots=True)
class Visit:
    """A question, its answer, and how the ledger booked the call."""

    question: str
    answer: str
    record: Record


@dataclass(frozen=True, slots=True)
class Run:
    """What one app did.

    Attributes:
        line: the bill, from the ledger.
        booked: what the ledger says was paid.
        billed: what the provider counted for the same calls, None where it is not ours to look into.
        alone: what the provider counted when the same questions went through the app without us, None where that
            was not tried because it costs money.
    """

    framework: Framework
    visits: Sequence[Visit]
    line: Line
    booked: Billed
    billed: Billed | None
    alone: Billed | None

    def figures(self) -> dict[str, Any]:
        """The figures as JSON; money in US dollars."""
        line = self.line
        return {
            "requests": line.requests,
            "baseline_usd": usd(line.baseline),
            "actual_usd": usd(line.actual),
            "saved_fraction": line.saved_fraction,
            "by_tactic": {tactic: usd(amount) for tactic, amount in sorted(line.by_tactic.items())},
            "overheads_usd": usd(sum(line.overheads.values())),
            "outcomes": dict(line.outcomes),
            "ledger": _figures(self.booked),
            "provider": _figures(self.billed) if self.billed else None,
            "provider_without_thrift_plugins": _figures(self.alone) if self.alone else None,
        }


def _figures(billed: Billed) -> dict[str, float]:
    return {
        "calls": billed.calls,
        "input_tokens": billed.input_tokens,
        "output_tokens": billed.output_tokens,
        "usd": usd(billed.cost),
    }


def expected_cost(prices: Prices) -> Nano:
    """About what the questions cost once without us, in nano-dollars: prompts counted, answers guessed."""
    search = Search(articles())
    total = 0
    for question in questions():
        context = "\n\n".join(article.page for article in search.find(question))
        prompt = (Message("system", SYSTEM.format(context=context)), Message("user", question))
        total += prices.cost(STRONG, Usage(count_messages(prompt, STRONG), _LIKELY_OUTPUT_TOKENS))
    return total


def run(
    framework: Framework,
    provider: LoopbackProvider | None,
    *,
    show: Callable[[str], None] = lambda _piece: None,
    progress: Callable[[], None] = lambda: None,
) -> Run:
    """Ask every question; the first answer is streamed.

    Args:
        provider: the one on this machine that the environment points to, None where calls are real.
        show: is given the first answer, piece by piece.
        progress: called after each question. With a provider of ours each is asked twice, once without us.
    """
    runtime = Runtime(Config(store="memory:", ledger=LedgerConfig(holdout=0.0)))
    try:
        app = _app(framework, runtime)
        if provider is None:
            return _outcome(framework, runtime, _ask_all(app, runtime, CAP, show, progress), None, None)
        provider.reset()
        provider.script(quote)
        answers = _ask_all(app, runtime, None, show, progress)
        billed = Billed.by_provider(provider.billed, runtime.prices)
        return _outcome(framework, runtime, answers, billed, _alone(framework, provider, runtime.prices, progress))
    finally:
        runtime.close()


def _outcome(
    framework: Framework, runtime: Runtime, answers: Sequence[str], billed: Billed | None, alone: Billed | None
) -> Run:
    records = _records(runtime)
    line = Line()
    for record in records:
        line.add(record)
    by_visit = {record["session"]: record for record in records}
    visits = [
        Visit(question, answer, by_visit[_session(number)])
        for number, (question, answer) in enumerate(zip(questions(), answers, strict=False))
    ]
    return Run(framework, visits, line, Billed.by_ledger(records), billed, alone)


def _ask_all(
    app: App, runtime: Runtime, cap: Nano | None, show: Callable[[str], None], progress: Callable[[], None]
) -> list[str]:
    """The answers, as far as the cap lets them come."""
    answers: list[str] = []
    for number, question in enumerate(questions()):
        if cap is not None and sum(record["bill"]["actual"] for record in _records(runtime)) >= cap:
            break
        with scope(feature="help-center", session=_session(number)):
            answers.append(app.ask(question) if answers else _streamed(app, question, show))
        progress()
    return answers


def _alone(framework: Framework, provider: LoopbackProvider, prices: Prices, progress: Callable[[], None]) -> Billed:
    """What the provider counts for the same questions through the same app without us."""
    before = len(provider.billed)
    app = _app(framework, None)
    for question in questions():
        app.ask(question)
        progress()
    return Billed.by_provider(provider.billed[before:], prices)


def _streamed(app: App, question: str, show: Callable[[str], None]) -> str:
    pieces: list[str] = []
    for piece in app.stream(question):
        show(piece)
        pieces.append(piece)
    return "".join(pieces)


def _records(runtime: Runtime) -> list[Record]:
    return list(runtime.ledger.records()) if runtime.ledger else []


def _session(number: int) -> str:
    return f"visit-{number}"


def _app(framework: Framework, runtime: Runtime | None) -> App:
    """The app; only its own framework is loaded."""
    if framework == "langchain":
        from thrift_plugins.demo.langchain_app import LangChainHelpCenter  # noqa: PLC0415

        return LangChainHelpCenter(runtime)
    from thrift_plugins.demo.llama_index_app import LlamaIndexHelpCenter  # noqa: PLC0415

    return LlamaIndexHelpCenter(runtime)
