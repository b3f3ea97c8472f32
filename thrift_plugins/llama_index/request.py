"""What a LlamaIndex call asks, in our words.

`chat`, `completion`, `with_tools` and `structured` take what the framework's methods take. The signatures are written
here, once for each method and its three twins (sync or async, whole or streamed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms import LLM
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


@dataclass(slots=True)
class Asked:
    """What one call asks.

    Attributes:
        form: which way of asking; a completion and a chat of the same words are two questions.
        params: keyword arguments for the provider.
        options: how it is asked, beside those.
    """

    messages: Sequence[Message]
    form: str
    params: dict[str, Any]
    tools: Sequence[BaseTool] = ()
    schema: Mapping[str, Json] | None = None
    options: Mapping[str, Json] = field(default_factory=dict)


class Ask(Protocol):
    """Reads the arguments of a method of `LLM`."""

    def __call__(self, llm: LLM, /, *args: Any, **kwargs: Any) -> Asked: ...


def chat(_llm: LLM, /, messages: Sequence[ChatMessage], **kwargs: Any) -> Asked:
    """A chat."""
    return Asked([message_in(message) for message in messages], "chat", kwargs)


def completion(_llm: LLM, /, prompt: str, formatted: bool = False, **kwargs: Any) -> Asked:
    """A completion; a formatted prompt is sent as it is, any other is put in the model's own form."""
    return Asked([Message("user", prompt)], "complete", kwargs, options={"formatted": formatted})


def with_tools(
    _llm: LLM,
    /,
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None = None,
    chat_history: Sequence[ChatMessage] | None = None,
    verbose: bool = False,  # noqa: ARG001  part of the framework's signature, and of no key
    allow_parallel_tool_calls: bool = False,
    tool_required: bool = False,
    **kwargs: Any,
) -> Asked:
    """A chat that may call tools."""
    turns = list(chat_history or ())
    if user_msg is not None:
        turns.append(ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg)
    options: dict[str, Json] = {"parallel": allow_parallel_tool_calls}
    if tool_required:
        options["tool_choice"] = "required"
    return Asked([message_in(turn) for turn in turns], "tools", kwargs, tools, options=options)


def structured(
    llm: LLM,
    /,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: dict[str, Any] | None = None,
    **prompt_args: Any,
) -> Asked:
    """A prediction of an object."""
    turns = llm._extend_messages(prompt.format_messages(llm=llm, **prompt_args))  # noqa: SLF001  the programs' own way
    options: dict[str, Json] = {"mode": llm.pydantic_program_mode.value}
    messages = [message_in(turn) for turn in turns]
    return Asked(messages, "structured", dict(llm_kwargs or {}), schema=_schema(output_cls), options=options)


@lru_cache(maxsize=256)
def _schema(output_cls: type[BaseModel]) -> Mapping[str, Json]:
    return output_cls.model_json_schema()


def request(runtime: Runtime, tiers: Sequence[ModelTier], baseline: int, asked: Asked, forced: str | None) -> Request:
    """The request of one call.

    Args:
        forced: the tier that the call insists on.
    """
    tools: list[Mapping[str, Json]] = [tool_in(tool) for tool in asked.tools]
    params: dict[str, Json] = {**tiers[baseline].params, **asked.options, "form": asked.form}
    cacheable = True
    if asked.params:
        try:
            given = decisive(asked.params)
        except NoCanonicalForm:
            given, cacheable = {}, False
        tools.extend(tool.get("function", tool) for tool in given.pop("tools", None) or ())
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
