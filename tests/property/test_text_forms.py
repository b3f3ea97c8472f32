"""What is counted by bytes and by sums is what its plain definition finds, in any text."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from thrift_plugins.text import forms, tallies
from thrift_plugins.text.lexicon import STEM_LETTERS, STEMS, WORDS, Sign
from thrift_plugins.text.scripts import TOKENS_PER_LATIN_WORD, WORD, tally
from thrift_plugins.text.window import Window

PIECES = st.sampled_from([
    "A.", "B)", "(c)", "d:", "\nE.", "\n \n(A)", "Б)", "イ、", "③", "He", "it Is", ", Paris", "x Ab Cd", "1,000.5", ".5.", "٣", "²",
    "not", "False", "statements", "calculate", "Calculations", "don't", "a_b", "é", "Σ", "İ", "’", "–", "你好", "\ud800", "\x00", "\x1c",
    "\xa0", "\u2028", "\u0e23\u0e31", "Ⓐ", "?", "!", "。", "\t", "\r\n", "____",
])  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.one_of(PIECES, st.sampled_from([" ", "  ", "\n", ", "])), max_size=60).map("".join),
    st.text("aAbBeE ().:;,?_'0\n\x1f", max_size=80),
)
UNHURRIED = settings(deadline=None)


@UNHURRIED
@given(text=TEXTS)
@example(text="a Bc De Fg, Hi")
@example(text="ΑΣ'Β")
def test_forms(text: str) -> None:
    read = Window(text)
    assert read.words == WORD.findall(text.lower())
    assert read.distinct == set(read.words)
    assert forms.numbers(read) == len(re.findall(r"\d[\d.,]*", text))
    assert forms.names(read) == len(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text))
    assert forms.longest_sentence(read) == max(map(len, re.split("[.?!。？！]", text)))
    lines = list(re.finditer(r"(?m)^\s*[(（]?[A-Ea-e][).．、）]\s*(.*)$", text))
    assert forms.option_lines(text) == (lines[0].start() if lines else None, [line[1].strip() for line in lines])
    if not read.lettered:
        assert forms.capitalised(read.told) == sum(word[0].isupper() for word in re.findall(r"\w+", text)[1:])
        assert (tally(text).words, tally(text).tokens) == (len(read.words), TOKENS_PER_LATIN_WORD * len(read.words))


@UNHURRIED
@given(text=TEXTS)
@example(text="A. B.")
@example(text="B. c) ;D:")
@example(text="x\xa0A.\xa0B.\xa0C.")
def test_options(text: str) -> None:
    hints = ("B.", "B)", "B、", "B．", "B）", "B:", "b)", "b.", "Б)", "Б.", "イ.", "イ、", "イ）")
    found = re.findall(r"(?:^|[\s(（。；;])([A-Ea-eА-Дア-オ])[).、．）:：]", text)
    listed = len({letter.upper() for letter in found}) if any(hint in text for hint in hints) else 0
    assert forms.options(Window(text)) == (3 if "③" in text else listed)


@UNHURRIED
@given(words=st.lists(st.one_of(st.sampled_from([*WORDS, *STEMS, "false", "statement", "which", "12", "nicht"]), st.text(max_size=40))))
def test_counts_of_words(words: list[str]) -> None:
    found = tallies.tallies(words)
    signs = [WORDS.get(word, STEMS.get(word[:STEM_LETTERS])) for word in words]
    assert list(found[: len(Sign)]) == [signs.count(sign) for sign in Sign]
    assert found[tallies.LONG] == sum(len(word) > 9 for word in words)
    assert found[tallies.DECIMAL] == sum(map(str.isdecimal, words))
    assert found[tallies.LOGIC] == sum(word in {"true", "false", "statement", "statements"} for word in words)


def test_many_words_are_counted_in_parts() -> None:
    found = tallies.tallies(["not", "2"] * 70_000)
    assert (found[Sign.NEGATION], found[tallies.NOT], found[tallies.DECIMAL]) == (70_000, 70_000, 70_000)
