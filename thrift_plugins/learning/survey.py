"""What a random sample says about everybody else: a total over those who were not drawn, with its interval.

The mean of the sample is moved along its regression on a quantity that is known of everybody (model-assisted, or GREG,
estimation), which takes the noise of that quantity out and assumes nothing: where the line fits badly, it helps little.
Units that were drawn together count as one draw. So that memory stays small, such clusters are thrown into `GROUPS`
groups at random, and the spread is taken between groups.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import cbrt, sqrt
from typing import Final, NamedTuple

GROUPS: Final = 256
"""Into which clusters are thrown. The more, the surer the spread is known; each takes 40 bytes of a sample."""

_Z: Final = 1.959964  # of the normal distribution: 95 % lie within so many standard deviations
_HELPS: Final = 2.0  # standard errors; a slope below them is noise, and would bring in more of it
_APART: Final = 4.0  # standard errors between sample and others, above which chance did not make the difference
_SUMS: Final = 5  # of a group; see `Sums`
_CONSTANT: Final = 1e-9  # of the mean square: what varies less differs by rounding alone


class Estimate(NamedTuple):
    """A total, and where it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float


class Sums(NamedTuple):
    """Of some units: how many, and the sums of x, y, x times x and x times y."""

    units: float
    x: float
    y: float
    xx: float
    xy: float

    def without(self, other: Sums) -> Sums:
        """Those that are left when some are taken away."""
        return Sums(*(whole - part for whole, part in zip(self, other, strict=True)))

    def spread(self) -> float:
        """The sum of the squares of x about its mean, 0 where that is a matter of rounding."""
        squares = self.xx - self.x**2 / self.units
        return squares if squares > _CONSTANT * self.xx else 0.0

    def slope(self) -> float:
        """What y grows by where x is larger by one."""
        spread = self.spread()
        return (self.xy - self.x * self.y / self.units) / spread if spread else 0.0

    def mean(self, x: float, *, moved: bool) -> float:
        """The mean of y; moved: to where the mean of x is the one given."""
        mean = self.y / self.units
        return mean + self.slope() * (x - self.x / self.units) if moved else mean


class Sample:
    """The units that were drawn, as sums. Each has a known quantity `x` and a measured one `y`, of any scale.

    Attributes:
        count: how many units.
        draws: in how many groups they are: the clusters, as long as those are few.
    """

    def __init__(self) -> None:
        self.count = 0
        self.draws = 0
        self._yy = 0.0
        self._whole = [0.0] * _SUMS
        self._groups = array("d", bytes(8 * _SUMS * GROUPS))

    def add(self, group: int, x: float, y: float) -> None:
        """Add a unit.

        Args:
            group: of its cluster, 0 to `GROUPS` - 1; chosen by chance, and the same for all its units.
        """
        self.count += 1
        self._yy += y * y
        groups, at = self._groups, _SUMS * group
        self.draws += not groups[at]
        for place, value in enumerate((1.0, x, y, x * x, x * y)):
            self._whole[place] += value
            groups[at + place] += value

    @property
    def sums(self) -> Sums:
        """Of all units."""
        return Sums(*self._whole)

    def filled(self) -> Iterator[tuple[int, Sums]]:
        """The groups that have units."""
        groups = self._groups
        for at in range(0, _SUMS * GROUPS, _SUMS):
            if groups[at]:
                yield at // _SUMS, Sums(*groups[at : at + _SUMS])

    def leans(self) -> bool:
        """Whether y depends on x by more than chance."""
        sums = self.sums
        if self.count < 3:
            return False
        slope, spread = sums.slope(), sums.spread()
        left = max(0.0, self._yy - sums.y**2 / self.count - slope**2 * spread) / (self.count - 2)
        return slope**2 * spread > _HELPS**2 * left

    def represents(self, x: float, units: int) -> bool:
        """Whether chance alone may have put the mean of x elsewhere than in those who were not drawn.

        Args:
            x: their mean.
            units: how many they are.
        """
        mean = self.sums.x / self.count
        squares = sum((group.x - group.units * mean) ** 2 for _, group in self.filled()) / self.count**2
        return (x - mean) ** 2 <= _APART**2 * squares * (1 + self.count / units) + _CONSTANT * x * x


