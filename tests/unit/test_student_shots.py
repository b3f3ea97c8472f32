"""Examples of what to say, in turns before the question, may be others each time; a conversation is no such thing."""

from __future__ import annotations

import pytest

from tests import distillation_kit as kit
from thrift_plugins.distillation.prompts import CONVERSATION, asked
from thrift_plugins.distillation.recorder import example_of
from thrift_plugins.distillation.student import Student, Unreadable
from thrift_plugins.distillation.training import Material, train
from thrift_plugins.types import Message, Reply, Request, Usage

SHOTS = (("I lost my card", "card_lost"), ("what is the exchange rate", "exchange_rate"))
CHAT = (("Hello", "How can I help you today? Tell me what has happened to your card or to your account."),)


def request(text: str, *shots: tuple[str, str]) -> Request:
    turns = [Message(role, words) for pair in shots for role, words in zip(("user", "assistant"), pair, strict=True)]
    messages = (Message("system", "Answer with one label."), *turns, Message("user", text))
    return Request("r", 0.0, kit.TEACHER, messages)


def reply(text: str) -> Reply:
    return Reply(text, Usage(), finish_reason="stop", model=kit.TEACHER)


@pytest.fixture(scope="module")
def student() -> Student:
    made = [example_of(request(text), reply(topic)) for text, topic in kit.texts(300)]
    return train(kit.TASK, Material.of([example for example in made if example]), None)


def test_other_examples_are_the_same_prompt():
    plain, shown = asked(request("my card is gone")), asked(request("my card is gone", *SHOTS))
    assert not isinstance(plain, str)
    assert not isinstance(shown, str)
    assert plain.prompt == shown.prompt
    assert shown.shots == ("card_lost", "exchange_rate")


def test_a_student_answers_after_examples_of_its_own_task(student: Student):
    bare = student.opinion(request("hello, my card is gone today"))
    assert student.opinion(request("hello, my card is gone today", *SHOTS)) == bare


@pytest.mark.parametrize("shots", [CHAT, (*SHOTS, *CHAT), (("Is it lost?", "yes"),)])
def test_it_does_not_answer_within_a_conversation(student: Student, shots: tuple[tuple[str, str], ...]):
    with pytest.raises(Unreadable, match=CONVERSATION):
        student.opinion(request("my card is gone", *shots))


def test_what_is_recorded():
    assert example_of(request("my card is gone", *SHOTS), reply("card_lost")) == example_of(
        request("my card is gone"), reply("card_lost")
    )
    assert example_of(request("my card is gone", *CHAT), reply("card_lost")) is None
    assert example_of(request("my card is gone", *SHOTS), reply("I am sorry to hear that. " * 5)) is None


def test_turns_that_are_no_pairs_are_a_conversation():
    told = Request("r", 0.0, kit.TEACHER, (Message("user", "a"), Message("user", "b")))
    assert asked(told) == CONVERSATION
    assert asked(Request("r", 0.0, kit.TEACHER, (Message("user", "a"), Message("assistant", "b")))) == CONVERSATION
    assert asked(Request("r", 0.0, kit.TEACHER, ())) == CONVERSATION
