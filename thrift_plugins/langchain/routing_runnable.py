"""`RoutingRunnable`: any Runnables, cheapest first, of which the cheapest that is good enough answers."""

# ruff: noqa: A002  LangChain's names

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig, RunnableSequence
from langchain_core.runnables.config import ensure_config, merge_configs, patch_config
from langchain_core.runnables.retry import RunnableRetry

from thrift_plugins import drive
from thrift_plugins.config import Config
from thrift_plugins.effects import Call, Flow, Replay, counted
from thrift_plugins.engine import Engine
from thrift_plugins.errors import ConfigError
from thrift_plugins.given import kept, listed
from thrift_plugins.langchain.around import Around, around, entered, inside, silent
from thrift_plugins.langchain.convert import message_in, message_out, reply_in
from thrift_plugins.langchain.request import DIALECT, run_of, scope_of
from thrift_plugins.langchain.turn import unheard_here
from thrift_plugins.langchain.unheard import for_nobody, without_callbacks
from thrift_plugins.langchain.used import UsedInside
from thrift_plugins.lineup import lineup
from thrift_plugins.runtime import Runtime, chosen_runtime
from thrift_plugins.shape import words
from thrift_plugins.tries import watch
from thrift_plugins.types import NO_USAGE, Reply, Request, Tier

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(slots=True)
class _Tier:
    facts: Tier
    runnable: Runnable[Any, Any]


class RoutingRunnable(Runnable[In, Out], Generic[In, Out]):
    """Runnables of the app that answer as one: routed, repaired and booked as the tiers of a `ThriftChatModel` are.

    A tier may be a chain, an agent, a model or a function. What it uses is what the chat models in it tell; those of a
    `ThriftChatModel` inside, or of another of these, are booked there, where it has the same runtime, and not once more. What a
    cheaper tier answers is checked before anybody sees it: callbacks inside the tier hear nothing of what may be rejected, but for
    those of bare models that a function or a graph calls. A tier is asked as it is: shorter prompts and answers are for the models
    inside.

    Args:
        tiers: cheapest first.
        models: the model that each tier mostly asks, by which it is priced.
        names: a name for each tier, by default its model.
        baseline: the tier that the app would use without us, by index or name; by default the last.
        runtime: shared policies and ledger; by default one for the process.
        config: settings for a runtime of its own, or the path of a `thrift.toml`.

    Raises:
        ConfigError: no tiers, names or models that do not fit, or an unknown baseline.

    Example:
        ```python
        chain = RoutingRunnable([prompt | small | parser, prompt | large | parser], models=["gpt-4o-mini", "gpt-4o"])
        ```
    """

    def __init__(
        self,
        tiers: Sequence[Runnable[In, Out]],
        *,
        models: Sequence[str],
        names: Sequence[str] | None = None,
        baseline: int | str = -1,
        runtime: Runtime | None = None,
        config: Config | str | Path | None = None,
    ) -> None:
        if len(models) != len(tiers):
            raise ConfigError(f"{len(tiers)} tiers but {len(models)} models: name the model that each tier asks")
        self.runtime = chosen_runtime(runtime, config)
        pairs = list(zip(tiers, models, strict=True))
        self._tiers, self._index = lineup(
            pairs, names, baseline, lambda pair, name: _Tier(Tier(name or pair[1], pair[1]), pair[0])
        )

    def invoke(self, input: In, config: RunnableConfig | None = None, **kwargs: Any) -> Out:
        """Answer."""
        return self._call_with_config(partial(self._invoke, kwargs), input, config)

    async def ainvoke(self, input: In, config: RunnableConfig | None = None, **kwargs: Any) -> Out:
        """`invoke` without blocking the event loop."""
        return await self._acall_with_config(partial(self._ainvoke, kwargs), input, config)

    def stream(self, input: In, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Out]:
        """The answer in pieces, where the tier that answers gives it so and nothing of it is to be checked."""
        flow, turn = self._begin(input, ensure_config(config), kwargs, streamed=True)
        return drive.stream(flow, self.runtime, turn)

    def astream(self, input: In, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Out]:
        """`stream` without blocking the event loop."""
        flow, turn = self._begin(input, ensure_config(config), kwargs, streamed=True)
        return drive.astream(flow, self.runtime, turn)

    def _invoke(
        self, kwargs: Mapping[str, Any], input: In, run_manager: CallbackManagerForChainRun, config: RunnableConfig
    ) -> Out:
        config = patch_config(config, callbacks=run_manager.get_child())
        flow, turn = self._begin(input, config, kwargs)
        drive.run(flow, self.runtime, turn)
        answer: Out = turn.answer
        return answer

    async def _ainvoke(
        self, kwargs: Mapping[str, Any], input: In, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
    ) -> Out:
        config = patch_config(config, callbacks=run_manager.get_child())
        flow, turn = self._begin(input, config, kwargs)
        await drive.arun(flow, self.runtime, turn)
        answer: Out = turn.answer
        return answer

    def _begin(
        self, input: In, config: RunnableConfig, kwargs: Mapping[str, Any], *, streamed: bool = False
    ) -> tuple[Flow, _Turn]:
        given, facts = listed(input), [tier.facts for tier in self._tiers]
        request = self.runtime.request(
            dialect=DIALECT,
            model=facts[self._index].model,
            identities=[None],  # what a Runnable does is not ours to know: its answers are not kept
            messages=[message_in(message) for message in _messages(given)],
            params={},
            scope=scope_of(config),
            cacheable=False,
            forced=(config.get("configurable") or {}).get("thrift_route"),
            run=run_of(config),
        )
        request = entered(self.runtime, request, facts)
        runnables = [without_callbacks(tier.runnable) if silent() else tier.runnable for tier in self._tiers]
        turn = _Turn(runnables, given, config, kwargs, self.runtime, request)
        turn.form = _form(self._tiers[self._index].runnable)
        return self._engine(turn).call(request, facts, self._index, dialect=DIALECT, streamed=streamed), turn

    def _engine(self, turn: _Turn) -> Engine:
        """The runtime's, without what cannot be done to a Runnable."""
        engine = self.runtime.engine
        audits = replace(engine.audits, shadows=False) if engine.audits else None  # it may do more than answer
        pupils = engine.pupils if turn.form is not None else None
        # A tier gets what the app gave, to the byte: what is not done to it must not be booked.
        return replace(engine, compression=None, output=None, audits=audits, pupils=pupils)


