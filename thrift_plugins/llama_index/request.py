"""What a LlamaIndex call asks, in our words.

`chat`, `completion`, `with_tools` and `structured` take what the framework's methods take. The signatures are written
here, once for each method and its three twins (sync or async, whole or streamed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.tools import BaseTool
from pydantic import BaseModel

from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.llama_index.convert import message_in, outline, tool_in
from thrift_plugins.llama_index.tier import ModelTier, Reading, temperatures
from thrift_plugins.runtime import Runtime
from thrift_plugins.scope import current_scope
from thrift_plugins.types import Json, Message, Request

DIALECT = "llama_index"

Given = TypeVar("Given")
Ours = TypeVar("Ours")


@dataclass(slots=True)
class Asked:
    """What one call asks.

    Attributes:
        form: which way of asking; a completion and a chat of the same words are two questions.
        params: keyword arguments for the provider.
        options: how it is asked, beside those.
        cacheable: False where part of it has no canonical form, and only an outline stands for it.
    """

    messages: Sequence[Message]
    form: str
    params: dict[str, Any]
    tools: Sequence[Mapping[str, Json]] = ()
    schema: Mapping[str, Json] | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    cacheable: bool = True


class Ask(Protocol):
    """Reads the arguments of a method of `LLM`."""

    def __call__(self, llm: LLM, /, *args: Any, **kwargs: Any) -> Asked: ...


def chat(_llm: LLM, /, messages: Sequence[ChatMessage], **kwargs: Any) -> Asked:
    """A chat."""
    known, cacheable = _ours(messages, message_in, outline)
    return Asked(known, "chat", kwargs, cacheable=cacheable)


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
    messages, cacheable = _ours(turns, message_in, outline)
    functions, told = _ours(tools, tool_in, _unknown)
    return Asked(messages, "tools", kwargs, functions, options=options, cacheable=cacheable and told)


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
    messages, cacheable = _ours(turns, message_in, outline)
    (schema,), told = _ours([output_cls], _schema, _unknown)
    return Asked(
        messages, "structured", dict(llm_kwargs or {}), schema=schema, options=options, cacheable=cacheable and told
    )


@lru_cache(maxsize=256)
def _schema(output_cls: type[BaseModel]) -> Mapping[str, Json]:
    return output_cls.model_json_schema()


def _unknown(_given: object) -> Mapping[str, Json]:
    return {}


def _ours(
    given: Iterable[Given], exact: Callable[[Given], Ours], rough: Callable[[Given], Ours]
) -> tuple[list[Ours], bool]:
    """Things in our words, and whether every one is told exactly. The app's call is not to fail where one is not."""
    told: list[Ours] = []
    cacheable = True
    for one in given:
        try:
            told.append(exact(one))
        except Exception:  # noqa: BLE001  an app's own object may raise anything
            told.append(rough(one))
            cacheable = False
    return told, cacheable


def request(runtime: Runtime, tiers: Sequence[ModelTier], baseline: int, asked: Asked, forced: str | None) -> Request:
    """The request of one call.

    Args:
        forced: the tier that the call insists on.
    """
    readings = [tier.read() for tier in tiers]
    tools = list(asked.tools)
    params: dict[str, Json] = {**readings[baseline].params, **asked.options, "form": asked.form}
    cacheable = asked.cacheable
    if asked.params:
        try:
            given = decisive(asked.params)
        except NoCanonicalForm:
            given, cacheable = {}, False
        params.update((name, None) for name, value in asked.params.items() if value is None)  # it unsets a setting
        params.update(given)
        tools.extend(functions(given.get("tools")))
    _heat(params, readings, asked.params)
    return runtime.request(
        dialect=DIALECT,
        model=tiers[baseline].facts.model,
        identities=[reading.identity for reading in readings],
        messages=asked.messages,
        tools=tuple(tools),
        schema=asked.schema,
        params=params,
        scope=current_scope(),
        cacheable=cacheable,
        forced=forced,
    )


def functions(tools: Json) -> list[Mapping[str, Json]]:
    """Tools in a provider's own form, for counting and routing; the parameters have them whole, for the key."""
    offered = tools if isinstance(tools, list) else [tools] if tools else []
    return [_function(tool) for tool in offered]


def _function(tool: Json) -> Mapping[str, Json]:
    inner = tool.get("function") if isinstance(tool, Mapping) else {"name": "", "parameters": tool}
    return inner if isinstance(inner, Mapping) else cast("Mapping[str, Json]", tool)


def _heat(params: dict[str, Json], readings: Sequence[Reading], given: Mapping[str, Any]) -> None:
    """Have the cache's policy see the highest temperature that any tier may be asked with, and the key both."""
    found = [*temperatures(given), *(heat for reading in readings for heat in reading.heats)]
    if "temperature" not in given:
        found += [heat for reading in readings for heat in temperatures(reading.params)]
    own, hottest = params.get("temperature"), max(found, default=None)
    if hottest is not None and hottest != own:
        params |= {"temperature": hottest, "baseline_temperature": own}
