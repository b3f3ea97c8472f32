"""LlamaIndex's embedding models as the reader of the semantic tier."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from numpy.typing import NDArray

from thrift_plugins.text.unit import name_of, unit_rows


class LlamaIndexEmbedder:
    """Reads questions with your own embedding model: `Runtime(config, embedder=LlamaIndexEmbedder(Settings.embed_model))`.

    Each lookup that no exact answer was found for embeds its question once, which your provider may bill.

    Args:
        model: all questions are embedded as queries, so that they lie in one space.
        name: tells its vectors from others', by default the class and its model's name. Give one where other settings of
            the same model change its vectors.
    """

    def __init__(self, model: BaseEmbedding, *, name: str | None = None) -> None:
        self._model = model
        self.name = name or name_of(model, ("model_name",))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rows of length 1, float32 (n, dimensions). Raises what the model raises."""
        return unit_rows(self._model.get_query_embedding(text) for text in texts)

    async def aembed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`embed` without blocking the event loop."""
        return unit_rows(await asyncio.gather(*(self._model.aget_query_embedding(text) for text in texts)))
