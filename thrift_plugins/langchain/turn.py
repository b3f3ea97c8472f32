"""One call in LangChain's types: asks the tier that the flow names, with the caller's own input and config."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig

from thrift_plugins.engine import Call, Replay
from thrift_plugins.langchain.convert import merged, message_out, reply_in
from thrift_plugins.langchain.replay import replay
from thrift_plugins.langchain.tier import ModelTier
from thrift_plugins.types import Decision, Reply

Target = Runnable[Any, AIMessage]


@dataclass(slots=True)
class Turn:
    """The native half of one call.

    Attributes:
        bindings: for each tier the model with the call's tools or schema bound, None where it cannot; empty if the
            call has neither.
        given: what the app passed in: messages, prompt value or text.
        kwargs: keyword arguments of the call, without bound tools.
        answer: what the app gets.
    """

    tiers: Sequence[ModelTier]
    bindings: Sequence[Target | None]
    given: Any
    config: RunnableConfig
    kwargs: Mapping[str, Any]
    request_id: str
    answer: Any = None
    _reply: Reply | None = None

    def target(self, effect: Call | Replay) -> tuple[Target, RunnableConfig, Mapping[str, Any]]:
        """What to ask, in which config, with which arguments."""
        index = effect.decision.tier
        tier = self.tiers[index]
        bound = self.bindings[index] if self.bindings else None
        model: Target = bound or tier.model
        if isinstance(effect, Replay):
            model = _stand_in(replay(tier.model, message_out(effect.reply)), bound)
        return model, self._told(effect.decision), self.kwargs

    def _told(self, decision: Decision) -> RunnableConfig:
        """The caller's config with the decision in its metadata, where every callback and event shows it."""
        told = {
            "thrift_route": decision.name,
            "thrift_policy": decision.policy,
            "thrift_reasons": list(decision.reasons),
            "thrift_request_id": self.request_id,
        }
        config = self.config.copy()
        config["metadata"] = {**(config.get("metadata") or {}), **told}
        return config

    def _marked(self, message: BaseMessage, effect: Call | Replay) -> None:
        """Show the decision on the answer too."""
        decision = effect.decision
        mark: dict[str, Any] = {
            "tier": decision.name,
            "policy": decision.policy,
            "reasons": list(decision.reasons),
            "request_id": self.request_id,
            "hit": isinstance(effect, Replay),
        }
        if isinstance(effect, Replay):
            used = effect.reply.usage
            mark["saved"] = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        message.response_metadata = {**message.response_metadata, "thrift": mark}

    def _take(self, message: AIMessage, effect: Call | Replay) -> Reply:
        reply = reply_in(message)
        self._marked(message, effect)
        self.answer = message
        return reply

    def call(self, effect: Call | Replay) -> Reply:
        """Ask, and keep the message for the app."""
        model, config, kwargs = self.target(effect)
        return self._take(model.invoke(self.given, config, **kwargs), effect)

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        model, config, kwargs = self.target(effect)
        return self._take(await model.ainvoke(self.given, config, **kwargs), effect)

    def pieces(self, effect: Call | Replay) -> Generator[BaseMessage, None, Reply]:
        """Ask, and pass the chunks on as they come."""
        model, config, kwargs = self.target(effect)
        chunks: list[BaseMessage] = []
        stream = model.stream(self.given, config, **kwargs)
        try:
            for chunk in stream:
                self._passing(chunk, chunks, effect)
                yield chunk
        except BaseException:
            _broke(effect, chunks)
            raise
        finally:
            _close(stream)
        return reply_in(merged(chunks))

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[BaseMessage, None]:
        """`pieces` without blocking the event loop."""
        model, config, kwargs = self.target(effect)
        chunks: list[BaseMessage] = []
        stream = model.astream(self.given, config, **kwargs)
        try:
            async for chunk in stream:
                self._passing(chunk, chunks, effect)
                yield chunk
        except BaseException:
            _broke(effect, chunks)
            raise
        finally:
            await _aclose(stream)
        self._reply = reply_in(merged(chunks))

    def reply(self) -> Reply:
        """The whole of what `apieces` passed on."""
        assert self._reply is not None
        return self._reply

    def _passing(self, chunk: BaseMessage, chunks: list[BaseMessage], effect: Call | Replay) -> None:
        if not chunks:
            self._marked(chunk, effect)
            if isinstance(effect, Call):
                effect.delivered = True
        chunks.append(chunk)


class GenerateTurn(Turn):
    """A call of `generate`: one list of messages in, an `LLMResult` out."""

    def _took(self, result: LLMResult, effect: Call | Replay) -> Reply:
        generation = result.generations[0][0]
        assert isinstance(generation, ChatGeneration)
        assert isinstance(generation.message, AIMessage)
        reply = self._take(generation.message, effect)
        self.answer = result
        return reply

    def call(self, effect: Call | Replay) -> Reply:
        model, config, kwargs = self.generator(effect)
        return self._took(model.generate([self.given], **config, **kwargs), effect)

    async def acall(self, effect: Call | Replay) -> Reply:
        model, config, kwargs = self.generator(effect)
        return self._took(await model.agenerate([self.given], **config, **kwargs), effect)

    def generator(self, effect: Call | Replay) -> tuple[BaseChatModel, dict[str, Any], dict[str, Any]]:
        """The model itself, the config in the keyword arguments of `generate`, and the call's own."""
        target, config, kwargs = self.target(effect)
        told = {name: config.get(name) for name in ("callbacks", "tags", "metadata", "run_name", "run_id")}
        bound = {}
        while isinstance(target, RunnableBinding):
            bound = {**target.kwargs, **bound}
            target = target.bound
        assert isinstance(target, BaseChatModel)
        return target, told, {**bound, **kwargs}


def _stand_in(model: Target, bound: Target | None) -> Target:
    """The replaying model with the tools that the real one would have had, so that observers see the same call."""
    bind: Callable[..., Target] | None = getattr(model, "bind", None)
    kwargs = getattr(bound, "kwargs", None)
    return bind(**kwargs) if bind and kwargs else model


def _broke(effect: Call | Replay, chunks: Sequence[BaseMessage]) -> None:
    if isinstance(effect, Call) and chunks:
        effect.partial = reply_in(merged(chunks), complete=False)


def _close(stream: Any) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()


async def _aclose(stream: Any) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
