"""A LlamaIndex LLM as what a judge asks."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM

from thrift_plugins.llama_index.tier import ModelTier, twin
from thrift_plugins.llama_index.turn import Seen
from thrift_plugins.prices import Prices
from thrift_plugins.types import Reply, Tier


class JudgeModel:
    """Asks your own model: `Runtime(config, judge=AutoJudge(LLMJudge(JudgeModel(Anthropic(...)))))`.

    No callback of the app's hears of it. Take a model of another family than those that answer.

    Args:
        model: set its temperature to 0, and a limit on its answers of a few hundred tokens.
    """

    def __init__(self, model: LLM) -> None:
        self._model, self._known = (
            twin(model, {"callback_manager": CallbackManager([])}),
            ModelTier(model, None, Prices()),
        )

    @property
    def tier(self) -> Tier:
        """What prices and budgets must know of it."""
        return self._known.told({})

    def ask(self, prompt: str) -> Reply:
        """Its answer. Raises what the model raises."""
        return _reply(self._model.chat(_turn(prompt)))

    async def aask(self, prompt: str) -> Reply:
        """`ask` without blocking the event loop."""
        return _reply(await self._model.achat(_turn(prompt)))


def _turn(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


def _reply(response: ChatResponse) -> Reply:
    seen = Seen()
    seen.add(response)
    return seen.reply()
