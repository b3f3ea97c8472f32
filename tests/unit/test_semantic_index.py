from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.benchmarks.questions import questions, reworded
from thrift_plugins.caching.semantic.index import VectorIndex
from thrift_plugins.text.embed import StaticEmbedder

MANY = int(12_000 * float(os.environ.get("THRIFT_TEST_SCALE", "1")))
Floats = NDArray[np.float32]


def directions(count: int, dimensions: int, seed: int = 0) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def recall(index: VectorIndex, stored: dict[int, Floats], asked: Floats, count: int = 3) -> float:
    """The share of the truly nearest that is found."""
    slots = np.array(list(stored))
    rows = np.stack(list(stored.values()))
    right = 0
    for query in asked:
        truth = set(slots[np.argsort(-(rows @ query))[:count]].tolist())
        right += len(truth & {slot for slot, _ in index.search(query, count)})
    return right / (count * len(asked))


@pytest.mark.parametrize("learnt", [False, True])
def test_nearly_every_true_neighbour_of_a_reworded_question_is_found(learnt: bool) -> None:
    embedder = StaticEmbedder(learnt=learnt)
    texts = list(questions(MANY))
    rows = embedder.embed(texts)
    index = VectorIndex(embedder.dimensions)
    stored = dict(zip(index.add(rows), rows, strict=True))
    asked = embedder.embed([reworded(text) for text in texts[::60]])
    assert recall(index, stored, asked) >= 0.95


@pytest.mark.parametrize("dimensions", [1, 3, 255, 256, 257, 512, 1_000])
def test_a_small_space_is_searched_exactly(dimensions: int) -> None:
    rows = directions(190, dimensions)
    index = VectorIndex(dimensions)
    slots = index.add(rows)
    for query in directions(20, dimensions, seed=1):
        found = index.search(query, 190)
        assert sorted(slot for slot, _ in found) == sorted(slots)
        cosines = dict(found)
        np.testing.assert_allclose([cosines[slot] for slot in slots], rows @ query, atol=0.02)
        assert [cosine for _, cosine in found] == sorted(cosines.values(), reverse=True)


def test_an_empty_space_has_no_neighbours() -> None:
    index = VectorIndex(8)
    assert index.search(directions(1, 8)[0], 3) == []
    (slot,) = index.add(directions(1, 8))
    index.remove(slot)
    assert len(index) == 0
    assert index.search(directions(1, 8)[0], 3) == []
    assert index.add(np.zeros((0, 8), np.float32)) == []


def test_what_was_removed_is_never_found_and_the_rest_always_is() -> None:
    chance = np.random.default_rng(3)
    index = VectorIndex(64)
    stored: dict[int, Floats] = {}
    for turn in range(40):
        rows = directions(150, 64, seed=turn)
        stored.update(zip(index.add(rows), rows, strict=True))
        for slot in chance.permutation(list(stored))[: 140 if turn > 20 else 40].tolist():
            index.remove(slot)
            del stored[slot]
        assert len(index) == len(stored)
    for slot, row in list(stored.items())[::10]:
        assert index.search(row, 1)[0][0] == slot
    for query in directions(50, 64, seed=99):
        assert {slot for slot, _ in index.search(query, 20)} <= set(stored)


def test_neighbours_are_found_after_nearly_everything_has_expired() -> None:
    index = VectorIndex(32)
    rows = directions(8_000, 32)
    stored = dict(zip(index.add(rows), rows, strict=True))
    for slot in [slot for slot in stored if slot % 20]:
        index.remove(slot)
        del stored[slot]
    assert recall(index, stored, directions(40, 32, seed=5)) >= 0.95


def test_a_slot_that_holds_nothing_cannot_be_removed() -> None:
    index = VectorIndex(4)
    (slot,) = index.add(directions(1, 4))
    index.remove(slot)
    for gone in (slot, 7, -1):
        with pytest.raises(KeyError):
            index.remove(gone)


def test_equal_vectors_are_no_trouble() -> None:
    index = VectorIndex(16)
    one, other = directions(2, 16)
    slots = index.add(np.repeat(one[None], 1_500, axis=0))
    (far,) = index.add(other[None])
    slots += index.add(np.repeat(one[None], 500, axis=0))
    assert index.search(other, 1)[0][0] == far
    assert {slot for slot, _ in index.search(one, 5)} <= set(slots)
    for slot in slots:
        index.remove(slot)
    assert [slot for slot, _ in index.search(one, 5)] == [far]


def test_vectors_without_direction_are_kept_apart_from_none() -> None:
    index = VectorIndex(16)
    index.add(np.zeros((1_000, 16), np.float32))
    (slot,) = index.add(directions(1, 16))
    assert index.search(directions(1, 16)[0], 1)[0][0] == slot
    assert len(index.search(np.zeros(16, np.float32), 3)) == 3


def test_memory_is_bounded_by_what_was_ever_held_at_once() -> None:
    index = VectorIndex(256)
    sizes = []
    for turn in range(4):
        slots = index.add(directions(5_000, 256, seed=turn))
        sizes.append(index.nbytes)
        for slot in slots:
            index.remove(slot)
    assert max(sizes) <= sizes[0] * 1.1
    assert sizes[0] / 5_000 < 500


def test_one_batch_and_many_give_indexes_as_good() -> None:
    rows = directions(4_000, 48)
    whole, single = VectorIndex(48), VectorIndex(48)
    together = dict(zip(whole.add(rows), rows, strict=True))
    alone = {single.add(row[None])[0]: row for row in rows}
    asked = directions(40, 48, seed=9)
    assert min(recall(whole, together, asked), recall(single, alone, asked)) >= 0.9
