"""Closing a stream down to its connection.

A LlamaIndex stream is a row of generators, one inside the other: the callback's, the integration's, the SDK's. Closing
the outer one leaves the inner ones to the garbage collector, and the SDK's are in a reference cycle, so the provider
would go on writing, and billing, what nobody reads. Each paused generator is therefore closed in turn.
"""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, GeneratorType
from typing import Any, TypeAlias

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
            await link.aclose()
        else:
            link.close()


def _row(stream: object) -> list[_Link]:
    """The generators of a stream, found before any is closed: a closed one has forgotten what it read from.

    What a paused generator loops over is on no variable of it, but the collector sees it.
    """
    row = [stream] if isinstance(stream, GeneratorType | AsyncGeneratorType) else []
    for link in row:
        held = gc.get_referents(link)
        row.extend(
            item
            for item in held
            if isinstance(item, GeneratorType | AsyncGeneratorType) and all(item is not known for known in row)
        )
    return row
