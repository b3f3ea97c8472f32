"""What a LlamaIndex call asks, in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.tools import BaseTool
from pydantic import BaseModel

from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.llama_index.convert import message_in, tool_in
from thrift_plugins.llama_index.tier import ModelTier
from thrift_plugins.runtime import Runtime
from thrift_plugins.scope import current_scope
from thrift_plugins.types import Json, Message, Request

DIALECT = "llama_index"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one call asks.

    Attributes:
        form: which way of asking; a completion and a chat of the same words are two questions.
        options: how it is asked, beside the keyword arguments for the provider.
    """

    messages: Sequence[Message]
    form: str
    tools: Sequence[BaseTool] = ()
    schema: Mapping[str, Json] | None = None
    options: Mapping[str, Json] = field(default_factory=dict)


def chat(messages: Sequence[ChatMessage]) -> Asked:
    """A chat."""
    return Asked([message_in(message) for message in messages], "chat")


def completion(prompt: str) -> Asked:
    """A completion."""
    return Asked([Message("user", prompt)], "complete")


def with_tools(
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    *,
    parallel: bool,
    required: bool,
) -> Asked:
    """A chat that may call tools."""
    turns = list(chat_history or ())
    if user_msg is not None:
        turns.append(ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg)
    options: dict[str, Json] = {"parallel": parallel}
    if required:
        options["tool_choice"] = "required"
    return Asked([message_in(turn) for turn in turns], "tools", tools, options=options)


def structured(output_cls: type[BaseModel], prompt: BasePromptTemplate, prompt_args: Mapping[str, Any]) -> Asked:
    """A prediction of an object."""
    turns = [message_in(message) for message in prompt.format_messages(**prompt_args)]
    return Asked(turns, "structured", schema=_schema(output_cls))


@lru_cache(maxsize=256)
def _schema(output_cls: type[BaseModel]) -> Mapping[str, Json]:
    return output_cls.model_json_schema()


def request(
    runtime: Runtime, tiers: Sequence[ModelTier], baseline: int, asked: Asked, kwargs: Mapping[str, Any], forced: str | None
) -> Request:
    """The request of one call.

    Args:
        kwargs: the call's keyword arguments for the provider.
        forced: the tier that the call insists on.
    """
    tools: list[Mapping[str, Json]] = [tool_in(tool) for tool in asked.tools]
    params: dict[str, Json] = {**tiers[baseline].params, **asked.options, "form": asked.form}
    cacheable = True
    if kwargs:
        try:
            given = decisive(kwargs)
        except NoCanonicalForm:
            given, cacheable = {}, False
        for tool in given.pop("tools", None) or ():
            tools.append(tool.get("function", tool))
        params.update(given)
    return runtime.request(
        dialect=DIALECT,
        model=tiers[baseline].facts.model,
        identities=[tier.identity for tier in tiers],
        messages=asked.messages,
        tools=tuple(tools),
        schema=asked.schema,
        params=params,
        scope=current_scope(),
        cacheable=cacheable,
        forced=forced,
    )
