r"""An app's own examples: questions with their passages, and what an answer needed of them. JSON lines, gzipped or not.

{"question": "...", "passages": [{"title": "...", "text": "..."}], "answers": ["Oslo"]}      one of these must stay
{"question": "...", "passages": ["...", "..."], "needed": ["a sentence", "another"]}         all of these must; one that is nowhere is lost
{"question": "...", "passages": [...], "cited": [0, 3]}                                      something of each must
{"question": "...", "transcript": "A: ...\nB: ...", "needed": ["A: ..."]}                    of a dialogue
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.compression.reading import Passage
from thrift_plugins.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Labelled:
    """One example.

    Attributes:
        needed: for each sentence, through all passages, whether it is.
        every: whether all of them are needed together; else any one does.
        groups: for each sentence the cited passage that it is of, -1 for none; None where sentences are named.
    """

    query: str
    passages: tuple[Passage, ...]
    needed: NDArray[np.bool_]
    every: bool
    groups: NDArray[np.intp] | None = None

    @property
    def is_dialogue(self) -> bool:
        """Whether it is of a transcript."""
        return any(passage.dialogue for passage in self.passages)


def labelled(path: str | Path) -> Iterator[Labelled]:
    """The examples of a file.

    Raises:
        ConfigError: a line is not of the form above; says which, and what is wrong.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _example(line, f"{path}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _example(line: str, where: str) -> Labelled:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(told, Mapping) or not isinstance(told.get("question"), str):
        raise ConfigError(
            f"{where}: an example has a `question`, `passages` or a `transcript`, and `answers`, `needed` or `cited`"
        )
    passages = _passages(told, where)
    texts = [passage.text[a:b] for passage in passages for a, b in passage.pieces()]
    if "answers" in told:
        wanted = [str(answer).casefold() for answer in _listed(told, "answers", where) if str(answer).strip()]
        return Labelled(told["question"], passages, _having(texts, wanted), every=False)
    if "needed" in told:
        parts = [" ".join(str(one).split()) for one in _listed(told, "needed", where) if str(one).strip()]
        flat = [" ".join(text.split()) for text in texts]
        found = np.array([bool(text) and any(text in part or part in text for part in parts) for text in flat], bool)
        there = all(any(text and (text in part or part in text) for text in flat) for part in parts)
        found &= there  # what is in no passage is lost at any threshold, whatever else is kept
        return Labelled(told["question"], passages, found, every=True)
    if "cited" in told:
        cited = {*map(str, _listed(told, "cited", where))}
        if not cited <= {*map(str, range(len(passages)))}:
            raise ConfigError(f"{where}: `cited` are numbers of passages, from 0 to {len(passages) - 1}")
        owner = [number for number, passage in enumerate(passages) for _ in passage.pieces()]
        groups = np.array([number if str(number) in cited else -1 for number in owner], np.intp)
        return Labelled(told["question"], passages, groups >= 0, every=True, groups=groups)
    raise ConfigError(f"{where}: nothing says what was needed: give `answers`, `needed` or `cited`")


def _listed(told: Mapping[str, Any], name: str, where: str) -> list[Any]:
    found = told[name]
    if not isinstance(found, list):  # of a text, every letter would be one
        raise ConfigError(f"{where}: `{name}` must be a list")
    return found


def _having(texts: list[str], wanted: list[str]) -> NDArray[np.bool_]:
    return np.array([any(answer in text.casefold() for answer in wanted) for text in texts], bool)


def _passages(told: Mapping[str, Any], where: str) -> tuple[Passage, ...]:
    if isinstance(told.get("transcript"), str):
        return (Passage(told["transcript"], dialogue=True),)
    given = told.get("passages")
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: `passages` must be a list of texts, or of objects with `text` and `title`")
    return tuple(
        Passage(str(one.get("text", "")), str(one.get("title", ""))) if isinstance(one, Mapping) else Passage(str(one))
        for one in given
    )
