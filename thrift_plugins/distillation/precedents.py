"""For free text, of which there is no student: recorded answers of the teacher as examples for a cheaper model, and checks on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from thrift_plugins.distillation.dataset import Example
from thrift_plugins.distillation.reading import Mix, Reader
from thrift_plugins.text.embed import Embedder

_MIX: Final = Mix(0.5)
_NUMBER: Final = re.compile(r"\d+(?:[.,:/]\d+)*")
_LONGER: Final = 1.5
"""Times the longest of its examples that an answer may be."""


class Precedents:
    """Recorded answers, found by the texts that they were given to.

    Args:
        examples: of one teacher and one prompt; some thousands at most.
        embedder: word vectors, see `text.embed.word_embedder`; without, words and spelling are compared.
    """

    def __init__(self, examples: Sequence[Example], embedder: Embedder | None = None) -> None:
        self._examples, self._embedder = tuple(examples), embedder
        self._reader = Reader.of([example.text for example in examples], embedder)

    def nearest(self, text: str, count: int = 3) -> list[Example]:
        """The answers to the texts most like this one, the most alike last, where a model heeds it most."""
        alike = _MIX.joined(self._reader.spelt(text), self._reader.meant(text, self._embedder))
        return [self._examples[at] for at in alike.argsort(kind="stable")[-count:]]


def misfit(answer: str, source: str, shown: Sequence[Example]) -> str:
    """Why an answer should not be given, "" where nothing speaks against it.

    Args:
        source: what it was made from.
        shown: the examples that the model was shown.
    """
    if not answer.strip():
        return "it is empty"
    unknown = set(_NUMBER.findall(answer)) - set(_NUMBER.findall(source))
    if unknown:
        return f"it has numbers that its source has not: {', '.join(sorted(unknown))}"
    longest = max((len(example.answer.text) for example in shown), default=0)
    if longest and len(answer) > _LONGER * longest:
        return "it is longer than the teacher's answers are"
    return ""
