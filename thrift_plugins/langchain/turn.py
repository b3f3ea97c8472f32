"""One call in LangChain's types: asks the tier that the flow names, with the caller's own input and config."""

# ruff: noqa: SLF001  LangChain's reading of an input is behind an underscore

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langsmith.run_helpers import tracing_context

from thrift_plugins import drive
from thrift_plugins.budgeting import Fuse, joined, noted
from thrift_plugins.effects import Call, Replay, counted
from thrift_plugins.given import kept
from thrift_plugins.langchain.around import silent
from thrift_plugins.langchain.billed import billed
from thrift_plugins.langchain.convert import merged, message_out, reply_in, with_change, with_rest
from thrift_plugins.langchain.replay import replay
from thrift_plugins.langchain.tier import ModelTier
from thrift_plugins.langchain.unheard import without_callbacks
from thrift_plugins.sent import as_sent
from thrift_plugins.types import Message, Reply, Request, decision_record

Target = Runnable[Any, AIMessage]


@dataclass(slots=True)
class Turn:
    """The native half of one call.

    Attributes:
        bindings: for each tier the model with the call's tools or schema bound, None where it cannot; empty if the
            call has neither.
        given: what the app passed in: messages, prompt value or text.
        kwargs: keyword arguments of the call, without bound tools.
        identities: for each tier a digest of its settings, by which its answer is kept.
        answer: what the app gets, after `call`.
    """

    tiers: Sequence[ModelTier]
    bindings: Sequence[Target | None]
    given: Any
    config: RunnableConfig
    kwargs: Mapping[str, Any]
    request_id: str
    identities: Sequence[str | None]
    answer: AIMessage = field(init=False)
    _reply: Reply = field(init=False)
    _asked: bool = field(default=False, init=False)
    _aside: QuietTurn | None = field(default=None, init=False)

    def target(self, effect: Call | Replay) -> tuple[Target, RunnableConfig, Mapping[str, Any]]:
        """What to ask, in which config, with which arguments."""
        index = effect.decision.tier
        tier = self.tiers[index]
        bound = self.bindings[index] if self.bindings else None
        model: Target = bound or tier.model
        kwargs = self.kwargs
        if isinstance(effect, Call):
            effect.form = partial(sent_form, options={**getattr(bound, "kwargs", {}), **self.kwargs})
            if effect.imposed:
                kwargs = {**kwargs, **dict.fromkeys(tier.limit_names(kwargs), effect.most)}
            heat = effect.heat(kwargs.get("temperature", tier.read().params.get("temperature")))
            if heat is not None:
                kwargs = {**kwargs, "temperature": heat}
        if isinstance(effect, Replay):
            tried = self._aside.answer if effect.tried and self._aside else None
            model = _stand_in(replay(tier.model, tried or message_out(effect.reply)), bound)
        return without_callbacks(model) if silent() else model, self._told(effect), kwargs

    def asking(self, effect: Call | Replay) -> Any:
        """What the app passed in, compressed, with the notes on it that ask for a shorter answer."""
        notes = effect.plan.notes if isinstance(effect, Call) and effect.plan else ()
        change = effect.change if isinstance(effect, Call) else None
        goes_on = isinstance(effect, Call) and effect.continues is not None
        if not notes and not goes_on and change is None:
            return self.given
        messages = [*self.tiers[effect.decision.tier].model._convert_input(self.given).to_messages()]
        messages = with_change(messages, change) if change is not None else messages
        for at, text in notes:
            messages[at] = messages[at].model_copy(update={"content": noted(messages[at].content, text)})
        if isinstance(effect, Call) and goes_on:
            said, ask = effect.request.messages[-2:]
            messages += [AIMessage(said.text), HumanMessage(ask.text)]
        return messages

    def _told(self, effect: Call | Replay) -> RunnableConfig:
        """The caller's config with the decision in its metadata, where every callback and event shows it."""
        decision = effect.decision
        told: dict[str, Any] = {
            "thrift_route": decision.name,
            "thrift_policy": decision.policy,
            "thrift_reasons": list(decision.reasons),
            "thrift_request_id": self.request_id,
        }
        if known := decision_record(decision):
            told["thrift_decision"] = known
        if isinstance(effect, Call) and effect.budgets:
            told["thrift_budgets"] = list(effect.budgets)  # a handler of the app's leaves these out
        config = self.config.copy()
        if self._asked:
            config.pop("run_id", None)  # it names one run, and an observer takes a second for the first
        self._asked = True
        config["metadata"] = {**(config.get("metadata") or {}), **told}
        return config

    def _mark(self, message: AIMessage, effect: Call | Replay) -> None:
        """Show the decision on the answer too."""
        decision = effect.decision
        mark: dict[str, Any] = {
            "tier": decision.name,
            "policy": decision.policy,
            "reasons": list(decision.reasons),
            "request_id": self.request_id,
            **decision_record(decision),
            "hit": isinstance(effect, Replay) and not effect.tried,
        }
        if isinstance(effect, Replay) and not effect.tried:
            used = effect.reply.usage
            mark["saved"] = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        message.response_metadata = {**message.response_metadata, "thrift": mark}

    def _take(self, message: AIMessage, effect: Call | Replay) -> Reply:
        reply = self.as_set(reply_in(message), effect)
        if isinstance(effect, Call) and effect.continues is not None:
            self._join(message, reply, effect, effect.continues)
            return reply
        self._mark(message, effect)
        self.answer = message
        return reply

    def _join(self, message: AIMessage, rest: Reply, effect: Call, first: Reply) -> None:
        """Give the app a cut answer and its rest as one message, if they join."""
        whole = joined(first, rest)
        if whole is None:
            return
        self._show(with_rest(self.answer, message, whole))
        effect.whole = replace(whole, extra=reply_in(self.answer).extra)

    def _show(self, message: AIMessage) -> None:
        """Replace what the app gets."""
        self.answer = message

    def call(self, effect: Call | Replay) -> Reply:
        """Ask, and keep the message for the app."""
        model, config, kwargs = self.target(effect)
        try:
            with counted(effect, self._own(effect)):
                answer = model.invoke(self.asking(effect), config, **kwargs)
            return self._take(answer, effect)
        except BaseException as error:
            broke(effect, error)
            raise

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        model, config, kwargs = self.target(effect)
        try:
            with counted(effect, self._own(effect)):
                answer = await model.ainvoke(self.asking(effect), config, **kwargs)
            return self._take(answer, effect)
        except BaseException as error:
            broke(effect, error)
            raise

    def pieces(self, effect: Call | Replay) -> Generator[AIMessageChunk, None, Reply]:
        """Ask, and pass the chunks on as they come."""
        model, config, kwargs = self.target(effect)
        chunks: list[AIMessageChunk] = []
        fuse = self._fuse(effect)
        stream = cast("Iterator[AIMessageChunk]", model.stream(self.asking(effect), config, **kwargs))
        try:
            while True:
                with counted(effect, self._own(effect)):
                    chunk = next(stream, None)
                if chunk is None:
                    break
                self._passing(chunk, chunks, effect)
                yield chunk
                if isinstance(effect, Call):
                    effect.held = False
                if fuse.burns(shown(chunk)):
                    yield _CUT.model_copy()
                    return _cut(chunks)
        except BaseException as error:
            broke(effect, error, chunks)
            raise
        finally:
            if isinstance(stream, Generator):
                stream.close()
        return self.as_set(reply_in(merged(chunks)), effect)

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[AIMessageChunk, None]:
        """`pieces` without blocking the event loop."""
        model, config, kwargs = self.target(effect)
        chunks: list[AIMessageChunk] = []
        fuse = self._fuse(effect)
        stream = cast("AsyncIterator[AIMessageChunk]", model.astream(self.asking(effect), config, **kwargs))
        try:
            while True:
                with counted(effect, self._own(effect)):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                self._passing(chunk, chunks, effect)
                yield chunk
                if isinstance(effect, Call):
                    effect.held = False
                if fuse.burns(shown(chunk)):
                    yield _CUT.model_copy()
                    self._reply = _cut(chunks)
                    return
        except BaseException as error:
            broke(effect, error, chunks)
            raise
        finally:
            await drive.aclosed(stream)
        self._reply = self.as_set(reply_in(merged(chunks)), effect)

    def as_set(self, reply: Reply, effect: Call | Replay) -> Reply:
        """An answer, not to be kept where the app has changed the model's settings since they were read for its key."""
        index = effect.decision.tier
        return reply if self.tiers[index].identity == self.identities[index] else replace(reply, storable=False)

    def _own(self, effect: Call | Replay) -> BaseChatModel:
        """The app's model that is asked."""
        return self.tiers[effect.decision.tier].model

    def _fuse(self, effect: Call | Replay) -> Fuse:
        most = effect.most if isinstance(effect, Call) else None
        return Fuse(most, self.tiers[effect.decision.tier].facts.model)

    def reply(self) -> Reply:
        """The whole of what `apieces` passed on."""
        return self._reply

    def _passing(self, chunk: AIMessageChunk, chunks: list[AIMessageChunk], effect: Call | Replay) -> None:
        if not chunks:
            self._mark(chunk, effect)
        if isinstance(effect, Call):
            effect.delivered = effect.held = True
            effect.pieces += 1
        chunks.append(chunk)

    def aside(self) -> QuietTurn:
        """The same call, for an answer that may be rejected; it is kept there until it is shown."""
        if self._aside is None:
            self._aside = self._unheard(self.given, self.kwargs)
        return self._aside

    def quiet(self) -> QuietTurn:
        """The same call, for an answer that nobody waits for."""
        return self._unheard(*kept((self.given, dict(self.kwargs)), (BaseMessage, PromptValue)))

    def _unheard(self, given: Any, kwargs: Mapping[str, Any]) -> QuietTurn:
        return QuietTurn(self.tiers, self.bindings, given, {"callbacks": []}, kwargs, self.request_id, self.identities)


