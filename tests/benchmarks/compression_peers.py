"""Others on the same questions, where they install: each with its own settings, at the share of tokens that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

from tests.benchmarks.compression_data import Question, interval
from thrift_plugins.text.embed import StaticEmbedder
from thrift_plugins.text.sentences import sentences


def retention(questions: Sequence[Question], ratios: Sequence[int], measure: Callable[[str], int]) -> dict[str, Any]:
    """`peer_NAME_kept_RATIO`: an answer string is still there; `peer_NAME_share_RATIO`: tokens that were kept."""
    found: dict[str, Any] = {}
    for name, make in {"truncation": _truncation, "llama_index_optimizer": _optimizer, "embeddings_filter": _filter, "headroom": _headroom}.items():
        for ratio in ratios:
            shrink = make(ratio, measure)
            if shrink is None:
                found[f"peer_{name}"] = "not installed"
                break
            kept: list[float] = []
            before = after = 0
            for one in questions:
                whole = "\n\n".join(f"{passage.title}\n{passage.text}" for passage in one.example.passages)
                text = shrink(one)
                kept.append(float(any(answer.casefold() in text.casefold() for answer in one.answers)))
                before, after = before + measure(whole), after + measure(text)
            key, (low, high) = f"peer_{name}_kept_{ratio}", interval(kept)
            found |= {key: mean(kept), f"{key}_low": low, f"{key}_high": high, f"{key}_n": len(kept)}
            found[f"peer_{name}_share_{ratio}"] = after / before
    return found


Shrink = Callable[[Question], str]


def _truncation(ratio: int, measure: Callable[[str], int]) -> Shrink | None:
    def shrink(question: Question) -> str:
        text = "\n\n".join(f"{passage.title}\n{passage.text}" for passage in question.example.passages)
        return text[: len(text) // ratio]

    return shrink


def _optimizer(ratio: int, measure: Callable[[str], int]) -> Shrink | None:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.postprocessor.optimizer import SentenceEmbeddingOptimizer
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    static = StaticEmbedder()

    class Static(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return [*map(float, static.embed([text])[0])]

        _get_query_embedding = _get_text_embedding

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    made = SentenceEmbeddingOptimizer(
        embed_model=Static(),
        percentile_cutoff=1 / ratio,
        tokenizer_fn=lambda text: [text[a:b] for a, b in sentences(text)],  # its own needs data that installs refuse to open
        context_before=0,
        context_after=0,
    )

    def shrink(question: Question) -> str:
        text = "\n".join(f"{one.title}\n{one.text}" for one in question.example.passages)
        node = NodeWithScore(node=TextNode(text=text))  # one: of a node of few sentences it keeps all where a tenth is less than one
        return str(made.postprocess_nodes([node], QueryBundle(question.example.query))[0].node.get_content())

    return shrink


def _filter(ratio: int, measure: Callable[[str], int]) -> Shrink | None:
    """The nearest passages, whole; of twenty alike ones so many that the share comes out."""
    try:
        from langchain_classic.retrievers.document_compressors import EmbeddingsFilter
    except ImportError:
        return None
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    static = StaticEmbedder()

    class Static(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[*map(float, row)] for row in static.embed(texts)]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    def shrink(question: Question) -> str:
        documents = [Document(f"{one.title}\n{one.text}") for one in question.example.passages]
        made = EmbeddingsFilter(embeddings=Static(), k=max(1, len(documents) // ratio))
        return "\n\n".join(one.page_content for one in made.compress_documents(documents, question.example.query))

    return shrink


def _headroom(ratio: int, measure: Callable[[str], int]) -> Shrink | None:
    """Its extractive compressor of prose, given the question as context."""
    try:
        from headroom.transforms.text_crusher import TextCrusher
    except ImportError:
        return None
    crusher = TextCrusher()

    def shrink(question: Question) -> str:
        text = "\n\n".join(f"{one.title}\n{one.text}" for one in question.example.passages)
        return str(crusher.compress(text, question.example.query, 1 / ratio).compressed)

    return shrink