class Stratum(NamedTuple):
    """A part of everybody in which all units were drawn with one chance.

    Attributes:
        sample: those who were drawn, in at least 2 groups: one does not tell a spread.
        units: how many were not, at least 1.
        x: the sum of their known quantity.
    """

    sample: Sample
    units: int
    x: float

    def moved(self) -> bool:
        """Whether the mean is moved along the line.

        Not where that does not help, nor where x is another kind of quantity in the sample: something that was done to
        those who were not drawn has changed it, and a line would take that for a difference between the units.
        """
        return self.sample.leans() and self.sample.represents(self.x / self.units, self.units)

    def value(self) -> float:
        """The sum of y over those who were not drawn."""
        return self.units * self.sample.sums.mean(self.x / self.units, moved=self.moved())

    def errors(self) -> Iterator[tuple[int, float]]:
        """What each group adds to the error of that value, seen by leaving it out (the grouped jackknife).

        That is more than its residuals: a line runs close to a unit far out, which draws it there.
        """
        whole, x, moved = self.sample.sums, self.x / self.units, self.moved()
        value = whole.mean(x, moved=moved)
        others = self.units * sqrt(1 + self.sample.count / self.units)  # who was not drawn is a draw too
        for group, sums in self.sample.filled():
            if sums.units < whole.units:
                yield group, others * (value - whole.without(sums).mean(x, moved=moved))


def total(strata: Sequence[Stratum]) -> Estimate:
    """The sum of `y` over all who were not drawn.

    Where what was drawn is skewed, the interval reaches further to that side (Hall's transformation): after a few dear
    units, more of them may be among those that nobody measured. It is made no shorter on the other side, as few units do
    not tell the skew well enough for that.
    """
    value = 0.0
    errors: dict[int, float] = {}
    parts: list[tuple[float, int]] = []
    for stratum in strata:
        value += stratum.value()
        squares, groups = 0.0, 0
        for group, error in stratum.errors():
            errors[group] = errors.get(group, 0.0) + error
            squares, groups = squares + error * error, groups + 1
        parts.append((squares, groups))
    below, above = _reach(list(errors.values()), _freedom(parts))
    return Estimate(value, value + below, value + above)


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """How surely a spread is known, in degrees of freedom (Satterthwaite): hardly, where one small part makes most of it.

    Args:
        parts: squared spread of each, and the groups by which it is known.
    """
    doubt = sum(squares**2 / max(1, groups - 1) for squares, groups in parts)
    return sum(squares for squares, _ in parts) ** 2 / doubt if doubt > 0.0 else 1.0


def _reach(errors: Sequence[float], freedom: float) -> tuple[float, float]:
    """How far below and above an estimate the truth may lie, by what each group adds to its error."""
    squares = sum(error * error for error in errors)
    if squares <= 0.0:
        return 0.0, 0.0
    spread = sqrt(squares * (len(errors) - 1) / len(errors))
    skew = sum(error**3 for error in errors) / squares**1.5
    quantile = student(freedom)
    return -spread * max(quantile, _skewed(quantile, skew)), spread * max(quantile, -_skewed(-quantile, skew))


def _skewed(quantile: float, skew: float) -> float:
    """That quantile of a mean's error over its spread, where the errors of its parts are skewed."""
    if abs(skew) < 1e-6:
        return quantile
    return 3 / skew * (cbrt(1 + skew * (quantile - skew / 6)) - 1)


def student(freedom: float) -> float:
    """Student's quantile at 97.5 %, by Cornish and Fisher: right to 1 % from 5 degrees of freedom on."""
    z, cube, fifth = _Z, _Z**3, _Z**5
    return z + (cube + z) / (4 * freedom) + (5 * fifth + 16 * cube + 3 * z) / (96 * freedom**2)
