"""Others on the same questions, where they install: each with its own settings, at the share of tokens that it keeps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.compression_data import Question
from thrift_plugins.text.embed import StaticEmbedder

_QUESTIONS = 100


def retention(questions: Sequence[Question], ratios: Sequence[int], measure: Callable[[str], int]) -> dict[str, Any]:
    """`peer_NAME_kept_RATIO`: an answer string is still there; `peer_NAME_share_RATIO`: tokens that were kept."""
    asked = questions[:_QUESTIONS]
    found: dict[str, Any] = {}
    for name, make in {"truncation": _truncation, "llama_index_optimizer": _optimizer, "embeddings_filter": _filter, "headroom": _headroom}.items():
        for ratio in ratios:
            shrink = make(ratio, measure)
            if shrink is None:
                found[f"peer_{name}"] = "not installed"
                break
            kept, before, after = 0, 0, 0
            for one in asked:
                whole = "\n\n".join(f"{passage.title}\n{passage.text}" for passage in one.example.passages)
                text = shrink(one)
                kept += any(answer.casefold() in text.casefold() for answer in one.answers)
                before, after = before + measure(whole), after + measure(text)
            found |= {f"peer_{name}_kept_{ratio}": kept / len(asked), f"peer_{name}_share_{ratio}": after / before}
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

    try:
        made = SentenceEmbeddingOptimizer(embed_model=Static(), percentile_cutoff=1 / ratio, context_before=0, context_after=0)
    except (LookupError, OSError):  # its sentence splitter's data would have to be fetched
        return None

    def shrink(question: Question) -> str:
        nodes = [NodeWithScore(node=TextNode(text=f"{one.title}\n{one.text}")) for one in question.example.passages]
        return "\n\n".join(found.node.get_content() for found in made.postprocess_nodes(nodes, QueryBundle(question.example.query)))

    return shrink


def _filter(ratio: int, measure: Callable[[str], int]) -> Shrink | None:
    """What EmbeddingsFilter does with `k`: the nearest passages, whole."""
    static = StaticEmbedder()

    def shrink(question: Question) -> str:
        texts = [f"{one.title}\n{one.text}" for one in question.example.passages]
        rows = static.embed([question.example.query, *texts])
        order = np.argsort(-(rows[1:] @ rows[0]), kind="stable")
        return "\n\n".join(texts[at] for at in order[: max(1, len(texts) // ratio)])

    return shrink


def _headroom(ratio: int, measure: Callable[[str], int]) -> Shrink | None:
    if importlib.util.find_spec("headroom") is None:
        return None
    try:
        from headroom import TextCrusher
    except ImportError:
        return None

    def shrink(question: Question) -> str:
        text = "\n\n".join(f"{one.title}\n{one.text}" for one in question.example.passages)
        return str(TextCrusher(target_ratio=1 / ratio).crush(text, query=question.example.query))

    return shrink
