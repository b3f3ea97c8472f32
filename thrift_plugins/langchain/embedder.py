"""LangChain's embeddings as the reader of the semantic tier."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from thrift_plugins.text.unit import name_of, unit_rows


class LangChainEmbedder:
    """Reads questions with your own embeddings: `Runtime(config, embedder=LangChainEmbedder(OpenAIEmbeddings()))`.

    Each lookup that no exact answer was found for embeds its question once, which your provider may bill.

    Args:
        embeddings: all questions are embedded as queries, so that they lie in one space.
        name: tells its vectors from others', by default the class and its model's name. Give one where other settings of
            the same model change its vectors.
    """

    def __init__(self, embeddings: Embeddings, *, name: str | None = None) -> None:
        self._embeddings = embeddings
        self.name = name or name_of(embeddings, ("model", "model_name", "model_id", "deployment"))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rows of length 1, float32 (n, dimensions). Raises what the embeddings raise."""
        return unit_rows(self._embeddings.embed_query(text) for text in texts)

    async def aembed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`embed` without blocking the event loop."""
        return unit_rows(await asyncio.gather(*(self._embeddings.aembed_query(text) for text in texts)))
