"""A request in the form in which it goes out, for calls whose tokens nobody but us has counted.

A tier's own binding may ask for an object by a tool or by a schema, and OpenAI's SDK makes a schema strict. Both
adapters see that in the tier's keyword arguments, in the form of OpenAI's chat API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from thrift_plugins.types import Json, Request

_NESTED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "allOf", "oneOf")


def as_sent(request: Request, options: Mapping[str, Any]) -> Request:
    """The request with the tools and the schema that a tier was given.

    Args:
        request: as the app asks it.
        options: the tier's keyword arguments: `tools` and `response_format`, as far as there are any.
    """
    tools, wanted = options.get("tools"), options.get("response_format")
    if tools:
        functions = tuple(tool.get("function", tool) for tool in tools if isinstance(tool, Mapping))
        request = replace(request, tools=functions, schema=None)
    if isinstance(wanted, Mapping):
        return replace(request, schema=(wanted.get("json_schema") or {}).get("schema"))
    if isinstance(wanted, type) and request.schema is not None:
        return replace(request, schema=strict(request.schema))
    return request


def strict(schema: Mapping[str, Json]) -> dict[str, Json]:
    """A class's schema as OpenAI's SDK sends it: nothing optional, nothing additional."""
    made = {name: _strict(name, part) for name, part in schema.items()}
    if made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    properties = made.get("properties")
    if isinstance(properties, Mapping):
        made["required"] = list(properties)
    return made


def _strict(name: str, part: Json) -> Json:
    if isinstance(part, Mapping):
        if name in _NESTED:
            return {key: strict(inner) if isinstance(inner, Mapping) else inner for key, inner in part.items()}
        return strict(part) if name == "items" else part
    if name in _LISTED and isinstance(part, list | tuple):
        return [strict(inner) if isinstance(inner, Mapping) else inner for inner in part]
    return part
