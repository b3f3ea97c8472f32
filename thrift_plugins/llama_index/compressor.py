"""Prompt compression as LlamaIndex has it: a node postprocessor."""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import ConfigDict, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from thrift_plugins.compression import Compressor, Limit
from thrift_plugins.compression.compressor import own_or_new
from thrift_plugins.compression.contexts import CompressedContexts, compress_contexts
from thrift_plugins.compression.reading import Passage
from thrift_plugins.text.embed import Embedder


class ContextCompressor(BaseNodePostprocessor):
    """Keeps of retrieved nodes the sentences that a question needs. Order, ids, scores and metadata stay.

    A node of which nothing is needed is left out, but never all of them. Nodes within the limit come back as they are, and so
    do those that hold no text.

    Args:
        limit: what may be left out: `Limit(ratio=4.0)`, `Limit(max_tokens=800)` or `Limit(risk=0.02, calibration=...)`.
        model: whose tokens are counted.
        title_key: name in a node's metadata of what it is about; a title helps to find what is needed.
        embedder: compares whole sentences in the place of the static word vectors, such as an `OnnxEmbedder`.
        compressor: one to share, with an extractor of the app's own.

    Example:
        ```python
        engine = index.as_query_engine(node_postprocessors=[ContextCompressor(Limit(ratio=4.0))])
        ```
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    limit: Limit
    model: str = "gpt-4o"
    title_key: str = "title"

    _compressor: Compressor = PrivateAttr()

    def __init__(
        self,
        limit: Limit | None = None,
        *,
        embedder: Embedder | None = None,
        compressor: Compressor | None = None,
        **kwargs: Any,
    ) -> None:
        own = own_or_new(compressor, limit, embedder)
        super().__init__(**{**kwargs, "limit": limit or own.limit})
        self._compressor = own

    @classmethod
    def class_name(cls) -> str:
        return "thrift_context_compressor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        texts = [found for found in nodes if isinstance(found.node, TextNode)]
        if query_bundle is None or not texts:
            return nodes
        told = iter(self.report(texts, query_bundle).texts)
        made: list[NodeWithScore] = []
        for found in nodes:
            if not isinstance(found.node, TextNode):
                made.append(found)
                continue
            text = next(told)
            if text == found.node.text:
                made.append(found)
            elif text:
                made.append(NodeWithScore(node=found.node.model_copy(update={"text": text}), score=found.score))
        return made

    def report(self, nodes: list[NodeWithScore], query: str | QueryBundle) -> CompressedContexts:
        """What becomes of each node's text, with its tokens and everything that is left out."""
        asked = query if isinstance(query, str) else query.query_str
        passages = [
            Passage(
                found.node.get_content(MetadataMode.NONE),
                str(found.node.metadata.get(self.title_key) or ""),
                found.score,
            )
            for found in nodes
        ]
        return compress_contexts(self._compressor, asked, passages, self.model, self.limit)

    def fetch(self, id: str) -> str:  # noqa: A002  that is what it is
        """The text that was left out under an id of `report(...).dropped`. Raises KeyError for one that is not remembered."""
        return self._compressor.fetch(id)
