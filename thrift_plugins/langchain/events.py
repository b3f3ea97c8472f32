"""`stream_events(version="v3")`: the tier's own stream object, watched by a callback that books the call at its end.

The stream object is the tier's, so it is pulled long after this function has returned; the flow waits at its call
until the tier's run ends, fails, or the object is thrown away. Another tier cannot take over once it is handed out.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from thrift_plugins import drive
from thrift_plugins.engine import Call, Flow, Replay
from thrift_plugins.langchain.convert import reply_in
from thrift_plugins.langchain.turn import Turn
from thrift_plugins.runtime import Runtime
from thrift_plugins.types import Reply


_TEXTUAL = ("text", "tool_call", "invalid_tool_call")


class _Watch:
    """A flow that waits for its call; resumed at most once."""

    def __init__(self, flow: Flow, runtime: Runtime, effect: Call | Replay) -> None:
        self._flow, self._runtime, self._effect = flow, runtime, effect
        self._text: list[str] = []
        self._resumed = False
        if isinstance(effect, Call):
            effect.delivered = True

    def heard(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "content-block-delta":
            delta = event.get("delta") or event.get("content_block") or {}
            self._text.append(str(delta.get("text", "")))

    def result(self, response: LLMResult) -> Reply:
        """What the flow is told of a run that ended. The v3 stream gives blocks where `invoke` gives text, and an
        answer that is stored must be that of `invoke`; other blocks have no such form.
        """
        generation = response.generations[0][0]
        assert isinstance(generation, ChatGeneration)
        message = generation.message
        assert isinstance(message, AIMessage)
        if isinstance(message.content, str):
            return reply_in(message)
        plain = all(isinstance(block, dict) and block.get("type") in _TEXTUAL for block in message.content)
        return replace(reply_in(message), content=message.text, storable=plain)

    def error(self, error: BaseException) -> BaseException:
        """What the flow is told of a run that did not, with what had arrived."""
        if self._text and isinstance(self._effect, Call):
            self._effect.partial = reply_in(AIMessage("".join(self._text)), complete=False)
        return error

    def once(self) -> bool:
        if self._resumed:
            return False
        self._resumed = True
        return True

    def finish(self, result: Reply | None = None, error: BaseException | None = None) -> None:
        if self.once():
            drive.finish(self._flow, self._runtime, result, error)

    async def afinish(self, result: Reply | None = None, error: BaseException | None = None) -> None:
        if self.once():
            await drive.afinish(self._flow, self._runtime, result, error)

    def abandoned(self) -> None:
        self.finish(error=self.error(GeneratorExit()))


class _Handler(BaseCallbackHandler):
    run_inline = True

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self._watch.heard(event)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self._watch.finish(self._watch.result(response))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self._watch.finish(error=self._watch.error(error))


class _AsyncHandler(AsyncCallbackHandler):
    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    async def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self._watch.heard(event)

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        await self._watch.afinish(self._watch.result(response))

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        await self._watch.afinish(error=self._watch.error(error))


def events(flow: Flow, runtime: Runtime, turn: Turn) -> ChatModelStream:
    """The v3 stream of the tier that the flow chooses."""
    effect = drive.start(flow, runtime)
    watch = _Watch(flow, runtime, effect)
    model, config, kwargs = turn.target(effect)
    stream = model.stream_events(turn.given, _with(config, _Handler(watch)), version="v3", **kwargs)
    weakref.finalize(stream, watch.abandoned)
    return stream


async def aevents(flow: Flow, runtime: Runtime, turn: Turn) -> AsyncChatModelStream:
    """`events` without blocking the event loop."""
    effect = await drive.astart(flow, runtime)
    watch = _Watch(flow, runtime, effect)
    model, config, kwargs = turn.target(effect)
    stream = await model.astream_events(turn.given, _with(config, _AsyncHandler(watch)), version="v3", **kwargs)  # type: ignore[misc]  # v3 is awaited
    weakref.finalize(stream, watch.abandoned)
    return stream


def _with(config: RunnableConfig, handler: BaseCallbackHandler) -> RunnableConfig:
    return merge_configs(config, {"callbacks": [handler]})