@contextmanager
def unheard_here() -> Iterator[None]:
    """No tracer hears of this block, nor do the callbacks of the chain around it, which a bound model would take for its own."""
    token = var_child_runnable_config.set(None)
    try:
        with tracing_context(enabled=False):
            yield
    finally:
        var_child_runnable_config.reset(token)


@dataclass(slots=True)
class QuietTurn(Turn):
    """A call that neither the app's callbacks nor a tracer hear of."""

    def target(self, effect: Call | Replay) -> tuple[Target, RunnableConfig, Mapping[str, Any]]:
        """What to ask, in a config that nobody has touched."""
        model, _, kwargs = Turn.target(self, effect)
        return without_callbacks(model), self.config, kwargs

    def call(self, effect: Call | Replay) -> Reply:
        """Ask."""
        with unheard_here():
            return Turn.call(self, effect)

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        with unheard_here():
            return await Turn.acall(self, effect)


@dataclass(slots=True)
class GenerateTurn(Turn):
    """A call of `generate`: one list of messages in, an `LLMResult` out.

    Attributes:
        result: what the app gets, after `call`.
    """

    result: LLMResult = field(init=False)

    def _took(self, result: LLMResult, effect: Call | Replay) -> Reply:
        generation = cast("ChatGeneration", result.generations[0][0])
        if not isinstance(effect, Call) or effect.continues is None:
            self.result = result
        return self._take(cast("AIMessage", generation.message), effect)

    def _show(self, message: AIMessage) -> None:
        """Replace what the app gets, and leave the rest of the result as it is."""
        Turn._show(self, message)
        generation = self.result.generations[0][0].model_copy(update={"message": message, "text": message.text})
        self.result = self.result.model_copy(update={"generations": [[generation]]})

    def call(self, effect: Call | Replay) -> Reply:
        """Ask, and keep the result for the app."""
        model, config, kwargs = self._generator(effect)
        try:
            with counted(effect, self._own(effect)):
                result = model.generate([self.asking(effect)], **config, **kwargs)
            return self._took(result, effect)
        except BaseException as error:
            broke(effect, error)
            raise

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        model, config, kwargs = self._generator(effect)
        try:
            with counted(effect, self._own(effect)):
                result = await model.agenerate([self.asking(effect)], **config, **kwargs)
            return self._took(result, effect)
        except BaseException as error:
            broke(effect, error)
            raise

    def _generator(self, effect: Call | Replay) -> tuple[BaseChatModel, dict[str, Any], dict[str, Any]]:
        """The model itself, the config as keyword arguments of `generate`, and the call's own."""
        target, config, kwargs = self.target(effect)
        told = {name: config.get(name) for name in ("callbacks", "tags", "metadata", "run_name", "run_id")}
        bound: dict[str, Any] = {}
        while isinstance(target, RunnableBinding):
            bound = {**target.kwargs, **bound}
            target = target.bound
        return cast("BaseChatModel", target), told, {**bound, **kwargs}


