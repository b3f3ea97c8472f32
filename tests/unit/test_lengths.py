"""What is learnt of the lengths of answers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from thrift_plugins.budgeting.lengths import ENOUGH, FEW, Ceiling, Kind, Lengths
from thrift_plugins.errors import StoreCorrupt

KIND = Kind("support", "big", "gpt-4o", "", "asked", "text")


def _learnt(tokens: Iterable[int], **how: int) -> Lengths:
    lengths = Lengths()
    for length in tokens:
        lengths.learn(KIND, length, **how)
    return lengths


def _after(other: Lengths) -> Lengths:
    """What a process knows that has learnt from another one alone."""
    lengths = Lengths()
    lengths.merge(other.drain())
    return lengths


def test_nothing_is_said_before_there_is_evidence():
    assert Lengths().ceiling(KIND) == Ceiling(None, 0)
    assert _learnt([100] * (ENOUGH - 1)).ceiling(KIND) == Ceiling(None, ENOUGH - 1)
    assert Lengths().mean(KIND) is None
    assert _learnt([100] * (FEW - 1)).mean(KIND) is None


def test_few_answers_leave_more_room_than_many():
    few, many = _learnt([100] * ENOUGH).ceiling(KIND).tokens, _learnt([100] * 1_000).ceiling(KIND).tokens
    assert few is not None
    assert many is not None
    assert few >= 200
    assert 125 <= many <= 136  # a bin's width above


def test_hidden_reasoning_leaves_more_room():
    shown, hidden = _learnt([1_000] * 400).ceiling(KIND).tokens, _learnt([1_000] * 400, hidden=700).ceiling(KIND).tokens
    assert hidden > shown * 1.5


@pytest.mark.parametrize("spread", [0.3, 0.6, 1.0, 1.3])
def test_hardly_any_answer_is_cut_from_the_first_on(spread):
    chance, lengths, cut = random.Random(7), Lengths(), 0
    for _ in range(5_000):
        tokens, most = int(chance.lognormvariate(5, spread)), lengths.ceiling(KIND).tokens
        truncated = most is not None and tokens > most
        cut += truncated
        lengths.learn(KIND, most if truncated else tokens, truncated=truncated)
    assert cut <= 0.01 * 5_000


def test_answers_that_grow_free_themselves():
    lengths, cut = _learnt([100] * 5_000), 0
    for _ in range(500):
        most = lengths.ceiling(KIND).tokens
        cut += most < 400
        lengths.learn(KIND, min(most, 400), truncated=most < 400)
    assert cut < 150
    assert lengths.ceiling(KIND).tokens >= 400


def test_old_answers_fade():
    lengths = _learnt([*[4_000] * 2_000, *[100] * 60_000])
    assert lengths.ceiling(KIND).tokens <= 140
    assert lengths.mean(KIND) == pytest.approx(100, rel=0.05)


def test_a_cut_answer_counts_as_billed_in_the_mean_and_as_longer_in_the_limit():
    lengths = Lengths()
    for _ in range(400):
        lengths.learn(KIND, 100, truncated=True)
    assert lengths.mean(KIND) == 100
    assert lengths.ceiling(KIND).tokens >= 250


def test_impossible_lengths_do_no_harm():
    lengths = _learnt([0, -5, 10**30] * 400, hidden=10**40)
    assert lengths.ceiling(KIND).tokens > 0
    assert _after(lengths).ceiling(KIND) == lengths.ceiling(KIND)


def test_kinds_are_kept_apart_and_are_few():
    lengths = _learnt([100] * 100)
    for number in range(5_000):
        lengths.learn(KIND._replace(feature=str(number)), 10)
    assert lengths.ceiling(KIND).seen == 0  # the one not seen for longest is forgotten
    assert lengths.ceiling(KIND._replace(feature="4999")).seen == 1
    assert len(json.loads(lengths.drain())["kinds"]) <= 4_096


def test_threads_lose_no_answer():
    lengths = Lengths()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda length: lengths.learn(KIND, length), [100] * 4_000))
    assert lengths.ceiling(KIND).seen == 4_000


def test_another_process_learns_the_same():
    lengths = _learnt(random.Random(3).choices(range(5, 3_000), k=5_000), hidden=3)
    again = _after(lengths)
    assert again.ceiling(KIND) == lengths.ceiling(KIND)
    assert again.mean(KIND) == lengths.mean(KIND)
    assert lengths.drain() == again.drain() == "", "once, and not what others have learnt"


def test_processes_add_up():
    mine = _learnt([100] * 200)
    mine.merge(_learnt([4_000] * 200).drain())
    assert mine.mean(KIND) == 2_050
    assert mine.ceiling(KIND).seen == 400
    assert mine.ceiling(KIND).tokens >= 4_000


GOOD = json.loads(_learnt([100] * 60).drain())


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{}", "nonsense", json.dumps({**GOOD, "version": 2}), json.dumps({**GOOD, "ratio": 2}),
        json.dumps({**GOOD, "kinds": [[1]]}), json.dumps({**GOOD, "kinds": 5}), json.dumps({**GOOD, "kinds": [None]}),
        json.dumps({**GOOD, "kinds": [[*KIND, 1, 1.0, 0.0, {"5": -1}]]}),
        json.dumps({**GOOD, "kinds": [[*KIND, 1, 1.0, 0.0, {"100000": 1}]]}),
        json.dumps({**GOOD, "kinds": [[*KIND, 1, 1.0, 0.0, {"5": float("nan")}]]}),
        json.dumps({**GOOD, "kinds": [[*KIND, 1, 10**400, 0.0, {"5": 1}]]}),
        json.dumps({**GOOD, "kinds": [[*KIND, True, 1.0, 0.0, {"5": 1}]]}),
        json.dumps({**GOOD, "kinds": [[*KIND, 1, 1.0, 0.0, {}]]}),
        "[" * 100_000,
    ],
)  # fmt: skip
def test_damaged_text_is_refused_with_the_way_out(text):
    with pytest.raises(StoreCorrupt, match="learn them anew"):
        Lengths().merge(text)
