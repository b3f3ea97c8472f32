"""The recorded app on LlamaIndex."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import LLM

from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.llama_index.recorded import RecordedLLM, RecordedTool
from thrift_plugins.replay.apps import RecordedApp
from thrift_plugins.replay.check import Answer
from thrift_plugins.replay.row import Row


class App(RecordedApp):
    """The app on LlamaIndex."""

    def _make(self, names: Sequence[str]) -> LLM:
        baseline, *tiers = names
        if self._runtime is None:
            return RecordedLLM(model=baseline, tape=self._tape)
        models = [RecordedLLM(model=name, tape=self._tape) for name in tiers]
        return ThriftLLM(tiers=models, baseline=baseline, runtime=self._runtime)

    def ask(self, row: Row) -> Answer:
        model = self._model(row)
        messages = [ChatMessage(role=m["role"], content=m["content"]) for m in row.messages]
        if row.tools:
            tools = [RecordedTool(tool) for tool in row.tools]
            response = model.chat_with_tools(tools, chat_history=messages, allow_parallel_tool_calls=True, **row.params)
        else:
            response = model.chat(messages, **row.params)
        return self._answer(row, response.message.content or "", response.message.additional_kwargs.get("recorded"))
