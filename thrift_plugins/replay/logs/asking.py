"""Asks a live model a sample of what a log holds, within a budget, and sets its answers beside those of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from langchain_core.language_models import BaseChatModel

from thrift_plugins.budgeting import Budget, is_cut
from thrift_plugins.config import CacheConfig, Config, LedgerConfig, RoutingConfig
from thrift_plugins.errors import BudgetExceeded, ConfigError, UnknownModelPrice
from thrift_plugins.langchain import JudgeModel, ThriftChatModel
from thrift_plugins.langchain.convert import reply_in
from thrift_plugins.learning.spread import ratio
from thrift_plugins.learning.survey import Estimate
from thrift_plugins.quality import AutoJudge, Judgement, LLMJudge, Standing
from thrift_plugins.quality.judge import LOSS
from thrift_plugins.quality.labelled import settled
from thrift_plugins.quality.trial import Limits, Trial
from thrift_plugins.replay.logs.logged import Logged
from thrift_plugins.runtime import Runtime
from thrift_plugins.types import Message, Nano, Reply, Request


@dataclass(slots=True)
class Asked:
    """What came of it.

    Attributes:
        asked: calls that were answered.
        stopped: whether the budget had no room for the next one.
        failed: calls that were not, by the error's name.
        spent: nano-dollars, the judge's calls included.
        costs: for each, what the new answer and the one of the log cost, in nano-dollars.
        standing: how the new answers compare with those of the log.
        margin: the drop that is tolerated.
    """

    model: str
    asked: int = 0
    stopped: bool = False
    failed: Counter[str] = field(default_factory=Counter)
    spent: Nano = 0
    costs: list[tuple[float, float]] = field(default_factory=list)
    standing: Standing | None = None
    margin: float = 0.0

    @property
    def cost(self) -> Estimate | None:
        """Share of the log's bill for these calls, with its interval of 95 %; None where too few were asked."""
        return ratio(self.costs)


def ask(
    sample: Sequence[Logged],
    model: BaseChatModel,
    *,
    usd: float,
    settings: Config,
    judge: BaseChatModel | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Asked:
    """Ask a model what the log's calls asked, one after the other, until the budget has no room for another.

    Args:
        usd: the most that it may cost, in US dollars, the judge's answers included.
        settings: whose prices and margin count.
        judge: judges prose; without one only short and structured answers are compared.

    Raises:
        ConfigError: the model, or the judge, has no price, so that nobody could keep to the budget.
    """
    budget = Budget.usd("asking", usd, window="total", warn=())
    config = Config(
        store="memory:", cache=CacheConfig(enabled=False), routing=RoutingConfig(enabled=False),
        ledger=LedgerConfig(holdout=0.0), prices=settings.prices, budgets=(budget,),
    )  # fmt: skip
    runtime = Runtime(config)
    try:
        return _Asking(model, judge, runtime, settings.quality.margin).run(sample, progress)
    except UnknownModelPrice as error:
        raise ConfigError(
            f"{error}; give its price under [prices] in the settings, so that --usd can be kept"
        ) from error
    finally:
        runtime.close()


class _Asking:
    def __init__(self, model: BaseChatModel, judge: BaseChatModel | None, runtime: Runtime, margin: float) -> None:
        self._runtime = runtime
        self._model = ThriftChatModel(tiers=[model], runtime=runtime)
        prose = LLMJudge(JudgeModel(ThriftChatModel(tiers=[judge], runtime=runtime))) if judge else None
        self._judge = AutoJudge(prose)
        calibration = self._judge.calibration
        limits = Limits(calibration.holds_below(margin), calibration.broken_above(margin))
        self._trial = Trial(limits)
        self._done = Asked(self._model.names[0] if self._model.names else "", margin=margin)

    def run(self, sample: Sequence[Logged], progress: Callable[[], None]) -> Asked:
        done = self._done
        for call in sample:
            try:
                done.stopped = not self._one(call)
            except BudgetExceeded:
                done.stopped = True
            except UnknownModelPrice:
                raise
            except Exception as error:  # noqa: BLE001  one call that cannot be asked is no reason not to ask the others
                done.failed[type(error).__name__] += 1
            if done.stopped:
                break
            progress()
        done.standing = self._trial.standing("routing", "")
        ledger = self._runtime.ledger
        if ledger is not None:
            done.spent = sum(entry["bill"]["actual"] for entry in ledger.records())
        return done

    def _one(self, call: Logged) -> bool:
        """Ask one. Gives False where the budget had no room for a whole answer."""
        model: Any = self._model
        if call.tools:
            model = model.bind_tools([{"type": "function", "function": dict(tool)} for tool in call.tools])
        told = {name: call.params[name] for name in _SENT if name in call.params}
        answer = model.invoke([as_openai(message) for message in call.messages], **told)
        reply = reply_in(answer)
        if is_cut(reply) and not (call.reply and is_cut(call.reply)):
            return False
        self._done.asked += 1
        prices, name = self._runtime.prices, answer.response_metadata["thrift"]["tier"]
        self._done.model = name
        self._done.costs.append((prices.cost(name, reply.usage), prices.cost(call.model, call.usage, at=call.at)))
        judged = self._judged(call, reply)
        if judged is None:
            self._trial.unjudged += 1
        else:
            self._trial.judged(LOSS[judged])
        return True

    def _judged(self, call: Logged, reply: Reply) -> Judgement | None:
        if call.reply is None:
            return None
        request = Request("asked", call.at, call.model, call.messages, call.tools, call.schema)
        return settled(self._judge.judge(request, reply, call.reply))


_SENT = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed")


def as_openai(message: Message) -> dict[str, Any]:
    """A message as LangChain takes it from anybody."""
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _text(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        told["tool_call_id"] = message.tool_call_id
    if message.name:
        told["name"] = message.name
    return told


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
