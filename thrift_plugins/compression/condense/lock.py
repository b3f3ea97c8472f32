"""What was found out about a condensed prompt, in a file beside it, so that CI sees when either is changed without it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from thrift_plugins.errors import ConfigError

FORMAT: Final = "thrift-condensed/1"


@dataclass(frozen=True, slots=True)
class Lock:
    """Evidence for a condensed prompt.

    Attributes:
        prompt: digest of the original.
        condensed: digest of the shorter one.
        tokens_before: of the original.
        tokens_after: of the shorter one.
        model: which was asked.
        cases: how many were tried.
        losses: cases that only the original got right.
        wins: cases that only the shorter one did.
        drop_at_most: of the share of right answers, with 95 % confidence.
        changed: rules that are there in other words, or not whole.
        lost: rules that are not there.
    """

    prompt: str
    condensed: str
    tokens_before: int
    tokens_after: int
    model: str
    cases: int
    losses: int
    wins: int
    drop_at_most: float
    changed: tuple[str, ...]
    lost: tuple[str, ...]

    def save(self, path: str | Path) -> None:
        """Write it for `load`."""
        Path(path).write_text(
            json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, path: str | Path) -> Lock:
        """Read it back.

        Raises:
            ConfigError: there is none, or it is not that.
        """
        try:
            told = json.loads(Path(path).read_text(encoding="utf-8"))
            if told.pop("format") != FORMAT:
                raise ConfigError(f"{path} is not of the format {FORMAT!r}")
            return cls(**{**told, "changed": tuple(told["changed"]), "lost": tuple(told["lost"])})
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path} is no lock file of a condensed prompt: {error}") from error

    def check(self, prompt: str, condensed: str) -> None:
        """Raises ConfigError where the evidence is not about these two texts; says which has changed."""
        for name, text, known in (
            ("the prompt", prompt, self.prompt),
            ("the condensed prompt", condensed, self.condensed),
        ):
            if digest(text) != known:
                raise ConfigError(
                    f"{name} has changed since it was tried: condense it again with 'thrift-plugins condense'"
                )


def digest(text: str) -> str:
    """Of a text; a line end at its end does not count, which editors add and take."""
    return sha256(text.rstrip("\n").encode("utf-8", "surrogatepass")).hexdigest()
