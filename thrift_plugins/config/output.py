"""Settings of output budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thrift_plugins.budgeting import OutputMode, Target
from thrift_plugins.config.checks import settle
from thrift_plugins.errors import ConfigError


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """Settings of output budgets: how long answers are to be.

    Attributes:
        mode: "off", "soft" (it is asked for in the prompt) or "hard" (and what is far longer than usual is cut).
        words: an answer's length in English words, or what says as much in another language.
        tokens: the same in tokens; give one of the two, or neither.
        form: a sentence on the form of an answer, asked for as it stands.
        temperature: the lowest and the highest, empty for the app's own.
        go_on: whether an answer that was cut is asked for its rest, once.
        features: feature to its own target, over that for all.
    """

    mode: OutputMode = "off"
    words: int | None = None
    tokens: int | None = None
    form: str = ""
    temperature: Sequence[float] = ()
    go_on: bool = False
    features: Mapping[str, Target] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle(self, "output.")
        object.__setattr__(self, "features", {name: _target(name, one) for name, one in self.features.items()})
        self.default()

    def default(self) -> Target:
        """The target of every feature that has none of its own."""
        low_high = tuple(self.temperature) or None
        return Target(self.words, self.tokens, self.mode, self.form, low_high, self.go_on)  # type: ignore[arg-type]  # it checks


def _target(feature: str, given: Target | Mapping[str, Any]) -> Target:
    """A feature's target, which a file gives as a table."""
    if isinstance(given, Target):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"output.features.{feature} must be a table, not {type(given).__name__}")
    known = ("mode", "words", "tokens", "form", "temperature", "go_on")
    for key in given:
        if key not in known:
            raise ConfigError.unknown_key(key, known, f"output.features.{feature}")
    return Target(**given)
