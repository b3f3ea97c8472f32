"""The flow of a call that was recorded elsewhere, through a wrapped model's own key and policy; nobody is asked."""

# ruff: noqa: SLF001  the other half of the model

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding

from thrift_plugins.effects import Flow
from thrift_plugins.langchain.chat_model import ThriftChatModel
from thrift_plugins.langchain.turn import Turn
from thrift_plugins.types import Json


def begin(
    model: ThriftChatModel,
    messages: Sequence[Mapping[str, str]],
    tools: Sequence[Mapping[str, Json]],
    params: Mapping[str, Json],
) -> tuple[Flow, list[str]]:
    """The flow of `model.invoke`, for whoever answers its effects, and the model behind each tier.

    Args:
        messages: each with a `role` of system, user or assistant, and its text as `content`.
        tools: each an OpenAI-style function object.
        params: keyword arguments of the call.
    """
    bound: Mapping[str, Any] = {}
    if tools:
        binding = model.bind_tools([{"type": "function", "function": dict(tool)} for tool in tools])
        bound = cast("RunnableBinding[LanguageModelInput, AIMessage]", binding).kwargs
    given = [(turn["role"], turn["content"]) for turn in messages]
    flow, _ = model._begin(Turn, given, None, {"stop": None, **bound, **params})
    return flow, [tier.facts.model for tier in model._tiers]
