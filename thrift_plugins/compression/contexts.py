"""Compresses documents that a retriever found, before they are put into a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thrift_plugins.compression import stages
from thrift_plugins.compression.compressor import Compressor
from thrift_plugins.compression.limit import Limit
from thrift_plugins.compression.prompt_parts import Part
from thrift_plugins.compression.reading import Passage
from thrift_plugins.compression.result import Dropped, Stage
from thrift_plugins.tokens import count


@dataclass(frozen=True, slots=True)
class CompressedContexts:
    """Documents after compression.

    Attributes:
        texts: of each document in its order, "" where nothing of it stays.
        tokens_before: of all of them.
        tokens_after: of what stays.
        stages: what was done, and what was undone and why.
        dropped: everything that is not there any more; `message` is the index of its document.
    """

    texts: tuple[str, ...]
    tokens_before: int
    tokens_after: int
    stages: tuple[Stage, ...] = ()
    dropped: tuple[Dropped, ...] = ()


def compress_contexts(
    compressor: Compressor, query: str, passages: Sequence[Passage], model: str, limit: Limit | None = None
) -> CompressedContexts:
    """Documents with what the question needs. Those that are within the limit already stay as they are.

    Args:
        query: the question that they were found for.
        model: whose tokens are counted.
        limit: over that of the compressor.
    """
    limit = compressor.of(limit)
    parts = [Part("context", passage.text, passage.title, passage.score) for passage in passages]
    before = sum(count(part.text, model) for part in parts)
    work = stages.Work(parts, 0, lambda text: count(text, model), before)
    if not parts or (limit.max_tokens is not None and before <= limit.max_tokens):
        return CompressedContexts(tuple(part.text for part in parts), before, before)
    compressor.run(work, query, limit)
    told = tuple(part.text for part in work.parts)
    return CompressedContexts(
        told, before, sum(count(text, model) for text in told), tuple(work.stages), tuple(work.dropped)
    )
