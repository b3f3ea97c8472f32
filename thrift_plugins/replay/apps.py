"""The app that a trace recorded, built anew on either framework: its models, wrapped or bare, asked one row at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import orjson

from thrift_plugins.replay.check import Answer
from thrift_plugins.replay.trace import Row
from thrift_plugins.runtime import Runtime
from thrift_plugins.tape import Tape
from thrift_plugins.types import Reply, ToolCall

Order: TypeAlias = Callable[[str], float]
"""A model's price, for putting the cheapest first."""


class App(Protocol):
    """Asks the app's models for a row."""

    def ask(self, row: Row) -> Answer: ...


def replies(row: Row) -> Mapping[str, Reply]:
    """The recorded answers of a row, marked so that they are known again when a cache gives them to another row."""
    topic = row.check.get("topic", "")
    return {
        model: _reply(row, arm.text, Reply("", arm.usage, finish_reason="stop", model=model), {"model": model, "topic": topic})
        for model, arm in row.arms.items()
    }


def _reply(row: Row, text: str | None, reply: Reply, mark: Mapping[str, str]) -> Reply:
    calls = _tool_calls(text) if row.tools else ()
    content = "" if calls else f"(the words of {row.id} were not recorded)" if text is None else text
    return replace(
        reply,
        content=content,
        tool_calls=calls,
        finish_reason="tool_calls" if calls else "stop",
        extra={"additional_kwargs": {"recorded": mark}},
    )


def _tool_calls(text: str | None) -> tuple[ToolCall, ...]:
    """The calls in an answer that was recorded as `[{"tool": "{arguments}"}]`; none where it is prose."""
    try:
        listed = orjson.loads(text or "")
        pairs = [pair for call in listed for pair in call.items()]
        return tuple(
            ToolCall(f"call_{place}", name, orjson.loads(given) if isinstance(given, str) else given)
            for place, (name, given) in enumerate(pairs)
        )
    except (ValueError, AttributeError, TypeError):
        return ()


class _App:
    """What the frameworks have in common: one model object for each set of recorded models."""

    def __init__(self, tape: Tape, price: Order, runtime: Runtime | None) -> None:
        self._tape, self._price, self._runtime = tape, price, runtime
        self._models: dict[tuple[str, ...], Any] = {}

    def _model(self, row: Row) -> Any:
        """The app's model for a row: bare, or wrapped with every model that was recorded for it, cheapest first."""
        names = (row.baseline, *sorted(row.arms, key=self._price)) if self._runtime else (row.baseline,)
        if names not in self._models:
            self._models[names] = self._make(names)
        return self._models[names]

    def _make(self, names: Sequence[str]) -> Any:
        raise NotImplementedError

    def _answer(self, row: Row, text: str, mark: Mapping[str, str]) -> Answer:
        hit = self._tape.sent is None
        sent = self._tape.sent() if self._tape.sent and row.check["kind"] in ("evidence", "spans") else None
        return Answer(text, mark["model"], mark["topic"] if hit else "", sent)


class LangChainApp(_App):
    """The app on LangChain."""

    def __init__(self, tape: Tape, price: Order, runtime: Runtime | None = None) -> None:
        super().__init__(tape, price, runtime)
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

        self._kinds: Mapping[str, Any] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}

    def _make(self, names: Sequence[str]) -> Any:
        from thrift_plugins.langchain import ThriftChatModel
        from thrift_plugins.langchain.recorded import RecordedChatModel

        baseline, *tiers = names
        if self._runtime is None:
            return RecordedChatModel(model_name=baseline, tape=self._tape)
        models = [RecordedChatModel(model_name=name, tape=self._tape) for name in tiers]
        return ThriftChatModel(tiers=models, baseline=baseline, runtime=self._runtime)

    def ask(self, row: Row) -> Answer:
        """Ask the app's model for a row."""
        model = self._model(row)
        if row.tools:
            model = model.bind_tools([{"type": "function", "function": tool} for tool in row.tools])
        message = model.invoke([self._kinds[m["role"]](m["content"]) for m in row.messages], **row.params)
        return self._answer(row, message.text, message.additional_kwargs["recorded"])


class LlamaIndexApp(_App):
    """The app on LlamaIndex."""

    def _make(self, names: Sequence[str]) -> Any:
        from thrift_plugins.llama_index import ThriftLLM
        from thrift_plugins.llama_index.recorded import RecordedLLM

        baseline, *tiers = names
        if self._runtime is None:
            return RecordedLLM(model=baseline, tape=self._tape)
        models = [RecordedLLM(model=name, tape=self._tape) for name in tiers]
        return ThriftLLM(tiers=models, baseline=baseline, runtime=self._runtime)

    def ask(self, row: Row) -> Answer:
        """Ask the app's model for a row."""
        from llama_index.core.base.llms.types import ChatMessage

        from thrift_plugins.llama_index.recorded import RecordedTool

        model = self._model(row)
        messages = [ChatMessage(role=m["role"], content=m["content"]) for m in row.messages]
        if row.tools:
            tools = [RecordedTool(tool) for tool in row.tools]
            response = model.chat_with_tools(
                tools, chat_history=messages, allow_parallel_tool_calls=True, **row.params
            )
        else:
            response = model.chat(messages, **row.params)
        return self._answer(row, response.message.content or "", response.message.additional_kwargs["recorded"])


APPS: Mapping[str, type[LangChainApp] | type[LlamaIndexApp]] = {"langchain": LangChainApp, "llama_index": LlamaIndexApp}
