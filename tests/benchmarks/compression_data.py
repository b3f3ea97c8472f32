"""The evaluation sets of the compression benchmark as questions, passages and what an answer needs of them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from thrift_plugins.compression.reading import Passage
from thrift_plugins.compression.training import Example, answered_by


class Question(NamedTuple):
    """One question of an evaluation set.

    Attributes:
        example: as a ranker is taught.
        answers: one of these must still be there; empty where sentences are named instead.
        group: what must not be in both halves when a ranker is trained on one of them.
    """

    example: Example
    answers: tuple[str, ...]
    group: int


def rows(data: Path, name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def nq20(data: Path) -> list[Question]:
    """Natural Questions with twenty passages: an answer string must stay."""
    found = []
    for number, row in enumerate(rows(data, "compression/nq20")):
        passages = [Passage(one["text"], one["title"]) for one in row["passages"]]
        example = Example(row["question"], passages, answered_by(passages, row["answers"]))
        found.append(Question(example, tuple(row["answers"]), number))
    return found


def hotpot(data: Path) -> list[Question]:
    """HotpotQA: every supporting fact must stay. A sentence of ours is one where most of it lies in one of theirs."""
    found = []
    for number, row in enumerate(rows(data, "compression/hotpot")):
        facts = set(zip(row["supporting_facts"]["title"], row["supporting_facts"]["sent_id"], strict=True))
        passages, needed = [], []
        for title, sentences in zip(row["context"]["title"], row["context"]["sentences"], strict=True):
            passage = Passage("".join(sentences), title)
            passages.append(passage)
            ends = np.cumsum([0, *map(len, sentences)]).tolist()
            spans = [(ends[at], ends[at + 1]) for at in range(len(sentences)) if (title, at) in facts]
            needed += [
                any(min(b, end) - max(a, start) > 0.5 * min(b - a, end - start) for start, end in spans) for a, b in passage.pieces()
            ]
        found.append(Question(Example(row["question"], passages, np.array(needed, bool), every=True), (), number))
    return found


def qmsum(data: Path) -> list[Question]:
    """QMSum meetings: of the turns that a query is about, as many tokens as possible must stay."""
    found = []
    for number, row in enumerate(rows(data, "compression/qmsum")):
        turns = [f"{turn['speaker']}: {turn['content']}".replace("\n", " ") for turn in row["meeting_transcripts"]]
        passage = Passage("\n".join(turns), dialogue=True)
        for query in row["specific_query_list"]:
            gold = {turn for first, last in query["relevant_text_span"] for turn in range(int(first), int(last) + 1)}
            needed = np.array([at in gold for at in range(len(turns))], bool)
            found.append(Question(Example(query["query"], [passage], needed, every=True), (), number))
    return found


def rgb_zh(data: Path) -> list[Question]:
    """Chinese news: the passages with and without the answer, shuffled, to about 2,500 tokens; an answer string must stay."""
    found = []
    for number, row in enumerate(rows(data, "compression/rgb_zh")):
        answers = tuple(str(one) for told in row["answer"] for one in (told if isinstance(told, list) else [told]))
        texts = row["positive"][:2] + row["negative"][:10]
        random.Random(number).shuffle(texts)
        passages = [Passage(text) for text in texts]
        found.append(Question(Example(row["query"], passages, answered_by(passages, answers)), answers, number))
    return [one for one in found if any(answer in one_passage.text for answer in one.answers for one_passage in one.example.passages)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Wilson's interval for shares; the normal one where values are no yes or no."""
    n, p = len(values), mean(values)
    if set(values) <= {0.0, 1.0}:
        z = 1.96
        centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return centre - half, centre + half
    half = 1.96 * float(np.std(values)) / sqrt(n)
    return p - half, p + half
