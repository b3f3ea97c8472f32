"""A LangChain chat model as what a judge asks."""

from __future__ import annotations

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langsmith.run_helpers import tracing_context

from thrift_plugins.langchain.convert import reply_in
from thrift_plugins.langchain.tier import ModelTier
from thrift_plugins.langchain.unheard import without_callbacks
from thrift_plugins.prices import Prices
from thrift_plugins.types import Reply, Tier


class JudgeModel:
    """Asks your own model: `Runtime(config, judge=AutoJudge(LLMJudge(JudgeModel(ChatAnthropic(...)))))`.

    Neither the app's callbacks nor a tracer hear of it. Take a model of another family than those that answer.

    Args:
        model: set its temperature to 0, and a limit on its answers of a few hundred tokens.
    """

    def __init__(self, model: BaseChatModel) -> None:
        self._model, self._known = without_callbacks(model), ModelTier(model, None, Prices())

    @property
    def tier(self) -> Tier:
        """What prices and budgets must know of it."""
        return self._known.told({})

    def ask(self, prompt: str) -> Reply:
        """Its answer. Raises what the model raises."""
        with tracing_context(enabled=False):
            return reply_in(self._model.invoke(prompt, _UNHEARD))

    async def aask(self, prompt: str) -> Reply:
        """`ask` without blocking the event loop."""
        with tracing_context(enabled=False):
            return reply_in(await self._model.ainvoke(prompt, _UNHEARD))


_UNHEARD: RunnableConfig = {"callbacks": []}
