"""Whether two answers say the same: strictly, so that what is stated of errors is rather too high than too low."""

from __future__ import annotations

import pytest

from thrift_plugins.caching.semantic.agree import says_the_same
from thrift_plugins.types import Reply, ToolCall, Usage

USAGE = Usage(1, 1, source="provider")


def agree(stored: Reply | str, fresh: Reply | str) -> bool | None:
    first, second = (Reply(each, USAGE) if isinstance(each, str) else each for each in (stored, fresh))
    return says_the_same("?", first, second)


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("Paris.", "Paris."),
        ("Open  your\naccount.", "Open your account."),
        ("The capital of France is Paris.", "Paris is the capital of France."),
        ("You can return it within 30 days.", "Within 30 days you can return it."),
        ("退货期限是30天。", "退货的期限是30天。"),
    ],
)
def test_the_same(stored: str, fresh: str):
    assert agree(stored, fresh) is True


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("Paris.", "Lyon."),
        ("You can return it within 30 days.", "You can return it within 14 days."),
        ("Yes, you can return it.", "No, you cannot return it."),
        ("You can return it.", "You cannot return it."),
        ("可以退货。", "不可以退货。"),
        ("Open your account and choose Addresses.", "Write to our support team by e-mail."),
    ],
)
def test_not_the_same(stored: str, fresh: str):
    assert agree(stored, fresh) is False
    assert agree(fresh, stored) is False


def test_without_words_it_cannot_be_told():
    assert agree("", "Paris.") is None
    assert agree(" ", " ") is None


def test_calls_of_tools_must_be_equal():
    def calls(city: str) -> Reply:
        return Reply("", USAGE, tool_calls=(ToolCall("1", "weather", {"city": city}),))

    assert agree(calls("Paris"), calls("Paris")) is True
    assert agree(calls("Paris"), calls("Lyon")) is False
    assert agree(calls("Paris"), "It rains.") is False


def test_blocks_are_read_by_their_text():
    blocks = Reply([{"type": "text", "text": "The capital is"}, {"type": "text", "text": "Paris."}], USAGE)
    assert agree(blocks, "The capital is Paris.") is True
