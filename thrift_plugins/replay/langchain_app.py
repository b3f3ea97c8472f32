"""The recorded app on LangChain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.langchain.recorded import RecordedChatModel
from thrift_plugins.replay.apps import RecordedApp
from thrift_plugins.replay.check import Answer
from thrift_plugins.replay.row import Row

_KINDS: Mapping[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}


class App(RecordedApp):
    """The app on LangChain."""

    def _make(self, names: Sequence[str]) -> BaseChatModel:
        baseline, *tiers = names
        if self._runtime is None:
            return RecordedChatModel(model_name=baseline, tape=self._tape)
        models = [RecordedChatModel(model_name=name, tape=self._tape) for name in tiers]
        return ThriftChatModel(tiers=models, baseline=baseline, runtime=self._runtime)

    def ask(self, row: Row) -> Answer:
        model = self._model(row)
        if row.tools:
            model = model.bind_tools([{"type": "function", "function": tool} for tool in row.tools])
        message = model.invoke([_KINDS[m["role"]](m["content"]) for m in row.messages], **row.params)
        return self._answer(row, message.text, message.additional_kwargs.get("recorded"))
