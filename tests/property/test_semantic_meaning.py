from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.caching.semantic.reading import read
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.caching.semantic.vetoes import veto

WORDS = st.sampled_from(
    [
        "how",
        "do",
        "I",
        "not",
        "pay",
        "5",
        "km",
        "in",
        "Paris",
        "from",
        "to",
        "London",
        "than",
        "all",
        "两",
        "不",
        "从",
        "到",
        "北京",
        "打开",
        "关闭",
        "3.5",
        "$",
        "iPhone",
        "?",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=80), st.lists(WORDS, max_size=14).map(" ".join), st.lists(WORDS, max_size=14).map("".join)
)


@given(TEXTS, TEXTS, st.floats(-1, 1))
@settings(max_examples=150, deadline=None)
def test_any_two_texts_are_judged_alike_from_both_sides(first: str, second: str, cosine: float) -> None:
    one, other = read(first), read(second)
    assert veto(one, other) == veto(other, one)
    verifier = Verifier.load()
    there, back = (verifier.comparer.compare(*pair, cosine) for pair in ((one, other), (other, one)))
    np.testing.assert_allclose(there, back, rtol=1e-4, atol=1e-4)
    assert all(map(math.isfinite, there))
    assert 0 <= verifier.probability(first, second, cosine) <= 1


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_a_text_has_no_veto_against_itself(text: str) -> None:
    assert veto(read(text), read(text)) == ""
