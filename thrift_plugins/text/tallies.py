"""How often the words of a text are a sign of something, for all signs at once.

What a word counts for is one integer with a field of bits for each thing that is counted, so that adding up these integers
adds up all counts, in one pass over the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from thrift_plugins.text.lexicon import STEM_LETTERS, STEMS, WORDS, Sign
from thrift_plugins.text.memo import Memo

LONG, DECIMAL, NOT, ASKS, LOGIC = range(len(Sign), len(Sign) + 5)
"""Places of further counts, after one for each `Sign`: long words, numerals, and words of three short lists."""

LONG_WORD: Final = 10
"""Letters that a long word has at least."""

_LISTS: Final = {
    NOT: frozenset({"not", "except", "never", "no", "without", "false", "incorrect", "nicht", "ne", "pas", "sin"}),
    ASKS: frozenset({"which", "what", "who", "when", "where", "how", "why"}),
    LOGIC: frozenset({"true", "false", "statement", "statements"}),
}
_COUNTED: Final = LOGIC + 1
_BITS: Final = 16
_AT_ONCE: Final = 2**_BITS - 1  # words, so that no count runs into the next field
_FIELDS: Final = Struct(f"<{_COUNTED}H")
_ONE: Final = tuple(1 << _BITS * place for place in range(_COUNTED))
_OF_LISTED: Final = {
    word: sum(_ONE[place] for place, listed in _LISTS.items() if word in listed) for word in frozenset().union(*_LISTS.values())
}


def tallies(words: Sequence[str]) -> tuple[int, ...]:
    """The counts of lower-case words, by their places."""
    if len(words) > _AT_ONCE:
        parts = (tallies(words[at : at + _AT_ONCE]) for at in range(0, len(words), _AT_ONCE))
        return tuple(map(sum, zip(*parts, strict=True)))
    return _FIELDS.unpack(sum(map(_fields_of, words)).to_bytes(_FIELDS.size, "little"))


def _fields(word: str) -> int:
    """What a word counts for."""
    sign = WORDS.get(word, STEMS.get(word[:STEM_LETTERS]))
    fields = _OF_LISTED.get(word, 0)
    if sign is not None:
        fields += _ONE[sign]
    if len(word) >= LONG_WORD:
        fields += _ONE[LONG]
    if word.isdecimal():
        fields += _ONE[DECIMAL]
    return _shared.setdefault(fields, fields)


_shared: Final[dict[int, int]] = {}
"""The few different ones, so that those of many words are the same objects, which a processor has at hand."""

_fields_of: Final = Memo(_fields, 50_000).__getitem__
