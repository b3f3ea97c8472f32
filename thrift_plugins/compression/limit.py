"""How much of a context may go: to so many tokens, to so many times fewer, or as far as a stated risk allows."""

from __future__ import annotations

from dataclasses import dataclass

from thrift_plugins.compression.calibration import Calibration
from thrift_plugins.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limit:
    """One of three limits on a context, or none: then nothing is left out, and only spelling changes.

    Attributes:
        max_tokens: tokens that the context of one question may have, 1 or more.
        ratio: how many times fewer tokens it is to have, 1 or more; 4.0 keeps a quarter.
        risk: the chance, over the questions of an app, that what an answer needs is lost; above 0 and below 1. Needs a
            calibration on the app's own examples.
        calibration: made by `thrift-plugins compress calibrate`.

    Raises:
        ConfigError: two of them, one that cannot be, or a risk that the calibration cannot support.
    """

    max_tokens: int | None = None
    ratio: float | None = None
    risk: float | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("max_tokens", "ratio", "risk") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"give one of max_tokens, ratio and risk, not {' and '.join(given)}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"max_tokens must be 1 or more, not {self.max_tokens}")
        if self.ratio is not None and not self.ratio >= 1:
            raise ConfigError(f"ratio must be 1 or more, not {self.ratio}: it is how many times fewer tokens are kept")
        if self.risk is not None:
            self._promised(self.risk)

    def _promised(self, risk: float) -> float:
        if self.calibration is None:
            raise ConfigError(
                "risk needs a calibration on examples of your own: make one with 'thrift-plugins compress calibrate'"
            )
        return self.calibration.threshold(risk)

    @property
    def extracts(self) -> bool:
        """Whether anything may be left out."""
        return (self.max_tokens, self.ratio, self.risk) != (None, None, None)

    def threshold(self) -> float | None:
        """The least chance, beside the best sentence's, with which a sentence is kept; None where tokens decide."""
        return None if self.risk is None else self._promised(self.risk)

    def tokens(self, whole: int) -> int:
        """What a context of so many tokens may have."""
        if self.max_tokens is not None:
            return min(self.max_tokens, whole)
        return int(whole / self.ratio) if self.ratio is not None else whole
