"""How long the answers of a feature are to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from thrift_plugins.errors import ConfigError

OutputMode: TypeAlias = Literal["off", "soft", "hard"]
"""Nothing is changed; it is asked for; and what is far longer than answers have been is cut."""


@dataclass(frozen=True, slots=True)
class Target:
    """The output budget of a feature.

    Attributes:
        words: an answer's length in English words; in a language without spaces as many characters as say the same.
        tokens: the same in tokens, for those who count in them. Give one of the two, or neither to ask for no length.
        mode: "soft" asks for it in the prompt, "hard" also limits what may be generated, "off" does neither.
        form: a sentence of the app's own on the form of an answer, asked for as it stands: "No headings, no lists."
        temperature: the lowest and the highest; a call that says one outside is brought to the nearer of them.
        go_on: whether a whole answer that was cut is asked for its rest, once. The app gets both as one. A stream is not.
    """

    words: int | None = None
    tokens: int | None = None
    mode: OutputMode = "soft"
    form: str = ""
    temperature: tuple[float, float] | None = None
    go_on: bool = False

    def __post_init__(self) -> None:
        if self.mode not in get_args(OutputMode):
            raise ConfigError(f"mode of an output target must be 'off', 'soft' or 'hard', not {self.mode!r}")
        if self.words is not None and self.tokens is not None:
            raise ConfigError(f"an output target has words={self.words} and tokens={self.tokens}: leave one of them")
        for name in ("words", "tokens"):
            _whole(name, getattr(self, name))
        if not isinstance(self.form, str):
            raise ConfigError(f"form of an output target must be a sentence, not {self.form!r}")
        if not isinstance(self.go_on, bool):
            raise ConfigError(f"go_on of an output target must be true or false, not {self.go_on!r}")
        if self.temperature is not None:
            object.__setattr__(self, "temperature", _range(self.temperature))

    @property
    def asks(self) -> bool:
        """Whether it has anything to ask of a prompt."""
        return bool(self.words or self.tokens or self.form.strip())

    @property
    def signature(self) -> str:
        """What of it decides an answer, for cache keys; "" where nothing does."""
        if self.mode == "off" or not (self.asks or self.temperature):
            return ""
        low, high = self.temperature or ("", "")
        return f"{self.words or ''}w{self.tokens or ''}t{low}-{high}:{self.form.strip()}"


def _whole(name: str, length: int | None) -> None:
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
        raise ConfigError(
            f"{name} of an output target must be a whole number above 0, not {length!r}; "
            "to ask for no length, leave it out"
        )


def _range(given: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low = high = math.nan
    if not 0 <= low <= high < math.inf:
        raise ConfigError(
            f"temperature of an output target must be two numbers from 0 up, like [0, 0.3], not {given!r}"
        )
    return low, high
