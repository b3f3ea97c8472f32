"""Whether the form of a sentence says what its end mark would: that it asks, or that it orders.

Only forms that no statement has: the verb before its subject, a question word with its verb, a particle that asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from thrift_plugins.text import fold_words as known


def asks(words: Sequence[str], text: str) -> bool:
    """Whether a sentence is a question, whatever mark it bears.

    Args:
        words: in small letters, without marks.
        text: the same as it stands, for scripts without spaces.
    """
    if not text.isascii() and (asks_politely(text) or _asks_in_chinese(text)):
        return True
    if len(words) < 3:
        return False
    if words[0] in known.QUESTION_WORDS:
        at = _verb_of(words)
        return at is not None and words[at + 1 : at + 2] != ["not"] and not _second_verb(words, at)
    if len(words) < 4 or words[0] not in known.VERBS or _conditional(words):
        return False
    return words[1] in (known.NARROW_SUBJECTS if words[0] in known.NARROW_VERBS else known.SUBJECTS)


def orders(words: Sequence[str]) -> bool:
    """Whether a sentence is an order of a kind that works on no text of the user's."""
    return len(words) > 2 and (words[0] in known.ORDERS or tuple(words[:2]) in known.ORDER_PAIRS)


def _verb_of(words: Sequence[str]) -> int | None:
    """Where the verb of a question with a question word stands, None where its words are in a statement's order."""
    first, second = words[0], words[1]
    if first in known.CONTRACTED:
        return 0
    if second in known.VERBS or (first, second) == ("how", "to"):
        return None if (first, second) == ("who", "will") or first == "which" else 1
    measured = first in ("what", "which", "whose") or (first == "how" and second in known.DEGREES)
    return _verb_before_subject(words) if measured else None


def _verb_before_subject(words: Sequence[str]) -> int | None:
    for at, word in enumerate(words[1:7], 1):
        if word in known.VERBS:
            return at
        if word in known.SUBJECTS or word in known.JOINTS:
            break
    return None


def _second_verb(words: Sequence[str], at: int) -> bool:
    """Whether a second verb makes a statement of it, as in "what is done is done"."""
    return not known.FINITE.isdisjoint(words[at + 1 :]) and any(
        word in known.FINITE and words[place - 1] not in known.JOINTS
        for place, word in enumerate(words[at + 1 :], at + 1)
    )


def _conditional(words: Sequence[str]) -> bool:
    """Whether it says what would be, or what to do then, as "should you need help, call us" does."""
    return words[0] in known.CONDITIONS and (words[1] in ("you", "it") or not known.CONSEQUENCES.isdisjoint(words))


def asks_politely(text: str) -> bool:
    """Whether a Japanese sentence is a question by a word and by its ending, after which a full stop is usual."""
    return len(text) > 4 and text.endswith(known.KANA_ENDS) and known.KANA_WORDS.search(text) is not None


def _asks_in_chinese(text: str) -> bool:
    return len(text) > 4 and known.HAN_QUESTION.match(text) is not None and known.HAN_STATEMENT.search(text) is None
