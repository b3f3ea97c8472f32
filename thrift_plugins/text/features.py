"""What the last user turn asks for, read from a bounded part of it in some tens of microseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from thrift_plugins.text.forms import names, numbers, options
from thrift_plugins.text.lexicon import SPACED_PHRASES, UNSPACED_PHRASES, WORDS, Phrases, Sign
from thrift_plugins.text.scripts import TOKENS_PER_LATIN_WORD, UNSPACED, Script, Tally, tally, words_of
from thrift_plugins.text.tallies import DECIMAL, tallies
from thrift_plugins.text.window import Window, window
from thrift_plugins.types import Message

_CHARACTERS_PER_TOKEN = 4.0  # of the text that is not read
_BYTES_PER_TOKEN = 8  # at most, and of anything: emoji and white space have no words, but they fill a context

_LATIN_WORD = re.compile(r"[a-z\u00c0-\u024f]+")  # what stands between Chinese characters has no spaces around it
_BLANKS_BEYOND = ("（ ）", "（）", "（  ）", "……")  # noqa: RUF001
_CODE_MARKS = ("```", "()", "){", ") {", "=>", "</", "#include", ";\n", "{\n", "::", "!= ", "== ")
_CODE = re.compile("|".join(map(re.escape, _CODE_MARKS)))  # without those that begin with a letter, at which it would stop so often
_MATHS_BEYOND = "√∑∫≤≥×÷∈π"  # noqa: RUF001
_BULLETS = ("\n- ", "\n* ", "\n• ")
_COMMAS = ",，、"  # noqa: RUF001
_SIGNS = len(Sign)
_SPACED_HEADS = frozenset(SPACED_PHRASES)
_COMMA = re.compile(f"[{_COMMAS}]")
_LONG_LIST = 10  # commas in a line from which it may be a list of labels
_LABEL_LETTERS = 30  # a label is shorter than a clause

_PHRASES_ONLY = (*UNSPACED, Script.HANGUL)
_ENOUGH_WORDS = 4  # fewer can be names in any language
_COMMON_SHARE = 0.15  # of the words; neighbouring languages share a few, and names and terms have none
_STRONG_IN_SYSTEM = (Sign.REASON, Sign.MATHS, Sign.CODE, Sign.EXPERT, Sign.CHOICE, Sign.LENGTHY)


@dataclass(slots=True)  # not frozen: setting so many fields past a guard would double what the reading costs
class Features:
    """Signs in the last user turn, and the size of the conversation up to it.

    Counts are of occurrences, and mean the same in every language that `lexicon` knows.

    Attributes:
        words: length of the turn in English-equivalent words, numerals left out.
        tokens: its approximate tokens.
        context: approximate tokens of everything up to and including the turn.
        turns: user turns so far, this one included.
        asks: question marks, at least 1 for a text that opens like a question.
        quantity: asks for a number ("how many").
        explain: asks why, or for a comparison or description.
        reason: asks to prove, analyse, design, weigh, or go step by step.
        steps: words that put steps in an order.
        maths: mathematical words and signs.
        code: words about programs; `code_marks` tells that there is code itself.
        writes: asks for something to be written or built.
        technical: terms of engineering and the sciences.
        expert: terms of medicine, law, and tax.
        exam: it has the form of an exam question: lettered options, a blank, "which of the following".
        names: capitalised words inside its sentences, where it is one; facts about names must be recalled.
        constraints: demands on form ("in JSON", "at most").
        negation: "not" and the like.
        lengthy: demands for a long answer.
        numbers: numerals and number words.
        labels: entries of the longest list of labels or bullets in the turn or in the instructions.
        instructed: kinds of hard work that the instructions speak of.
        familiar: False where the language is none that `lexicon` knows, so that missing signs mean nothing.
    """

    words: float = 0.0
    tokens: float = 0.0
    context: float = 0.0
    turns: int = 0
    asks: int = 0
    quantity: int = 0
    explain: int = 0
    reason: int = 0
    steps: int = 0
    maths: int = 0
    code: int = 0
    code_marks: bool = False
    writes: int = 0
    technical: int = 0
    expert: int = 0
    exam: bool = False
    names: int = 0
    constraints: int = 0
    negation: int = 0
    lengthy: int = 0
    numbers: int = 0
    labels: int = 0
    instructed: int = 0
    familiar: bool = True


def features(messages: Sequence[Message], asked: Window | None = None) -> Features:
    """Read a conversation up to its last user turn; what follows it (tool calls and results) is left out.

    So every call of one tool-calling loop has the same features. A conversation without a user turn is read to its
    last message.

    Args:
        asked: the window of the last user turn, if it is at hand.
    """
    last = len(messages) - 1
    while last >= 0 and messages[last].role != "user":
        last -= 1
    if last >= 0:
        turn = messages[last].text
        return _of_turn(Window(turn) if asked is None else asked, turn, messages[:last])
    return _of_turn(Window(messages[-1].text), messages[-1].text, messages[:-1]) if messages else Features()


def _of_turn(read: Window, turn: str, before: Sequence[Message]) -> Features:
    text, scale = read.text, read.scale
    if read.lettered:
        words, tokens, signs, familiar = _in_letters(read)
    else:
        words, signs = len(read.words), _signs(read.lowered, read.distinct, read.counts)
        tokens, familiar = TOKENS_PER_LATIN_WORD * words, _common(words - read.counts[DECIMAL], signs)
    labels, instructed, turns, earlier = _earlier(before) if before else (0, 0, 0, 0.0)
    numerals = numbers(read)
    exam = signs[Sign.CHOICE] > 0 or _has_blank(read) or options(read) > 2
    return Features(
        words=max(0.0, words - numerals) * scale,
        tokens=tokens * scale,
        context=max(tokens * scale, _least_tokens(turn)) + earlier,
        turns=1 + turns,
        asks=_asks(read, signs),
        quantity=signs[Sign.QUANTITY],
        explain=signs[Sign.EXPLAIN],
        reason=signs[Sign.REASON],
        steps=signs[Sign.STEPS],
        maths=signs[Sign.MATHS] + _maths_marks(read),
        code=signs[Sign.CODE],
        code_marks=_has_code(text),
        writes=signs[Sign.WRITE],
        technical=signs[Sign.TECHNICAL],
        expert=signs[Sign.EXPERT],
        exam=exam,
        names=names(read) if exam else 0,
        constraints=signs[Sign.CONSTRAINT],
        negation=signs[Sign.NEGATION] + read.lowered.count("n't"),
        lengthy=signs[Sign.LENGTHY],
        numbers=numerals + signs[Sign.NUMBER],
        labels=max(labels, _labels(text)),
        instructed=instructed,
        familiar=familiar,
    )


def _in_letters(read: Window) -> tuple[float, float, list[int], bool]:
    """Words, tokens, signs, and whether its language is known, of a turn that has letters beyond ASCII."""
    size = tally(read.text, read.words)
    if _is_spaced(size):
        signs = _signs(read.lowered, read.distinct, read.counts)
    else:  # words of ASCII then stand between characters that have no spaces around them
        found = _LATIN_WORD.findall(read.lowered)
        signs = _signs(read.lowered, set(found), tallies(found), spaced=False)
    words = len(read.words) - read.counts[DECIMAL]
    if size.share(Script.OTHER) > 0.3:
        return size.words, size.tokens, signs, False
    known = sum(map(size.share, _PHRASES_ONLY)) > 0.1 or _common(words, signs)
    return size.words, size.tokens, signs, known


def _common(words: int, signs: Sequence[int]) -> bool:
    """Whether enough of so many words are common ones, or they are too few to tell; numerals are no words."""
    return (
        words < _ENOUGH_WORDS
        or signs[Sign.COMMON] + signs[Sign.QUESTION] - signs[Sign.STRANGE] >= _COMMON_SHARE * words
    )


def _earlier(before: Sequence[Message]) -> tuple[int, int, int, float]:
    """Labels and kinds of work in the instructions, user turns, and tokens, of the messages before the last turn."""
    labels, instructed = _instructions(tuple(window(m.text) for m in before if m.role == "system"))
    return labels, instructed, sum(1 for m in before if m.role == "user"), sum(_unread_tokens(m.text) for m in before)


def _least_tokens(text: str) -> float:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size / _BYTES_PER_TOKEN


def _unread_tokens(text: str) -> float:
    return max(len(text) / _CHARACTERS_PER_TOKEN, _least_tokens(text))


def _is_spaced(size: Tally) -> bool:
    """Whether words can be told by spaces alone; Korean has spaces, but its words carry particles."""
    return not any(size.letters[script] for script in _PHRASES_ONLY)


def _signs(lowered: str, distinct: set[str], counts: Sequence[int], *, spaced: bool = True) -> list[int]:
    """How often each `Sign` occurs, by the words and their counts; a phrase counts once."""
    signs = list(counts[:_SIGNS])
    _add_phrases(signs, lowered, SPACED_PHRASES, _SPACED_HEADS & distinct)
    if not spaced:
        _add_phrases(signs, lowered, UNSPACED_PHRASES, UNSPACED_PHRASES.keys() & set(lowered))
    return signs


def _add_phrases(counts: list[int], lowered: str, table: Mapping[str, Phrases], heads: Iterable[str]) -> None:
    for head in heads:
        for phrase, sign in table[head]:
            if phrase in lowered:
                counts[sign] += 1


def _asks(read: Window, signs: Sequence[int]) -> int:
    marks = read.text.count("?")
    if read.beyond:
        marks += read.beyond.count("？") + read.beyond.count("؟")  # noqa: RUF001
    if marks:
        return marks
    opens = bool(read.words) and WORDS.get(read.words[0]) is Sign.QUESTION
    return int(opens or signs[Sign.QUANTITY] > 0)


def _has_blank(read: Window) -> bool:
    text = read.text
    return "____" in text or "( )" in text or (read.beyond != "" and any(map(text.__contains__, _BLANKS_BEYOND)))


def _has_code(text: str) -> bool:
    return "def " in text or "SELECT " in text or "\nimport " in text or _CODE.search(text) is not None


def _maths_marks(read: Window) -> int:
    text = read.text
    marks = text.count("=") + text.count("^") + text.count("%")
    return marks + sum(map(read.beyond.count, _MATHS_BEYOND)) if read.beyond else marks


@lru_cache(maxsize=256)
def _instructions(texts: tuple[str, ...]) -> tuple[int, int]:
    """Labels and kinds of hard work in the system messages, which hardly change from call to call."""
    text = "\n".join(texts)
    lowered = text.lower()
    found = words_of(lowered)
    signs = _signs(lowered, set(found), tallies(found), spaced=_is_spaced(tally(text, found)))
    return _labels(text), sum(1 for sign in _STRONG_IN_SYSTEM if signs[sign])


def _labels(text: str) -> int:
    bullets = max(map(text.count, _BULLETS)) if "\n" in text else 0
    commas = text.count(",") if text.isascii() else sum(map(text.count, _COMMAS))
    if commas < _LONG_LIST:  # in all lines, so in none
        return bullets
    lists = [pieces for line in text.splitlines() if len(pieces := _COMMA.split(line)) > _LONG_LIST]
    short = [len(pieces) for pieces in lists if sum(map(len, pieces)) <= _LABEL_LETTERS * len(pieces)]
    return max(bullets, *short) if short else bullets
