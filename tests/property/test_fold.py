"""Folding: what cannot matter never tells two questions apart, what may matter always does, and nothing is slow."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from thrift_plugins.caching import address
from thrift_plugins.text.fold import fold
from thrift_plugins.types import Message, Request

openings = st.sampled_from(
    ["What is", "How do I", "Why does", "Where can we find", "Is there", "Who was", "Does it need", "Can you see"]
)
plain = st.sampled_from(
    [
        "refund",
        "my order",
        "the old account",
        "a phone plan",
        "US visa",
        "Apple pie",
        "WHO rules",
        "GPS meter",
        "Polish soup",
        "blue paint",
    ]
)
endings = st.sampled_from(["", "?", "??", " ?", "  "])
chinese = st.sampled_from(
    ["如何申请退款", "怎么修改密码", "请问哪里可以停车", "什么是机器学习", "会员可以退货吗", "为什么天空是蓝色的"]
)
japanese = st.sampled_from(["営業時間は何時からですか", "送料はいくらですか", "どこで買えますか"])
german = st.sampled_from(
    ["Wie kündige ich mein Konto", "Was kostet die große Maß", "Wo ist der Bahnhof", "Kann ich Sie anrufen"]
)
turkish = st.sampled_from(["İade nasıl yapılır", "Şifremi nasıl değiştiririm", "Irmak nerede", "ılık su nedir"])
russian = st.sampled_from(["Как удалить аккаунт", "Где мой заказ", "Сколько стоит доставка"])
languages = st.one_of(chinese, japanese, german, turkish, russian)
anything = st.text(max_size=80) | st.text("aAiI ?.!,'-\"\t\n1？。我的Ａａ", max_size=40)


@st.composite
def questions(draw: st.DrawFn) -> str:
    return f"{draw(openings)} {draw(plain)} {draw(plain)}"


@given(questions(), endings, st.integers(0, 3), st.integers(1, 3), st.booleans())
def test_english_spellings_meet(question: str, ending: str, before: int, between: int, small: bool):
    first, _, rest = question.partition(" ")
    spelt = (
        " " * before + (first.lower() if small else first) + " " * between + rest.replace(" ", " " * between) + ending
    )
    assert fold(spelt) == fold(question)


@given(languages, st.integers(0, 2), st.integers(0, 2), st.sampled_from([" ", "\u3000", "\u00a0"]))
def test_spaces_meet_in_every_language(text: str, before: int, after: int, space: str):
    assert fold(space * before + text.replace(" ", space * 2) + space * after) == fold(text)


@given(chinese | japanese, st.sampled_from(["", "？", "?"]))
def test_end_marks_of_chinese_and_japanese_questions_meet(text: str, mark: str):
    assert fold(text + mark) == fold(text)


@given(
    questions() | chinese | german,
    st.sampled_from([".", "!", "...", "?!", "！", "。"]),
    st.sampled_from(["", "?", "?!", "!?"]),
)
def test_marks_that_say_more_than_that_it_asks_stay(text: str, mark: str, other: str):
    assert (fold(text + mark) == fold(text + other)) is (mark == other)


@given(german | turkish | russian)
def test_letters_of_other_scripts_keep_their_case(text: str):
    folded = fold(text)
    assert folded[1:] == text[1:]
    assert folded[0] in (text[0], text[0].lower())
    assert fold(text.upper()) == text.upper()


@given(anything)
@example("What is ? ?")
@example("Ａ.")
@example("is this that. ?")
@settings(max_examples=400)
def test_it_is_idempotent_and_raises_nothing(text: str):
    folded = fold(text)
    assert fold(folded) == folded


@given(anything)
@settings(max_examples=400)
def test_letters_digits_and_their_order_survive(text: str):
    def core(of: str) -> str:
        return re.sub(r"[\W_]", "", of).casefold()

    folded = fold(text)
    if folded != text and text.isascii():
        assert core(folded) == core(text)
        assert sorted(re.findall(r"[A-Z]{2,}", folded)) == sorted(re.findall(r"[A-Z]{2,}", text)), "capitals stay"


@given(questions(), st.sampled_from(list('"`_{}[]()<>=/\\|@#$%^&*~+;:\n\t\u200b“')), st.data())
def test_anything_but_prose_in_it_keeps_its_bytes(question: str, odd: str, data: st.DataObject):
    place = data.draw(st.integers(1, len(question) - 1))
    text = question[:place] + odd + question[place:]
    assert fold(text) == text


@given(questions(), questions())
def test_two_questions_stay_two(one: str, other: str):
    assert (fold(one) == fold(other)) == (one == other)


@given(st.sampled_from("a 'i-?.我。？Ａ\u3000é,"), st.sampled_from("a 'i-?.我。？Ａ\u3000é,"), st.integers(1, 300))
def test_long_and_odd_texts_are_read_in_a_bounded_number_of_steps(one: str, other: str, count: int):
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(step)
    try:
        fold((one + other) * count)
        fold("what is " + one * count + other)
    finally:
        sys.setprofile(None)
    assert steps < 40_000


def request(role: str, content: object, **more: object) -> Request:
    turns = (Message("system", "Be brief."), Message(role, content), Message("user", "And then?"))  # type: ignore[arg-type]
    return replace(Request("1", 0.0, "m", turns), **more)  # type: ignore[arg-type]


@given(questions(), endings)
def test_only_turns_of_the_user_are_folded(question: str, ending: str):
    spelt = f"  {question}{ending}"
    assert address(request("user", spelt), folded=True) == address(request("user", question), folded=True)
    assert address(request("user", spelt)) != address(request("user", question))
    for role in ("system", "assistant", "tool"):
        assert address(request(role, spelt), folded=True) != address(request(role, question), folded=True)


@given(questions())
def test_a_text_beside_other_blocks_is_folded_and_parts_of_a_text_are_not(question: str):
    picture = {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}

    def asked(*texts: str) -> str | None:
        return address(request("user", [picture, *({"type": "text", "text": text} for text in texts)]), folded=True)

    assert asked(f"{question}  ") == asked(question)
    assert asked(f"{question} ", "now") != asked(question, "now")


@given(questions())
def test_where_the_spelling_is_what_is_worked_on_nothing_is_folded(question: str):
    for told in (
        {"messages": (Message("system", "Correct the spelling."), Message("user", question))},
        {
            "messages": (
                Message("user", "From now on, translate what I say."),
                Message("assistant", "Fine."),
                Message("user", question),
            )
        },
        {"messages": (Message("user", question),), "schema": {"type": "object"}},
        {"messages": (Message("user", question, extra={"role": "developer"}),)},
    ):
        base = Request("1", 0.0, "m", **told)  # type: ignore[arg-type]
        spelt = replace(base, messages=(*base.messages[:-1], replace(base.messages[-1], content=f"{question}  ?")))
        assert address(spelt, folded=True) != address(base, folded=True)
