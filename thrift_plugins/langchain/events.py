"""`stream_events(version="v3")`: the tier's own stream object, watched by a callback that books the call at its end.

The stream object is the tier's, so it is pulled long after this function has returned; the flow waits at its call
until the tier's run ends, fails, or the object is thrown away. Another tier cannot take over once it is handed out.
"""

# ruff: noqa: ARG002  LangChain's signatures

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from thrift_plugins import drive
from thrift_plugins.effects import Call, Flow, Replay
from thrift_plugins.langchain.convert import reply_in
from thrift_plugins.langchain.turn import Turn
from thrift_plugins.runtime import Runtime
from thrift_plugins.types import Reply, Usage

_TEXTUAL = frozenset({"text", "tool_call", "invalid_tool_call"})
_UNREAD = Reply("", Usage(source="provider"), storable=False)
"""A stream that nobody read: its provider is asked when the first piece is."""


class _Watch:
    """A flow that waits for its call; resumed once.

    It puts the events together by itself: holding the stream would keep it from ever being thrown away, and the run's
    end is told by a task of its own, which dies with an event loop that ends as soon as the app has its answer.

    Args:
        pulled: whether the app's reading is what moves the stream.
    """

    def __init__(self, flow: Flow, runtime: Runtime, turn: Turn, effect: Call | Replay, *, pulled: bool) -> None:
        self._flow, self._runtime, self._turn, self._effect = flow, runtime, turn, effect
        self._seen = ChatModelStream()
        self._resumed = False
        if isinstance(effect, Call):
            effect.delivered = True
            effect.held = pulled

    def heard(self, event: Mapping[str, Any]) -> None:
        if isinstance(self._effect, Call):
            self._effect.pieces += 1
        self._seen.dispatch(event)

    def ended(self) -> None:
        if self._once():
            drive.finish(self._flow, self._runtime, self._reply(), None)

    async def aended(self) -> None:
        if self._once():
            await drive.afinish(self._flow, self._runtime, self._reply(), None)

    def failed(self, error: BaseException) -> None:
        if self._once():
            self._broke()
            drive.finish(self._flow, self._runtime, None, error)

    async def afailed(self, error: BaseException) -> None:
        if self._once():
            self._broke()
            await drive.afinish(self._flow, self._runtime, None, error)

    def abandoned(self) -> None:
        """Nobody holds the stream any more."""
        if isinstance(self._effect, Call) and not self._seen.has_events:
            self._effect.partial = _UNREAD
        if self._seen.output_message is not None:
            self.ended()
        else:
            self.failed(GeneratorExit())

    def _once(self) -> bool:
        first, self._resumed = not self._resumed, True
        return first

    def _broke(self) -> None:
        """Tell the flow what had arrived."""
        if isinstance(self._effect, Call) and self._seen.has_events:
            self._seen.dispatch({"event": "message-finish"})
            self._effect.partial = replace(self._reply(), complete=False)

    def _reply(self) -> Reply:
        return self._turn.as_set(_textual(cast("AIMessage", self._seen.output_message)), self._effect)


def _textual(message: AIMessage) -> Reply:
    """The reply in a v3 message.

    It has blocks where that of `invoke` has text, and what is stored must be the answer of `invoke`; blocks that are
    not text have no such form.
    """
    if isinstance(message.content, str):
        return reply_in(message)
    plain = all(isinstance(block, dict) and block.get("type") in _TEXTUAL for block in message.content)
    told = {name: value for name, value in message.response_metadata.items() if name != "output_version"}
    return replace(
        reply_in(message.model_copy(update={"content": message.text, "response_metadata": told})), storable=plain
    )


class _Handler(BaseCallbackHandler):
    run_inline = True

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self._watch.heard(event)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self._watch.ended()

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self._watch.failed(error)


class _AsyncHandler(AsyncCallbackHandler):
    run_inline = True

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    async def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self._watch.heard(event)

    async def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        await self._watch.aended()

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        await self._watch.afailed(error)


def events(flow: Flow, runtime: Runtime, turn: Turn) -> ChatModelStream:
    """The v3 stream of the tier that the flow chooses."""
    effect = drive.start(flow, runtime, turn)
    watch = _Watch(flow, runtime, turn, effect, pulled=True)
    model, config, kwargs = turn.target(effect)
    try:
        stream = model.stream_events(turn.asking(effect), _with(config, _Handler(watch)), version="v3", **kwargs)
    except BaseException as error:
        watch.failed(error)
        raise
    weakref.finalize(stream, watch.abandoned)
    return cast("ChatModelStream", stream)


async def aevents(flow: Flow, runtime: Runtime, turn: Turn) -> AsyncChatModelStream:
    """`events` without blocking the event loop."""
    effect = await drive.astart(flow, runtime, turn)
    watch = _Watch(flow, runtime, turn, effect, pulled=False)
    model, config, kwargs = turn.target(effect)
    try:
        stream = await model.astream_events(
            turn.asking(effect), _with(config, _AsyncHandler(watch)), version="v3", **kwargs
        )
    except BaseException as error:
        await watch.afailed(error)
        raise
    weakref.finalize(stream, watch.abandoned)
    return cast("AsyncChatModelStream", stream)


def _with(config: RunnableConfig, handler: BaseCallbackHandler) -> RunnableConfig:
    return merge_configs(config, {"callbacks": [handler]})
