"""What the help centre knows, what its visitors ask, and how an article is found. Knows no framework."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import log

SYSTEM = (
    "You answer visitors of a help centre from the articles below, in the visitor's language, in a few sentences. "
    "If the articles do not say it, say so.\n\n{context}"
)
"""The system prompt; the visitor's question is the user's turn."""

ARTICLES_PER_QUESTION = 3

_COMMON = frozenset(
    {
        *(
            "a",
            "after",
            "also",
            "an",
            "and",
            "are",
            "as",
            "at",
            "be",
            "before",
            "by",
            "can",
            "do",
            "does",
            "for",
            "from",
        ),
        *("have", "how", "i", "if", "in", "is", "it", "me", "my", "not", "of", "on", "one", "only", "or", "so", "that"),
        *("the", "then", "there", "this", "to", "up", "use", "was", "what", "when", "where", "which", "will", "with"),
        *("you", "your"),
    }
)
_RUN = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]+")
_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75  # BM25's usual k1 and b


@dataclass(frozen=True, slots=True)
class Article:
    """One article of the help centre."""

    title: str
    text: str

    @property
    def page(self) -> str:
        """Title and text, as they are put into a prompt."""
        return f"## {self.title}\n{self.text}"


@cache
def articles() -> tuple[Article, ...]:
    """Every article."""
    tree = tomllib.loads(_read("help_center.toml"))
    return tuple(Article(entry["title"], entry["text"].strip()) for entry in tree["article"])


@cache
def questions() -> tuple[str, ...]:
    """What visitors asked, in the order in which they came."""
    return tuple(_read("visits.txt").splitlines())


def terms(text: str) -> Iterator[str]:
    """What a text is found by: words that are not too common, without a plural s, and pairs of Chinese characters."""
    for run in _RUN.findall(text.lower()):
        if run in _COMMON:
            continue
        if run.isascii():
            yield run.removesuffix("s") if len(run) > 3 else run
        else:
            yield from (run[at : at + 2] for at in range(max(1, len(run) - 1)))


class Search:
    """BM25 over some articles.

    Args:
        pages: the articles, at least one.
    """

    def __init__(self, pages: Sequence[Article]) -> None:
        self._pages = pages
        self._counts = [Counter(terms(page.page)) for page in pages]
        self._lengths = [counts.total() for counts in self._counts]
        self._mean = sum(self._lengths) / len(pages)
        self._holding = Counter(term for counts in self._counts for term in counts)

    def find(self, question: str, most: int = ARTICLES_PER_QUESTION) -> list[Article]:
        """The articles that fit a question, the best first; those that share no word with it are left out."""
        asked = set(terms(question))
        scores = [(self._score(asked, at), -at) for at in range(len(self._pages))]
        return [self._pages[-place] for score, place in sorted(scores, reverse=True)[:most] if score > 0]

    def _score(self, asked: set[str], at: int) -> float:
        counts = self._counts[at]
        size = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * self._lengths[at] / self._mean)
        return sum(
            self._rarity(term) * counts[term] * (_SATURATION + 1) / (counts[term] + size)
            for term in sorted(asked & counts.keys())
        )

    def _rarity(self, term: str) -> float:
        holding = self._holding[term]
        return log(1 + (len(self._pages) - holding + 0.5) / (holding + 0.5))


def _read(name: str) -> str:
    return files("thrift_plugins.demo").joinpath(name).read_text(encoding="utf-8")