@dataclass(slots=True)
class _Turn:
    """One call.

    Attributes:
        request: what is asked, in our words.
        answer: what the app gets.
        unheard: whether nobody is to hear of what it does.
        form: makes what the app gets of an answer that no tier gave, but a student; None where its form is not known.
    """

    runnables: Sequence[Runnable[Any, Any]]
    given: Any
    config: RunnableConfig
    kwargs: Mapping[str, Any]
    runtime: Runtime
    request: Request
    unheard: bool = False
    answer: Any = None
    form: Callable[[Reply], Any] | None = None
    _aside: _Turn | None = field(default=None, init=False)
    _reply: Reply = field(default_factory=lambda: Reply("", NO_USAGE), init=False)

    def quiet(self) -> _Turn:
        """The same, for nobody."""
        return self._unheard(kept(self.given, (BaseMessage, PromptValue)))

    def _unheard(self, given: Any) -> _Turn:
        runnables = [without_callbacks(runnable) for runnable in self.runnables]
        return _Turn(runnables, given, for_nobody(self.config), self.kwargs, self.runtime, self.request, unheard=True)

    def aside(self) -> _Turn:
        """The same, for an answer that may be rejected."""
        if self._aside is None:
            self._aside = self._unheard(self.given)
        return self._aside

    def call(self, effect: Call | Replay) -> Reply:
        """Ask, and keep the answer for the app."""
        if isinstance(effect, Replay):
            return self._shown(effect)
        used, config = self._heard(effect)
        try:
            with self._counted(effect), self._traced(), inside(used.call):
                self.answer = self.runnables[effect.tier].invoke(self.given, config, **self.kwargs)
        except BaseException:
            _broke(effect, used)
            raise
        return _reply(self.answer, used)

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        if isinstance(effect, Replay):
            return self._shown(effect)
        used, config = self._heard(effect)
        try:
            with self._counted(effect), self._traced(), inside(used.call):
                self.answer = await self.runnables[effect.tier].ainvoke(self.given, config, **self.kwargs)
        except BaseException:
            _broke(effect, used)
            raise
        return _reply(self.answer, used)

    def pieces(self, effect: Call | Replay) -> Generator[Any, None, Reply]:
        """Ask, and pass the pieces on as they come."""
        if isinstance(effect, Replay):
            reply = self._shown(effect)
            yield self.answer
            return reply
        used, config = self._heard(effect)
        said: list[Any] = []
        with inside(used.call):
            stream = self.runnables[effect.tier].stream(self.given, config, **self.kwargs)
        try:
            while True:
                with self._counted(effect), inside(used.call):
                    piece = next(stream, _END)
                if piece is _END:
                    break
                said.append(piece)
                effect.delivered = effect.held = True
                yield piece
                effect.held = False
        except BaseException:
            _broke(effect, used, said)
            raise
        finally:
            if isinstance(stream, Generator):
                stream.close()
        return _reply(_joined(said), used)

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[Any, None]:
        """`pieces` without blocking the event loop."""
        if isinstance(effect, Replay):
            self._reply = self._shown(effect)
            yield self.answer
            return
        used, config = self._heard(effect)
        said: list[Any] = []
        with inside(used.call):
            stream = self.runnables[effect.tier].astream(self.given, config, **self.kwargs)
        try:
            while True:
                with self._counted(effect), inside(used.call):
                    piece = await anext(stream, _END)
                if piece is _END:
                    break
                said.append(piece)
                effect.delivered = effect.held = True
                yield piece
                effect.held = False
        except BaseException:
            _broke(effect, used, said)
            raise
        finally:
            await drive.aclosed(stream)
        self._reply = _reply(_joined(said), used)

    def reply(self) -> Reply:
        """The whole of what `apieces` passed on."""
        return self._reply

    def _counted(self, effect: Call) -> AbstractContextManager[None]:
        """The requests in this block are of this call, where they can be told from those of other calls in the tier."""
        model = _only_model(self.runnables[effect.tier])
        if model is not None:
            watch(model)
        return counted(effect, model)

    def _traced(self) -> AbstractContextManager[None]:
        """Tracers, which need no config to hear of a run, hear of none that is for nobody."""
        return unheard_here() if self.unheard else nullcontext()

    def _shown(self, effect: Replay) -> Reply:
        if self._aside is not None:
            self.answer = self._aside.answer
        elif self.form is not None:
            self.answer = self.form(effect.reply)
        return effect.reply

    def _heard(self, effect: Call) -> tuple[UsedInside, RunnableConfig]:
        """A config in which the usage of the models in a tier is told."""
        decision = effect.decision
        used = UsedInside(Around(self.runtime, self.request.forced, self.unheard, outer=around()))
        told = {
            "thrift_booked": self.request.id,
            "thrift_route": decision.name,
            "thrift_policy": decision.policy,
            "thrift_reasons": list(decision.reasons),
        }
        with self._traced():  # what is around would be merged into it
            config = merge_configs(self.config, {"callbacks": [used], "metadata": told})
        config.pop("run_id", None)
        return used, config


