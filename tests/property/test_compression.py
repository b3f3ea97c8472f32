"""What holds of every value and every text: JSON reads back as it was, and nothing that is kept is changed."""

from __future__ import annotations

import json
import os
import re
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compression_kit import FACTS, passages
from thrift_plugins.compression import Compressor, Limit
from thrift_plugins.compression.extraction import GAP
from thrift_plugins.compression.json_forms import cheapest, columns, csv, read_back, toon
from thrift_plugins.compression.json_forms.values import compact, compacted, parse, same
from thrift_plugins.compression.marks import broken
from thrift_plugins.compression.prompt_parts import parts_of
from thrift_plugins.compression.repeats import without_repeats
from thrift_plugins.compression.tidy import tidied
from thrift_plugins.text.sentences import joined, pieces
from thrift_plugins.types import Message

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))

_TRAPS = [
    "",
    "1",
    "null",
    "true",
    "-",
    "- a",
    "a,b",
    " a",
    "a ",
    "[x]",
    "{",
    "1e5",
    "007",
    "-5",
    "1.",
    "a:b",
    "\n",
    "\ud800",
    "“q”",
    "2024-01-01",
    "é è",
    "中文",
    '"',
]
_TEXT = st.one_of(st.text(max_size=8), st.sampled_from(_TRAPS))
_LEAF = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _TEXT)
_VALUE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=12,
)
_TABLE = st.lists(_TEXT, min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, _VALUE)), min_size=2, max_size=5)
)
_PROSE = st.lists(
    st.sampled_from(
        [
            *string.printable, "Dr. Who lives. ", "It is not 3.5 kg. ", "```py\n  x = 1\n```\n", "~~~\na  b\n~~~\n", "{name}", "{{slot}}", "${HOME}",
            "<tag>", "</tag>", "  two  spaces  ", "\n\n\n\n", "| a  | b |\n", "    indented: yes\n", "没有水。", "彼は来ない。", '"never  mind"', "https://x.io/a?b=1 ",
            "[12]", "$4.50", "[1] Title\nText here.\n\n[2] Other\nMore text.\n",
        ]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=int(500 * SCALE), deadline=None)
@given(st.one_of(_VALUE, _TABLE, st.dictionaries(_TEXT, _VALUE, min_size=2, max_size=4)))
def test_json_reads_back_as_it_was_in_every_form(value):
    for indent in (None, 2):
        text = json.dumps(value, indent=indent)
        known = parse(text)
        for form in (csv, toon):
            written = form.written(known)
            assert written is None or same(form.read(written), known)
        table = columns.written(known)
        assert table is None or same(columns.read(parse(compact(table))), known)
        assert same(parse(compacted(text)), known)
        best = cheapest(text, len)
        if best is not None:
            assert same(read_back(best.text, best.form), known)
            assert best.tokens <= best.before


@settings(max_examples=int(100 * SCALE), deadline=None)
@given(st.sampled_from(["1.0", "1e5", "100000000000000000000001", "-0", "0.10", "1E+2"]))
def test_numbers_are_spelt_as_they_were(number: str):
    text = json.dumps([{"a": 0, "b": "x"}, {"a": 1, "b": "y"}], indent=4).replace("0", number)
    best = cheapest(text, len)
    assert best is not None
    assert number in best.text


def test_what_says_a_key_twice_is_only_compacted():
    best = cheapest('{ "a" : 1,\n "a" : 2 , "b": "\\u00e9" }', len)
    assert best is not None
    assert (best.form, best.text) == ("compact", '{"a":1,"a":2,"b":"\\u00e9"}')


@settings(max_examples=int(300 * SCALE), deadline=None)
@given(_PROSE)
def test_pieces_and_parts_are_the_text_again(text: str):
    assert joined(text, pieces(text)) == text
    assert "".join(part.text for part in parts_of(text)) == text


@settings(max_examples=int(300 * SCALE), deadline=None)
@given(_PROSE)
def test_tidying_breaks_nothing_twice_is_once_and_never_longer(text: str):
    made = tidied(text)
    assert len(made) <= len(text)
    assert tidied(made) == made
    assert not broken(text, made, ("fence", "code", "placeholder", "address", "negation"))
    assert re.findall(r"\S+", made) == re.findall(r"\S+", text)


@settings(max_examples=int(200 * SCALE), deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "a" * 70,
                "b" * 70,
                "c",
                "d" * 70 + "\n\n" + "a" * 70,
                "The end of one chunk is the start of the next. " * 2,
            ]
        ),
        max_size=6,
    )
)
def test_repeats_that_go_are_still_there(texts: list[str]):
    made = without_repeats(texts)
    assert len(made) == len(texts)
    whole = "".join(made)
    for paragraph in (one for text in texts for one in text.split("\n\n")):
        assert paragraph.strip() in whole or any(paragraph.strip() in text for text in texts[:1])
    assert without_repeats(made) == made or len("".join(without_repeats(made))) <= len(whole)


_QUESTIONS = st.sampled_from(
    [
        "What is the capital of Norway?",
        "Where is bread baked?",
        "谁修了公园？",
        "",
        "?!",
        "\x00\ud800",
        "a" * 300,
        "Ποια είναι η πρωτεύουσα;",
    ]
)


@settings(max_examples=int(60 * SCALE), deadline=None)
@given(_QUESTIONS, st.floats(1, 20), st.lists(_PROSE, max_size=3))
def test_what_is_kept_is_as_it_was_and_the_question_is_untouched(question: str, ratio: float, more: list[str]):
    prompt = passages(question)
    for number, text in enumerate(more, len(FACTS) + 1):
        prompt = prompt.replace("\n\nQuestion:", f"\n\n[{number}] More\n{text}\n\nQuestion:", 1)
    asked = (Message("system", "Never say {name}."), Message("user", prompt))
    compressor = Compressor(Limit(ratio=ratio), spelling=False)
    made = compressor.compress(asked, "gpt-4o")
    again = Compressor(Limit(ratio=ratio), spelling=False).compress(asked, "gpt-4o")
    assert made.messages == again.messages
    assert made.tokens_after <= made.tokens_before
    assert made.messages[0] == asked[0]
    text = made.messages[1].text
    assert text.strip()
    if not more:
        assert text.endswith(f"Question: {question}")
    at = 0
    for piece in (one for part in text.split(GAP.strip()) for one in part.split("\n")):
        if piece.strip():
            assert piece.strip() in prompt
    assert at <= len(text)
