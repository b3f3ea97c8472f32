"""Closing a stream down to its connection.

A LlamaIndex stream is a row of generators, one inside the other: the callback's, the integration's, the SDK's. Closing
the outer one leaves the inner ones to the garbage collector, and the SDK's are in a reference cycle, so the provider
would go on writing, and billing, what nobody reads. Each paused generator is therefore closed in turn.
"""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, GeneratorType
from typing import Any, TypeAlias

from thrift_plugins import drive

_Link: TypeAlias = "GeneratorType[Any, Any, Any] | AsyncGeneratorType[Any, Any]"


def close(stream: object) -> None:
    """Close a stream, and what it reads from, outermost first."""
    for link in _row(stream):
        if isinstance(link, GeneratorType):
            link.close()


async def aclose(stream: object) -> None:
    """`close` for a stream that may be asynchronous."""
    for link in _row(stream):
        if isinstance(link, AsyncGeneratorType):
            await drive.aclosed(link)
        else:
            link.close()


def _row(stream: object) -> list[_Link]:
    """The generators of a stream, found before any is closed: a closed one has forgotten what it read from.

    What a paused generator loops over is on no variable of it, but the collector sees it.
    """
    row = [stream] if isinstance(stream, GeneratorType | AsyncGeneratorType) else []
    for link in row:
        row.extend(item for item in _read_from(link) if all(item is not known for known in row))
    return row


def _read_from(link: _Link) -> list[_Link]:
    """The generators that a paused one loops over: those that it refers to beyond its variables.

    One that it only knows by a name, and asks now and then, may belong to somebody else.
    """
    held = [item for item in gc.get_referents(link) if isinstance(item, GeneratorType | AsyncGeneratorType)]
    for value in _variables(link) if held else ():
        place = next((place for place, item in enumerate(held) if item is value), None)
        if place is not None:
            del held[place]
    return held


def _variables(link: _Link) -> list[object]:
    """What the variables of its own hold. Those that it shares with another function are not referred to directly."""
    frame = link.gi_frame if isinstance(link, GeneratorType) else link.ag_frame
    if frame is None:
        return []
    code, values = frame.f_code, frame.f_locals
    return [values[name] for name in code.co_varnames if name in values and name not in code.co_cellvars]