def sent_form(request: Request, options: Mapping[str, Any]) -> Request:
    """The request as LangChain's OpenAI classes send it: earlier tool calls with spaces in their JSON."""
    request = as_sent(request, options)
    if not any(message.tool_calls for message in request.messages):
        return request
    return replace(request, messages=tuple(_spaced(message) for message in request.messages))


def _spaced(message: Message) -> Message:
    calls = (
        call
        if isinstance(call.arguments, str)
        else replace(call, arguments=json.dumps(call.arguments, ensure_ascii=False))
        for call in message.tool_calls
    )
    return replace(message, tool_calls=tuple(calls)) if message.tool_calls else message


_CUT = AIMessageChunk(content="", response_metadata={"finish_reason": "length"}, chunk_position="last")
"""The end of an answer that was cut by us, in the words of a provider that cuts one."""


def shown(chunk: AIMessageChunk) -> str:
    """What of a piece the provider has counted."""
    return "".join([str(chunk.text), *(call.get("args") or "" for call in chunk.tool_call_chunks)])


def _cut(chunks: Sequence[AIMessageChunk]) -> Reply:
    reply = reply_in(merged([*chunks, _CUT]), complete=False)
    return replace(reply, finish_reason="length", storable=False)


def _stand_in(model: BaseChatModel, bound: Target | None) -> Target:
    """The replaying model with the tools that the real one would have had, so that observers see the same call."""
    kwargs: Mapping[str, Any] | None = getattr(bound, "kwargs", None)
    return model.bind(**kwargs) if kwargs else model


def broke(effect: Call | Replay, error: BaseException, chunks: Sequence[AIMessageChunk] = ()) -> None:
    """Tell the flow what had arrived."""
    if not isinstance(effect, Call):
        return
    used = billed(error)
    if used is not None:
        effect.partial = Reply("", used, storable=False)
    elif chunks:
        effect.partial = reply_in(merged(chunks), complete=False)
