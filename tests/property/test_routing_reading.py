"""What a learned router reads at once is what it would read piece by piece, of any text."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from math import log, sqrt
from zlib import crc32

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.test_learned_router import NAMED, request, world
from thrift_plugins.routing.learned import FAR, LearnedRouter
from thrift_plugins.routing.pieces import counted, occurrences
from thrift_plugins.routing.reading import UNIT
from thrift_plugins.routing.training import train
from thrift_plugins.routing.traits import SLOTS, _kinds, last_turn, traits
from thrift_plugins.text.scripts import WORD, words_of
from thrift_plugins.text.window import Window

TEXTS = st.one_of(
    st.text(max_size=200), st.text("ab '.,?\n0Z", max_size=200), st.text("aé你 \u0e23\u0131\u0130\x7f\x80", max_size=60)
)
UNHURRIED = settings(deadline=None)


@pytest.fixture(scope="module")
def router() -> LearnedRouter:
    return train(world(300), NAMED, quality=0.9)


def _pieces(text: str) -> Counter[int]:
    lowered = text.lower()
    marks = re.findall(r"[a-z0-9']+|[^\sa-z0-9]", lowered)
    found = Counter(marks)
    found.update(f"{first} {second}" for first, second in pairwise(marks))
    found.update(f"#{lowered[at : at + 4]}" for at in range(len(lowered) - 3))
    slots: Counter[int] = Counter()
    for piece, times in found.items():
        slots[crc32(piece.encode("utf-8", "surrogatepass")) % SLOTS] += times
    return slots


@UNHURRIED
@given(text=TEXTS)
@example(text="")
@example(text="abc")
@example(text="\ud800 x")
@example(text="a" * 2_500)
def test_pieces(text: str) -> None:
    assert Counter(occurrences(text).tolist()) == _pieces(text)
    slots, times = counted(text)
    assert dict(zip(slots.tolist(), times.tolist(), strict=True)) == _pieces(text)


@UNHURRIED
@given(text=TEXTS)
@example(text="a" * 2_500)
def test_expectations(router: LearnedRouter, text: str) -> None:
    asked = request(text)
    found = list(router.means)
    weighed = {slot: (1 + log(times)) * router.rarity(slot) for slot, times in _pieces(last_turn(asked.messages)).items()}
    norm = sqrt(sum(weight * weight for weight in weighed.values())) or 1.0
    for slot, weight in weighed.items():
        for at, step in enumerate(router.slots.get(slot, ())):
            found[at] += weight / norm * step / UNIT
    for number, centre, spread, steps in zip(traits(asked), router.centre, router.spread, router.numbers, strict=True):
        for at, step in enumerate(steps if spread else ()):
            found[at] += min(FAR, max(-FAR, (number - centre) / spread)) * step / UNIT
    assert router.expected(asked) == pytest.approx(found, abs=1e-9)


@UNHURRIED
@given(text=TEXTS)
def test_words_and_kinds_of_letters(text: str) -> None:
    assert words_of(text) == WORD.findall(text)
    assert _kinds(Window(text)) == (
        sum(map(str.isdigit, text)),
        sum(map(str.isupper, text)),
        sum(letter in "=+-*/^()<>∑∫√" for letter in text),
    )
