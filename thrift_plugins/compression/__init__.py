"""Prompt compression: fewer input tokens, with what an answer needs still in them, and the provider's prompt cache left whole.

`Compressor.compress` reads a prompt into parts (instructions, passages, questions, tool results), spells data more cheaply,
sends once what was said twice, and keeps of the passages the sentences that the question needs. Each stage is checked and
taken back where it broke something. Instructions and questions are never touched.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thrift_plugins.compression.compressor import Compressor, edited
    from thrift_plugins.compression.extraction import Excerpt, Extraction, Extractor
    from thrift_plugins.compression.limit import Limit
    from thrift_plugins.compression.ranker import Ranker
    from thrift_plugins.compression.reading import Passage
    from thrift_plugins.compression.result import Compressed, Dropped, Edit, Stage

_HOMES = {
    "Compressed": "result",
    "Compressor": "compressor",
    "Dropped": "result",
    "Edit": "result",
    "Excerpt": "extraction",
    "Extraction": "extraction",
    "Extractor": "extraction",
    "Limit": "limit",
    "Passage": "reading",
    "Ranker": "ranker",
    "Stage": "result",
    "edited": "compressor",
}
"""Lazily: reading passages needs numpy, which is for those who compress."""

__all__ = [
    "Compressed", "Compressor", "Dropped", "Edit", "Excerpt", "Extraction", "Extractor", "Limit", "Passage", "Ranker", "Stage", "edited",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
