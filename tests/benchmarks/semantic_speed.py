"""What a lookup of the semantic tier costs, over one raw Redis GET: `python -m tests.benchmarks.semantic_speed`.

A lookup is all that a process does for a request: what it asks, its vector, the search, and the verification of what
was found. Questions are asked in turn, and there are so many that caches of single texts do not help; 35 % of them are
stored ones in other words, the others are new. `--million`
adds an index of 1,000,000 entries and how much slower it is. Recall is against a comparison with every vector.

Peers that keep vectors in Redis are measured where they run: they must be installed, and `THRIFT_TEST_REDIS` must name a
server with RediSearch. They look up the stored questions themselves, which is the easier task.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.harness import Case, interleaved, report
from tests.benchmarks.questions import questions, reworded
from tests.redis_server import RedisServer
from thrift_plugins.caching.semantic.asked import Asked
from thrift_plugins.caching.semantic.guard import Limits
from thrift_plugins.caching.semantic.index import VectorIndex
from thrift_plugins.caching.semantic.records import Question
from thrift_plugins.caching.semantic.tier import Tier
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.text.embed import Embedder
from thrift_plugins.types import Message, Request

TARGETS = {"semantic_x_get_100k": 4.0, "semantic_growth_1m": 3.0}
FOUND, REPEATS = 3, 0.35
ASKED = 3_000
"""Distinct questions a case; rounds and calls come to no more."""

ROUNDS, CALLS = 29, 100
JUDGED = 300
"""Questions whose neighbours are compared with the true ones."""

AT_ONCE = 1_000
PEER_ENTRIES = 2_000
ANSWER = "A stored answer of the length that a knowledge base gives. " * 20
Rows = NDArray[np.float16]


@dataclass(frozen=True)
class Space:
    """One space of the tier, filled; `index` holds the same vectors once more, to be measured alone."""

    texts: Sequence[str]
    tier: Tier
    index: VectorIndex
    rows: Rows
    seconds: float

    @classmethod
    def filled(cls, entries: int, verifier: Verifier) -> Space:
        """With so many different questions."""
        texts, embedder = list(questions(entries)), verifier.embedder
        tier = Tier(embedder, verifier, Limits(), most=entries)
        space = _asked(tier, texts[0]).space
        index, rows, seconds = (
            VectorIndex(embedder.dimensions),
            np.zeros((entries, embedder.dimensions), np.float16),
            0.0,
        )
        for start in range(0, entries, AT_ONCE):
            vectors = embedder.embed(texts[start : start + AT_ONCE])
            rows[start : start + AT_ONCE] = vectors
            started = perf_counter()
            index.add(vectors)  # slots are given in order, and so are places in `texts`
            seconds += perf_counter() - started
            told = zip(texts[start : start + AT_ONCE], vectors, strict=True)
            tier.take([Question(space, text, vector, time() + 1e6).pack() for text, vector in told], [])
        return cls(texts, tier, index, rows, seconds)

    def recall(self, asked: Sequence[str], embedder: Embedder) -> float:
        """The share of the three truly nearest that a search finds."""
        vectors = embedder.embed(asked)
        near = np.concatenate(
            [
                vectors @ self.rows[start : start + 50_000].T.astype(np.float32)
                for start in range(0, len(self.rows), 50_000)
            ],
            axis=1,
        )
        truth = np.argpartition(-near, FOUND, axis=1)[:, :FOUND]
        hits = [
            len({slot for slot, _ in self.index.search(vector, FOUND)}.intersection(row.tolist()))
            for vector, row in zip(vectors, truth, strict=True)
        ]
        return sum(hits) / (FOUND * len(asked))


def lookup(space: Space, embedder: Embedder) -> Callable[[str], bool]:
    """Whether a question is answered from the space."""

    def one(question: str) -> bool:
        what = _asked(space.tier, question)
        return space.tier.find(what, embedder.embed([question])[0], time()) is not None

    return one


def _asked(tier: Tier, question: str) -> Asked:
    turns = (Message("system", "You answer questions about a product."), Message("user", question))
    what = tier.ask(Request("1", 0.0, "gpt-4o-mini", turns))
    if what is None:
        raise AssertionError(f"not a question for the tier: {question}")
    return what


def asked(space: Space) -> dict[str, list[str]]:
    """Stored questions in other words, new questions, and both in the proportions of traffic."""
    chance = random.Random(1)
    stored, new = set(space.texts), questions(4 * ASKED, seed=1)
    repeats = [reworded(text, 1) for text in chance.sample(space.texts, 2 * ASKED)]
    others = [text for text in new if text not in stored]
    share = int(ASKED * REPEATS)
    mixed = repeats[ASKED : ASKED + share] + others[ASKED : 2 * ASKED - share]
    chance.shuffle(mixed)
    return {"": mixed, "_repeat": repeats[:ASKED], "_new": others[:ASKED]}


def times(spaces: dict[str, Space], verifier: Verifier, server: RedisServer) -> dict[str, float]:
    """Each kind of lookup in each space, and its parts, in turns with a raw GET."""
    import redis

    client = redis.Redis.from_url(server.url)
    client.set("raw", ANSWER)
    cases: dict[str, Case] = {"raw": lambda: client.get("raw")}
    for size, space in spaces.items():
        for kind, texts in asked(space).items():
            cases[f"semantic{kind}_x_get_{size}"] = _each(lookup(space, verifier.embedder), texts)
    cases |= _parts(spaces["100k"], verifier)
    found = interleaved(cases, rounds=ROUNDS, calls=CALLS)
    client.close()
    raw = found.pop("raw")
    return {"raw_get_us": raw * 1e6, **{name: seconds / raw for name, seconds in found.items()}}


def _parts(space: Space, verifier: Verifier) -> dict[str, Case]:
    """Vector and search alone; what is left of a lookup is the verification."""
    embedder = verifier.embedder
    texts = [reworded(text, 2) for text in random.Random(2).sample(space.texts, ASKED)]
    vectors: list[NDArray[np.float32]] = list(embedder.embed([reworded(text, 3) for text in texts]))
    return {
        "embed_x_get": _each(lambda text: embedder.embed([text]), texts),
        "search_x_get_100k": _each(lambda vector: space.index.search(vector, FOUND), vectors),
    }


def _each(call: Callable[[Any], object], given: Sequence[Any]) -> Case:
    endless = itertools.cycle(given)
    return lambda: call(next(endless))


def peers(server: RedisServer, embedder: Embedder) -> dict[str, str | float]:
    """Lookups of stored questions in semantic caches that others ship, with our vectors; or why there is none."""
    makers = {"peer_redisvl_x_get": _redisvl, "peer_langchain_redis_semantic_x_get": _langchain_redis}
    figures: dict[str, str | float] = {}
    for name, make in makers.items():
        try:
            figures[name] = _timed(*make(server.url, embedder), server)
        except Exception as error:
            figures[name] = f"does not run here: {type(error).__name__}: {str(error)[:80]}"
    return figures


def _timed(store: Callable[[str], object], ask: Callable[[str], object], server: RedisServer) -> float:
    import redis

    texts = list(questions(PEER_ENTRIES, seed=5))
    for text in texts:
        store(text)
    if not ask(texts[0]):
        raise AssertionError("it does not find what it stored")
    with redis.Redis.from_url(server.url) as client:
        client.set("raw", ANSWER)
        cases: dict[str, Case] = {"raw": lambda: client.get("raw"), "peer": _each(ask, texts)}
        found = interleaved(cases, rounds=5, calls=CALLS)
    return found["peer"] / found["raw"]


def _redisvl(url: str, embedder: Embedder) -> tuple[Callable[[str], object], Callable[[str], object]]:
    from redisvl.extensions.cache.llm import SemanticCache
    from redisvl.utils.vectorize import CustomTextVectorizer

    def embed(text: str) -> list[float]:
        return embedder.embed([text])[0].tolist()

    cache = SemanticCache("peer", distance_threshold=0.1, vectorizer=CustomTextVectorizer(embed=embed), redis_url=url)
    return lambda text: cache.store(prompt=text, response=ANSWER), lambda text: cache.check(prompt=text)


def _langchain_redis(url: str, embedder: Embedder) -> tuple[Callable[[str], object], Callable[[str], object]]:
    from langchain_core.embeddings import Embeddings
    from langchain_core.outputs import Generation
    from langchain_redis import RedisSemanticCache

    class Ours(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embedder.embed(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    cache = RedisSemanticCache(Ours(), redis_url=url, distance_threshold=0.1)
    return lambda text: cache.update(text, "model", [Generation(text=ANSWER)]), lambda text: cache.lookup(text, "model")


def main() -> None:
    """Fill, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--entries", type=int, default=100_000, help="of the index that figures call 100k")
    parser.add_argument("--million", action="store_true")
    given = parser.parse_args()
    if given.entries < 2 * ASKED:
        parser.error(f"--entries must be {2 * ASKED} or more, so that no question is asked twice")
    verifier = Verifier.load()
    spaces = {"100k": Space.filled(given.entries, verifier)}
    if given.million:
        spaces["1m"] = Space.filled(1_000_000, verifier)
    figures: dict[str, float | int | str | None] = {"entries": given.entries, "embedder": verifier.embedder.name}
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name)) as server:
        figures |= times(spaces, verifier, server)
        figures |= peers(server, verifier.embedder)
    if given.million:
        figures["semantic_growth_1m"] = _number(figures["semantic_x_get_1m"]) / _number(figures["semantic_x_get_100k"])
    for size, space in spaces.items():
        plain = "" if size == "100k" else f"_{size}"
        sample = [reworded(text, 4) for text in random.Random(4).sample(space.texts, JUDGED)]
        figures[f"semantic_recall_at_3{plain}"] = space.recall(sample, verifier.embedder)
        figures[f"semantic_bytes_per_entry{plain}"] = space.index.nbytes / len(space.texts)
        figures[f"semantic_add_us{plain}"] = space.seconds / len(space.texts) * 1e6
    report("semantic speed", figures, TARGETS, given.json)


def _number(value: float | str | None) -> float:
    if not isinstance(value, float):
        raise TypeError(f"{value!r} is no figure")
    return value


if __name__ == "__main__":
    main()
