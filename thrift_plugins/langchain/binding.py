"""Tools and schemas bound to several tiers at once, each by its own method, when the app binds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from thrift_plugins.canonical import plain
from thrift_plugins.errors import UnsupportedByTier
from thrift_plugins.langchain.convert import as_json, schema_in, tool_as_given, tool_in
from thrift_plugins.langchain.tier import ModelTier
from thrift_plugins.types import Json

STRUCTURED = "thrift_structured"
"""Keyword argument that carries a `Binding` made by `with_structured_output`."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Binding:
    """Tools or a schema, bound to every tier.

    Attributes:
        tools: function objects: name, description, parameters.
        schema: JSON schema of a structured answer.
        options: everything else about it that decides the answer (tool choice, method, strictness).
        runnables: for each tier the bound model, None where it cannot.
        cacheable: False where part of it has no canonical form.
    """

    tools: tuple[Mapping[str, Json], ...]
    schema: Mapping[str, Json] | None
    options: Mapping[str, Json]
    runnables: tuple[Runnable[Any, AIMessage] | None, ...]
    cacheable: bool = True


class BoundTools(list[Any]):
    """The tools as the app gave them, for whoever looks at the keyword arguments, and behind them the binding."""

    def __init__(self, tools: Sequence[Any], binding: Binding) -> None:
        super().__init__(tools)
        self.binding = binding


def binding(
    runnables: Sequence[Runnable[Any, AIMessage] | None],
    options: Mapping[str, Any],
    *,
    tools: Sequence[Any] = (),
    schema: Any = None,
) -> Binding:
    """A binding with its facts in our words.

    Args:
        schema: of a structured answer, in any form that LangChain takes; `options["response_format"]` counts too.
    """
    try:
        wanted = schema if schema is not None else options.get("response_format")
        told: dict[str, Json] = {name: plain(value) for name, value in options.items() if name != "response_format"}
        if wanted is not None:
            told["schema"] = as_json(wanted)
        if tools:
            told["tools"] = [tool_as_given(tool) for tool in tools]
        return Binding(tuple(tool_in(tool) for tool in tools), schema_in(wanted), told, tuple(runnables))
    except Exception:  # noqa: BLE001  a tool or schema that we cannot read may still be one that the tiers can
        return Binding((), None, {}, tuple(runnables), cacheable=False)


def per_tier(tiers: Sequence[ModelTier], make: Callable[[BaseChatModel], Made], need: str) -> list[Made | None]:
    """What each tier makes of it; None for one that cannot.

    Raises:
        UnsupportedByTier: none can.
    """
    made: list[Made | None] = []
    for tier in tiers:
        try:
            made.append(make(tier.model))
        except NotImplementedError:
            made.append(None)
    if all(part is None for part in made):
        raise UnsupportedByTier({tier.facts.name: f"no {need}" for tier in tiers})
    return made
