"""Puts sentences in order by weighted features. The weights are a small JSON file that people can read and apps can learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np

from thrift_plugins.compression.features import FIRST, SECOND, first_look, second_look
from thrift_plugins.compression.reading import Reading
from thrift_plugins.compression.vectors import Floats
from thrift_plugins.errors import ConfigError

FORMAT: Final = "thrift-ranker/1"
_SHIPPED: Final = Path(__file__).with_name("ranker.json")
_LARGEST: Final = 1_000.0


@dataclass(frozen=True, slots=True)
class Weights:
    """Of one kind of context, in log odds.

    Attributes:
        first: (1 + len(FIRST),) of the first look, the bias before them.
        second: (1 + len(FIRST) + len(SECOND),) of both.
    """

    first: Floats
    second: Floats

    def dump(self) -> dict[str, dict[str, float]]:
        """By name, with four digits behind the point."""
        names = (("bias", *FIRST), ("bias", *FIRST, *SECOND))
        return {
            look: {
                name: round(float(value), 4) for name, value in zip(own, values, strict=True) if round(float(value), 4)
            }
            for look, own, values in zip(("first", "second"), names, (self.first, self.second), strict=True)
        }

    @classmethod
    def load(cls, found: Mapping[str, Any]) -> Weights:
        """Raises ValueError where a name is unknown, or a weight is no number of at most 1,000."""
        return cls(_row(found["first"], ("bias", *FIRST)), _row(found["second"], ("bias", *FIRST, *SECOND)))


def _row(found: Mapping[str, Any], names: tuple[str, ...]) -> Floats:
    unknown = set(found) - set(names)
    if unknown:
        raise ValueError(f"no such feature: {', '.join(sorted(unknown))}")
    values = [found.get(name, 0.0) for name in names]
    if not all(isinstance(value, int | float) and isfinite(value) and abs(value) <= _LARGEST for value in values):
        raise ValueError(f"a weight is a number of at most {_LARGEST:.0f} either way")
    return np.array(values, np.float32)


@dataclass(frozen=True, slots=True)
class Ranker:
    """How likely each sentence is to be needed for a question.

    Attributes:
        prose: weights for documents.
        dialogue: weights for transcripts, where neighbours count more.
        note: where it was learnt, for people.
    """

    prose: Weights
    dialogue: Weights
    note: str = ""

    def scores(self, reading: Reading, similarity: Floats | None = None) -> Floats:
        """(S,) log odds that each sentence is needed.

        Args:
            similarity: (S,) of the question with each sentence, by an embedder of the app's own.
        """
        if not len(reading):
            return np.zeros(0, np.float32)
        own = self.dialogue if reading.dialogue else self.prose
        with np.errstate(all="ignore"):  # some builds of numpy warn of finite products
            first = first_look(reading, similarity)
            score = own.first[0] + first @ own.first[1:]
            both = np.concatenate((first, second_look(reading, score)), axis=1)
            return np.asarray(np.nan_to_num(own.second[0] + both @ own.second[1:]), np.float32)

    @property
    def digest(self) -> str:
        """Tells its weights from others'."""
        return blake2b(self.dump().encode(), digest_size=6).hexdigest()

    def dump(self) -> str:
        """As JSON for `load`."""
        told = {"format": FORMAT, "note": self.note, "prose": self.prose.dump(), "dialogue": self.dialogue.dump()}
        return json.dumps(told, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Ranker:
        """Read back what `dump` gave.

        Raises:
            ConfigError: it is not that.
        """
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise ConfigError(f"it is a ranker of the format {found['format']!r}, not {FORMAT!r}")
            return cls(Weights.load(found["prose"]), Weights.load(found["dialogue"]), str(found.get("note", "")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"no ranker of the format {FORMAT!r}: {error}; make one with 'thrift-plugins compress train'"
            ) from error

    @classmethod
    def load(cls, path: str | Path) -> Ranker:
        """Read a file that `thrift-plugins compress train` has written.

        Raises:
            ConfigError: there is none, or it is not that.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
        return cls.parse(text)


@lru_cache(maxsize=1)
def shipped() -> Ranker:
    """The ranker of this package."""
    return Ranker.load(_SHIPPED)
