"""One text for the spellings of a user's plain question that cannot differ in meaning.

Folded: spaces, full-width forms, composed letters, curly apostrophes, the capital of a first word from a closed list,
the pronoun "i", names from a closed list, question marks in a row, and the end mark of a sentence whose own form says that
it is a question, or an order. Anything else keeps every byte, and so does a text with anything in it that is not plain prose: quotes, code,
URLs, paths, formulas, brackets, decimals, several lines, or a word about writing itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from thrift_plugins.text import fold_words as known
from thrift_plugins.text.sentence_form import asks, asks_politely, orders

_LONGEST = 600
"""Characters. A longer text is no question but material."""

_LONGEST_INSTRUCTIONS = 50_000
"""Characters that are searched for what they say of spelling; above it, they are taken to say something."""

_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々"
_ASCII_WORD = r"[A-Za-z0-9]++(?:['-][A-Za-z0-9]++)*+"
_LETTERS = r"(?:[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff])"
_ANY_WORD = rf"(?:{_LETTERS}++(?:['-]{_LETTERS}++)*+|[{_HAN}]++)"

# Possessive throughout, so that a text of any length is read once.
_BARE = re.compile(r"[A-Za-z0-9 ]*+")
_ASCII_PROSE = re.compile(rf"{_ASCII_WORD}(?:[,.?!]? ++{_ASCII_WORD})*+")
_ANY_PROSE = re.compile(rf"{_ANY_WORD}(?:(?:(?<=[{_HAN}])[,.?!]|[。、]|[,.?!] )?+ *+{_ANY_WORD})*+")
_END_MARKS = ".?!。？！"  # noqa: RUF001
_INNER_MARK = re.compile("[.?!。]")
_QUESTION_ENDS = frozenset({"?", "??", "???"})
_SENTENCE_ENDS = frozenset({".", "。"})
_CAMEL = re.compile("[a-z][A-Z]")
_CAPITALISED = re.compile(r"\b[A-Z][A-Za-z]++")
_NO_MARKS = str.maketrans(dict.fromkeys(",.?!。、", " "))

_FULL_WIDTH = re.compile("[\uff01-\uff5e]")
_FULL_WIDTH_WORD = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
_HALF_WIDTH_WORD = re.compile("[0-9A-Za-z]")
_NARROWED = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | dict.fromkeys(
    (0x00A0, 0x3000, *range(0x2000, 0x200B), 0x202F), " "
)
_BESIDE_HAN = re.compile(rf"(?<=[{_HAN}]) +(?=[A-Za-z0-9])|(?<=[A-Za-z0-9]) +(?=[{_HAN}])")


def fold(prose: str) -> str:
    """What a user's turn says, in one spelling; the turn itself, byte for byte, where that is not certain.

    Folding twice changes nothing more. Time grows with the length up to a limit, and not beyond.
    """
    return prose if len(prose) > _LONGEST else _fold(prose)


def as_asked(prose: str) -> str:
    """`fold`, with the question mark for which the form of a sentence speaks: one whole sentence for all its spellings."""
    folded = fold(prose)
    if not folded or len(folded) > _LONGEST or folded[-1] in _END_MARKS:
        return folded
    return f"{folded}?" if asks(_closing(_bare(folded), folded), folded) else folded


@lru_cache(maxsize=512)  # read for its kind and for its address, and again with every turn of its conversation
def _fold(prose: str) -> str:
    if prose.isascii():
        begun = prose.lstrip(" ")
        body = begun.rstrip(" .?!")
        if _BARE.fullmatch(body):
            return _folded(prose, body, begun[len(body) :], body.lower().split())
        if _ASCII_PROSE.fullmatch(body):
            return _folded(prose, body, begun[len(body) :], _bare(body))
        return _trimmed(prose)
    begun = _narrowed(prose).lstrip(" ")
    body = begun.rstrip(" .?!。")
    if _ANY_PROSE.fullmatch(body) is None or known.HAN_FORM.search(body):
        return prose
    return _folded(prose, _BESIDE_HAN.sub("", body), begun[len(body) :], _bare(body))


@lru_cache(maxsize=512)  # a conversation's turns, and the instructions of an app, come again and again
def bytes_matter(instructions: str) -> bool:
    """Whether instructions say to work on the spelling of a text, as a translator's or a proof-reader's do."""
    if len(instructions) > _LONGEST_INSTRUCTIONS:
        return True
    small = f" {instructions.lower()}".replace("\n", " ")
    if any(part in small for part in known.TASKS):
        return True
    return not small.isascii() and any(part in small for part in known.FOREIGN_TASKS)


def _narrowed(prose: str) -> str:
    """Full-width forms as the usual ones, unless both are there and may be told apart."""
    wide = set(_FULL_WIDTH.findall(prose))
    beside = any(chr(ord(char) - 0xFEE0) in prose for char in wide)
    if beside or (_FULL_WIDTH_WORD.search(prose) and _HALF_WIDTH_WORD.search(prose)):
        return prose
    return unicodedata.normalize("NFC", prose.translate(_NARROWED)).replace("\u2019", "'")


def _trimmed(prose: str) -> str:
    """A question that is not plain throughout, without the spaces around it."""
    words = prose.split(None, 1)
    asked = words and words[0].lower() in known.QUESTION_WORDS and "\n" not in prose
    return prose.strip(" ") if asked and known.FORM_WORDS.isdisjoint(prose.lower().split()) else prose


def _bare(text: str) -> list[str]:
    """The words of a text in small letters, without marks."""
    return text.lower().translate(_NO_MARKS).split()


def _folded(prose: str, body: str, tail: str, plain: Sequence[str]) -> str:
    """Plain prose in one spelling.

    Args:
        body: without the spaces around it and without its end mark.
        tail: what follows it.
        plain: its words in small letters, without marks.
    """
    mark = tail.strip(" ")
    if mark in _QUESTION_ENDS:
        mark = "?"
    if not plain or " " in mark or not known.FORM_WORDS.isdisjoint(plain):
        return prose
    words = body.split()
    if not body[1:].islower():
        if _CAMEL.search(body) and any(_CAMEL.search(word) and word not in known.NAMES for word in words):
            return prose
        words = [known.NAMES.get(word, word) if word.isalnum() else _named(word) for word in words]
    words[0] = _opening(words[0], plain[1] if len(plain) > 1 else "")
    if "?" in body:
        words = _after_questions(words)
    if "i" in words and known.MATHS_WORDS.isdisjoint(plain):
        words = [_pronoun(plain, at) if word == "i" else word for at, word in enumerate(words)]
    text = " ".join(words)
    if not mark:
        return text
    if tail[0] == " " and plain[-1] in known.HANGING:
        return f"{text} {mark}"
    return text if _says_nothing(mark, text, plain) else text + mark


def _named(word: str) -> str:
    """A word with a mark or an ending at it, its name in small letters."""
    return _CAPITALISED.sub(lambda found: known.NAMES.get(found[0], found[0]), word)


def _opening(word: str, following: str) -> str:
    """A first word without a capital that says nothing but that it is the first.

    Before a verb it may be a name: "Can is a band", "He is a noble gas".
    """
    small = word.lower()
    if small in ("will", "may"):
        opens = following in known.PRONOUNS
    else:
        opens = small in known.OPENERS and (following not in known.VERBS or small in known.BEFORE_A_VERB)
    return small if opens and word[1:].islower() else word


def _after_questions(words: list[str]) -> list[str]:
    """The same for what begins after a question."""
    follows = [False, *(word.endswith("?") for word in words[:-1])]
    nexts = [*(word.lower() for word in words[1:]), ""]
    return [
        _opening(*pair) if new else pair[0] for pair, new in zip(zip(words, nexts, strict=True), follows, strict=True)
    ]


def _pronoun(plain: Sequence[str], at: int) -> str:
    """The pronoun "i" by the verb beside it, for a variable takes the third person."""
    before = plain[at - 1] if at else ""
    after = plain[at + 1] if at + 1 < len(plain) else ""
    told = before in known.BEFORE_I and after not in known.AFTER_A_VARIABLE
    return "I" if told or after in known.AFTER_I else "i"


def _says_nothing(mark: str, text: str, plain: Sequence[str]) -> bool:
    """Whether an end mark only repeats what the form of the sentence says; "!" and "..." always say more."""
    if mark == "?":
        return asks(_closing(plain, text), text)
    if mark not in _SENTENCE_ENDS or _own_dot(plain[-1]):
        return False
    return orders(_closing(plain, text)) or asks_politely(text)


def _own_dot(word: str) -> bool:
    """Whether a dot after a word may belong to it."""
    return (word.isascii() and len(word) < 3) or word[-1].isdigit() or word in known.ABBREVIATIONS


def _closing(plain: Sequence[str], text: str) -> Sequence[str]:
    """The words after the last mark within a text; none where that may be an abbreviation's."""
    if _INNER_MARK.search(text) is None:
        return plain
    *before, last = _INNER_MARK.split(text)
    known_end = before[-1].split()[-1:]
    if known_end and known_end[0].lower() in known.ABBREVIATIONS:
        return []
    return _bare(last)
