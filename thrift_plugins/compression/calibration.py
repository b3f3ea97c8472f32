"""What may be left out so that what an answer needs is lost in a stated share of the questions: conformal risk control.

For each example it is known how unlikely a sentence may be and must still be kept. The threshold is the highest at which,
with n examples, n / (n + 1) times the share lost plus 1 / (n + 1) stays within the risk that was asked for. Then the chance
of a loss is at most that risk, over the draw of the examples and of the next question, whatever the ranker is worth.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, isfinite
from pathlib import Path
from typing import Final, NamedTuple

from thrift_plugins.errors import ConfigError

FORMAT: Final = "thrift-calibration/1"
_CONFIDENCE: Final = 0.95
_STEPS: Final = 60


class Promise(NamedTuple):
    """What a calibration can say of a risk.

    Attributes:
        threshold: least chance of a sentence that is kept, beside that of the best.
        examples: how many it rests on.
        lost: of those, at this threshold.
        low: lower end of where the risk lies with 95 % confidence.
        high: upper end.
    """

    threshold: float
    examples: int
    lost: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """For each example of an app the log odds, below the best sentence's, down to which must be kept. No text.

    Attributes:
        margins: sorted; -inf where what is needed was in no sentence by itself, so that it is lost at any threshold.
        extractor: ranker and vectors with which it was made; with others it says nothing.
    """

    margins: tuple[float, ...]
    extractor: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "margins", tuple(sorted(self.margins)))

    def promise(self, risk: float) -> Promise:
        """The threshold for a risk, and where the real risk lies.

        Raises:
            ConfigError: it is none, or so few examples cannot support it; says how many would.
        """
        if not 0 < risk < 1:
            raise ConfigError(f"risk must be above 0 and below 1, not {risk}")
        count = len(self.margins)
        allowed = floor(risk * (count + 1) - 1 + 1e-9)
        if allowed < 0 or allowed >= count:
            needed = floor(1 / risk)
            raise ConfigError(
                f"a risk of {risk:g} needs {needed:,} examples or more, and the calibration has {count:,}: give it more, or ask for less"
            )
        margin = self.margins[allowed]
        if not isfinite(margin):
            raise ConfigError(
                f"a risk of {risk:g} cannot be promised: of {count:,} examples, more lose what they need at any threshold"
            )
        return Promise(exp(margin), count, allowed, *_interval(allowed + 1, count - allowed))

    def threshold(self, risk: float) -> float:
        """As in `promise`."""
        return self.promise(risk).threshold

    def check(self, extractor: str, name: str = "the calibration") -> None:
        """Raises ConfigError where it was made with another extractor than this one."""
        if self.extractor != extractor:
            raise ConfigError(
                f"{name} was made with another ranker or other word vectors ({self.extractor}, here {extractor}): "
                "calibrate again with 'thrift-plugins compress calibrate'"
            )

    def save(self, path: str | Path) -> None:
        """Write it for `load`."""
        margins = [_down(margin) if isfinite(margin) else None for margin in self.margins]
        told = {"format": FORMAT, "extractor": self.extractor, "margins": margins}
        Path(path).write_text(json.dumps(told) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a file that `thrift-plugins compress calibrate` has written.

        Raises:
            ConfigError: there is none, or it is not that.
        """
        try:
            told = json.loads(Path(path).read_text(encoding="utf-8"))
            if told["format"] != FORMAT:
                raise ConfigError(f"{path} is a calibration of the format {told['format']!r}, not {FORMAT!r}")
            return cls(tuple(map(_margin, told["margins"])), str(told["extractor"]))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"{path} is no calibration of the format {FORMAT!r}: {error}") from error


def _margin(told: float | None) -> float:
    margin = float("-inf") if told is None else float(told)
    if not margin <= 0:
        raise ValueError("a margin is a number of 0 or less")
    return margin


def _down(margin: float) -> float:
    """With four digits behind the point, never nearer to 0: what was kept at a margin is kept at its spelling too."""
    return floor(round(margin * 1e4, 6)) / 1e4


def margin_of(scores: Sequence[float], needed: Sequence[bool], *, every: bool) -> float:
    """How far below the best sentence the last one is that must be kept.

    Args:
        needed: which sentences an answer needs; none where what it needs is in no sentence by itself.
        every: whether it needs all of them; else any one does.
    """
    own = [float(score) for score, need in zip(scores, needed, strict=True) if need]
    if not own:
        return float("-inf")
    return (min(own) if every else max(own)) - float(max(scores))


def _interval(lost: int, kept: int) -> tuple[float, float]:
    """Where a risk lies with 95 % confidence that is distributed as Beta(lost, kept)."""
    return _quantile(lost, kept, (1 - _CONFIDENCE) / 2), _quantile(lost, kept, (1 + _CONFIDENCE) / 2)


def _quantile(lost: int, kept: int, share: float) -> float:
    from thrift_plugins.learning.risk import at_most  # noqa: PLC0415  numpy, which settings must not load

    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = 1 - at_most(lost - 1, lost + kept - 1, middle)
        low, high = (middle, high) if below < share else (low, middle)
    return (low + high) / 2
