"""What of a request speaks for its kind: its words, their beginnings, pairs of them, how it begins and ends, and signs.

What stands in quotes is spoken about, not asked for. In a long prompt the request is what follows `Question:` or a
like label, and else in the first or the last line: the material between them is not read. A request costs some
microseconds, whatever its length and script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations, pairwise

from thrift_plugins.caching.kinds_words import PAST, PAST_YEARS, PHRASES

_READ = 300  # characters of a line
_ENDS = 2_000  # characters at each end of a text that are looked at
_TOKENS = 120
_STEM = 4  # letters that words of one kin share, more often than not
_MOST_SIGNS = 10  # beyond these a text is prose, and its pairs of signs say little

_UNSPACED = (
    "\u0e00-\u0eff\u2e80-\u2fdf\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}\u0900-\u0dff]+|[\u0900-\u0dff]+|[?？¿؟!！>:：]")  # noqa: RUF001
_QUOTED = re.compile(r"“[^”]{4,}”|「[^」]{4,}」|《[^》]+》|«[^»]{4,}»|\"[^\"]{4,}\"|`[^`]+`")
_QUOTES = re.compile(r"[“「《«\"`]")
_QUOTE, _BREAK = " \u4e28 ", "\u4e36"  # tokens that stand for a quotation and a line: strokes, which no text has
_ASKED = re.compile(  # the last label of a line, and what follows it
    r"(?:^|.*[\s\"'])(?:question|query|task|frage|pregunta|问题|問題|任务|任務|質問|질문)\s*[:：]\s*(\S.*)",  # noqa: RUF001
    re.IGNORECASE,
)
_ANSWER = re.compile(r"\s(?:answer|答案|回答)\s*[:：]", re.IGNORECASE)  # noqa: RUF001
_CUE = re.compile(r"[\w \-]{1,40}[:：]\s*")  # noqa: RUF001 - a label that waits for the reply


def features(text: str) -> list[str]:
    """The features of a request, each once, in an order that depends on the text alone."""
    asked, around = _parts(text)
    tokens = _tokens(asked)
    if not tokens:
        return []
    pairs = [f"{one} {two}" for one, two in pairwise(tokens)]
    threes = [f"{pair} {three}" for pair, three in zip(pairs, tokens[2:], strict=False)]
    found = dict.fromkeys((*tokens, *pairs))
    signs = _signs((*found, *threes))
    opening = _signs((tokens[0], *pairs[:1], *threes[:1]))
    setting = () if around is None else ("<", *(f"<{sign}" for sign in _signs(_phrases(_tokens(around)))))
    stems = dict.fromkeys([f"~{token[:_STEM]}" for token in tokens if len(token) > _STEM])
    return [*found, *stems, *_places(tokens, pairs), *_of_signs(signs, opening), *setting]


def _parts(text: str) -> tuple[str, str | None]:
    """What is asked; and what stands before it, where a label tells the two apart."""
    text = text.strip()
    if "\n" not in text:
        asked = _ASKED.match(text[: 2 * _ENDS]) if ":" in text or "：" in text else None  # noqa: RUF001
        return (text[:_READ], None) if asked is None else (_asked(asked), text[:_READ])
    ends = text if len(text) <= 2 * _ENDS else f"{text[:_ENDS]}\n{text[-_ENDS:]}"
    lines = [line for line in ends.split("\n") if line.strip()]
    while len(lines) > 1 and _CUE.fullmatch(lines[-1]):
        lines.pop()
    for line in reversed(lines):
        if asked := _ASKED.match(line):
            return _asked(asked), lines[0][:_READ]
    last = f" {_BREAK} {lines[-1][-_READ:]}" if len(lines) > 1 else ""
    return f"{lines[0][:_READ]}{last}", None


def _asked(found: re.Match[str]) -> str:
    return _ANSWER.split(found[1], 1)[0][:_READ]


def _tokens(part: str) -> list[str]:
    part = part.lower()
    tokens: list[str] = _TOKEN.findall(_QUOTED.sub(_QUOTE, part) if _QUOTES.search(part) else part)
    return tokens[:_TOKENS]


def _phrases(tokens: list[str]) -> list[str]:
    """Every one, two and three tokens in a row."""
    return [" ".join(tokens[start : start + size]) for size in (1, 2, 3) for start in range(len(tokens) - size + 1)]


def _signs(phrases: Iterable[str]) -> str:
    return "".join(sorted(set("".join(filter(None, map(_SIGNS.get, phrases))))))


def _places(tokens: list[str], pairs: list[str]) -> list[str]:
    """How it begins, how it ends, and how long it is."""
    places = [f"^ {tokens[0]}", f"{tokens[-1]} $", f"#{min(len(tokens), _TOKENS).bit_length()}"]
    if pairs:
        places += (f"^ {pairs[0]}", f"{pairs[-1]} $")
    return places


@lru_cache(maxsize=4_096)  # requests differ in their words, and share their signs
def _of_signs(signs: str, opening: str) -> tuple[str, ...]:
    """Features of the signs in a text: each, pairs of them, and the ones it begins with beside the others."""
    few = signs[:_MOST_SIGNS]
    return (
        *(f"#{sign}" for sign in signs),
        *(f"#{one}{two}" for one, two in combinations(few, 2)),
        *(f"^#{sign}" for sign in opening),
        *(f"^#{one}{two}" for one in opening for two in few if one != two),
        *(() if signs else ("#",)),
        *(() if opening else ("^#",)),
    )


def _sign_table() -> dict[str, str]:
    table = dict.fromkeys(PAST_YEARS, PAST)
    for sign, phrases in PHRASES.items():
        for phrase in phrases:
            key = " ".join(_TOKEN.findall(phrase.lower()))
            if sign not in table.get(key, ""):
                table[key] = table.get(key, "") + sign
    return table


_SIGNS = _sign_table()