_END: Final = object()
"""After the last piece of a stream, which may be of any type."""


def _only_model(runnable: Runnable[Any, Any]) -> BaseChatModel | None:
    """The model that a tier asks once, None where it asks several or none, or the same again.

    Where a tier itself asks the same again, as one `with_retry` does, that is no repetition by an SDK.
    """
    if isinstance(runnable, BaseChatModel):
        return runnable
    if isinstance(runnable, RunnableBinding) and not isinstance(runnable, RunnableRetry):
        return _only_model(runnable.bound)
    if not isinstance(runnable, RunnableSequence):
        return None
    found = [model for step in runnable.steps if (model := _only_model(step)) is not None]
    return found[0] if len(found) == 1 else None


def _form(runnable: Runnable[Any, Any]) -> Callable[[Reply], Any] | None:
    """What gives a student's answer the form of this tier's, where that is a text or a message."""
    while isinstance(runnable, RunnableBinding | RunnableSequence):
        runnable = runnable.bound if isinstance(runnable, RunnableBinding) else runnable.last
    if isinstance(runnable, BaseChatModel):
        return message_out
    return words if isinstance(runnable, StrOutputParser) else None


def _messages(given: Any) -> list[BaseMessage]:
    """What is asked, as far as it is words."""
    if isinstance(given, PromptValue):
        return given.to_messages()
    if isinstance(given, Mapping) and "messages" in given:
        return _messages(given["messages"])
    if isinstance(given, BaseMessage):
        return [given]
    if isinstance(given, Sequence) and not isinstance(given, str):
        try:
            return convert_to_messages(given)
        except (ValueError, TypeError, NotImplementedError):
            pass
    if isinstance(given, Mapping):
        given = "\n".join(value for value in given.values() if isinstance(value, str))
    return [HumanMessage(str(given))]


def _reply(answer: Any, used: UsedInside) -> Reply:
    if isinstance(answer, AIMessage):
        told = reply_in(answer)
        return Reply(told.content, used.usage(), told.tool_calls, told.finish_reason, told.model, storable=False)
    words = answer if isinstance(answer, str) else repr(answer)
    return Reply(words, used.usage(), finish_reason="stop", storable=False)


def _broke(effect: Call, used: UsedInside, said: Sequence[Any] = ()) -> None:
    if used.call.booked:
        effect.partial = Reply("", used.usage(), storable=False)
    elif used.usage_metadata or said:
        effect.partial = replace(_reply(_joined(said), used), complete=False)


def _joined(said: Sequence[Any]) -> Any:
    """The pieces as one, where they can be added."""
    whole = said[0] if said else ""
    for piece in said[1:]:
        try:
            whole = whole + piece
        except TypeError:
            whole = piece
    return whole
