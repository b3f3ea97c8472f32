"""Quality as far as a ledger can see it: how many answers were whole, with the tactics and without them."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final, NamedTuple

from thrift_plugins.ledger.flaws import Arm
from thrift_plugins.ledger.holdout import FEW
from thrift_plugins.ledger.rollup import Rollup

_Z: Final = 1.959964  # of the normal distribution: 95 % lie within so many standard deviations


class Change(NamedTuple):
    """Of a share, and where it lies with a confidence of 95 %, as if calls did not depend on each other."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Soundness:
    """The answers of a feature. Nobody has judged them: one that is whole may be wrong.

    Attributes:
        feature: whose; "" with `whole` for all of them together.
        treated: calls that tactics could change.
        held: calls in the holdout.
    """

    feature: str
    treated: Arm
    held: Arm

    @property
    def sound(self) -> float | None:
        """Share of whole answers among all."""
        every = Arm()
        every.merge(self.treated)
        every.merge(self.held)
        return every.sound

    @property
    def change(self) -> Change | None:
        """How many more answers are whole with the tactics than without; None below 30 answers on either side."""
        if min(self.treated.answers, self.held.answers) < FEW:
            return None
        return changed(
            self.held.answers - self.held.flaws.total(), self.held.answers,
            self.treated.answers - self.treated.flaws.total(), self.treated.answers,
        )  # fmt: skip


def soundness(rollup: Rollup) -> tuple[Soundness, list[Soundness]]:
    """All answers together, and those of each feature, the feature with most calls first."""
    found, whole = rollup.flaws, Soundness("", Arm(), Arm())
    each = [Soundness(name, arm, found.held.get(name) or Arm()) for name, arm in found.treated.items()]
    for one in each:
        whole.treated.merge(one.treated)
        whole.held.merge(one.held)
    return whole, sorted(each, key=lambda one: (-one.treated.calls - one.held.calls, one.feature))


def changed(before: int, of_before: int, after: int, of_after: int) -> Change:
    """A share after less a share before, by Newcombe's interval, which holds for few and for rare ones too."""
    first, first_low, first_high = _wilson(before, of_before)
    second, second_low, second_high = _wilson(after, of_after)
    value = second - first
    return Change(
        value,
        value - sqrt((second - second_low) ** 2 + (first_high - first) ** 2),
        value + sqrt((second_high - second) ** 2 + (first - first_low) ** 2),
    )


def _wilson(count: int, of: int) -> tuple[float, float, float]:
    """A share and its interval."""
    share, square = count / of, _Z * _Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = _Z / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return share, middle - reach, middle + reach
