"""The flow of a call that was recorded elsewhere, through a wrapped model's own key and policy; nobody is asked."""

# ruff: noqa: SLF001  the other half of the model

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from thrift_plugins.effects import Flow
from thrift_plugins.llama_index import request as asking
from thrift_plugins.llama_index.llm import ThriftLLM
from thrift_plugins.llama_index.recorded import RecordedTool
from thrift_plugins.types import Json


def begin(
    model: ThriftLLM,
    messages: Sequence[Mapping[str, str]],
    tools: Sequence[Mapping[str, Json]],
    params: Mapping[str, Json],
) -> tuple[Flow, list[str]]:
    """The flow of `model.chat`, or of `model.chat_with_tools`, for whoever answers its effects; the model behind each tier.

    Args:
        messages: each with a `role` of system, user or assistant, and its text as `content`.
        tools: each an OpenAI-style function object.
        params: keyword arguments of the call.
    """
    turns = [ChatMessage(role=MessageRole(turn["role"]), content=turn["content"]) for turn in messages]
    if tools:
        known = [RecordedTool(dict(tool)) for tool in tools]
        given = {"chat_history": turns, "allow_parallel_tool_calls": True, **params}
        flow, _ = model._begin("chat_with_tools", asking.with_tools, (known,), given)
    else:
        flow, _ = model._begin("chat", asking.chat, (turns,), dict(params))
    return flow, [tier.facts.model for tier in model._line.tiers]
