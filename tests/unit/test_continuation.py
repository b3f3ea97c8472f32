"""Cut answers, asked for their rest and put together."""

from __future__ import annotations

import pytest

from thrift_plugins.budgeting import continuation, is_cut, joined
from thrift_plugins.types import Message, Reply, Request, ToolCall, Usage

FIRST = "Open the settings, choose the account, and then press the button that resets your passw"
USED = Usage(10, 20, reasoning=5, source="provider")
TOOL = {"name": "search", "parameters": {}}


def _request(**fields):
    return Request(id="1", at=0.0, model="m", messages=(Message("user", "How?"),), **fields)


def _reply(content, finish="length", **fields):
    return Reply(content, USED, finish_reason=finish, **fields)


@pytest.mark.parametrize("word", ["length", "max_tokens", "MAX_TOKENS", "max_output_tokens"])
def test_providers_words_for_a_cut_answer(word):
    assert is_cut(_reply("x", word))
    assert not is_cut(_reply("x", "stop"))
    assert not is_cut(_reply("x", None))


def test_the_rest_is_asked_for_from_the_last_words_on():
    said, ask = continuation(_request(), _reply(FIRST))
    assert (said.role, said.content) == ("assistant", FIRST)
    assert ask.role == "user"
    assert ask.content.endswith("press the button that resets your passw")


def test_the_rest_is_asked_for_in_the_answers_language():
    _, ask = continuation(_request(), _reply("Öffne die Einstellungen und wähle dann das Konto, das du zurücks"))
    assert ask.content.startswith("Die Antwort wurde abgeschnitten")


@pytest.mark.parametrize(
    ("request_fields", "reply"),
    [
        ({}, _reply(FIRST, "stop")),
        ({}, _reply(FIRST, complete=False)),
        ({}, _reply("")),  # all of it went into hidden reasoning
        ({}, _reply("Well")),
        ({}, _reply(FIRST, tool_calls=(ToolCall("1", "search", "{"),))),
        ({}, _reply([{"type": "text", "text": FIRST}, {"type": "image", "data": ""}])),
        ({"schema": {"type": "object"}}, _reply(FIRST)),
        ({"params": {"n": 2}}, _reply(FIRST)),
        ({"tools": (TOOL,), "params": {"tool_choice": "required"}}, _reply(FIRST)),
    ],
)
def test_what_could_not_be_joined_is_not_asked_for(request_fields, reply):
    assert continuation(_request(**request_fields), reply) is None


@pytest.mark.parametrize(
    "rest",
    [
        "and then press the button that resets your password. Done.",
        '"and then press the button that resets your passw"ord. Done.',
        "…press the button that resets your password. Done.",
        "\n that resets your password. Done.",
        FIRST + "ord. Done.",
    ],
)
def test_the_seam_is_found(rest):
    whole = joined(_reply(FIRST), _reply(rest, "stop"))
    assert whole.content == FIRST + "ord. Done."
    assert whole.finish_reason == "stop"
    assert whole.usage == USED + USED


@pytest.mark.parametrize("rest", ["ord. Done.", "Sure! Here is more.", "", "passw"])
def test_an_answer_that_does_not_take_up_the_thread_is_not_joined(rest):
    assert joined(_reply(FIRST), _reply(rest, "stop")) is None


def test_a_broken_rest_and_one_that_calls_tools_are_not_joined():
    rest = "press the button that resets your password."
    assert joined(_reply(FIRST), _reply(rest, complete=False)) is None
    assert joined(_reply(FIRST), _reply(rest, tool_calls=(ToolCall("1", "search", {}),))) is None


def test_quotation_marks_of_the_answers_own_stay():
    first = 'He looked at the sea and said: "All of the ships have gone'
    assert (
        joined(_reply(first), _reply('"All of the ships have gone", and went.', "stop")).content
        == first + '", and went.'
    )


def test_blocks_keep_what_is_before_the_text():
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    first = _reply([thought, {"type": "text", "text": FIRST, "citations": []}])
    whole = joined(first, _reply([{"type": "text", "text": "that resets your password."}], "stop"))
    assert whole.content == [thought, {"type": "text", "text": FIRST + "ord.", "citations": []}]


def test_a_short_last_line_is_told_with_the_one_before():
    first = "The three parts of it are these:\n- a\n- b"
    _, ask = continuation(_request(), _reply(first))
    assert "these:\n- a\n- b" in ask.content
    assert joined(_reply(first), _reply("of it are these:\n- a\n- bread\n- c", "stop")).content.endswith(
        "\n- bread\n- c"
    )
