"""Does the ledger's claim hold? 1,000 simulated months: `python -m tests.benchmarks.holdout [--json FILE]`.

Each month has four features, conversations whose calls are alike, lengths with heavy tails, and tactics that shorten answers,
find them in the cache or have a small model give them. What the baseline would have answered is known here, and hidden from
the ledger, whose guesses of its length are wrong by a factor of their own for each feature and month (a standard deviation
of 0.6 of the logarithm: 1.8 times either way). A share of 2 % of the conversations is left alone.

    holdout_coverage              months whose corrected claim is in the holdout's interval; 0.93 or more is wanted
    holdout_coverage_booked       the same for the claim as it was booked, its guesses uncorrected
    holdout_coverage_halves       the same where one half of the holdout corrects, and the interval is the other half's, of
                                  100,000 calls; nominal: 0.83, as both are equally unsure
    truth_coverage                months whose true saving is in the interval; nominal: 0.95
    interval_width, _100k         median, from end to end, as a share of what the baseline would have cost; of 20,000 and
                                  100,000 calls
    error_booked, error_corrected, error_measured
                                  median distance of each figure from the true saving, as the same share
    power_10_percent, _100k       months with a true saving of 10 % in which the interval is above 0
    false_alarms                  months with hardly any saving in which it is above 0; nominal: 0.025
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.harness import arguments, report
from thrift_plugins.ledger.holdout import compare

SHARE = 0.02
RATES = {"large": (2_500, 10_000), "small": (150, 600)}
"""Nano-dollars per token, in and out."""


@dataclass(frozen=True)
class Feature:
    """What is asked of a feature, and what the tactics do about it.

    Attributes:
        share: of all calls.
        sent, got: median tokens of a call, in and out.
        shorter: what an answer is cut to by an output budget.
        hits: share of the calls that are answered from the cache.
        routed: share of the others that a small model answers.
        longer: what the small model makes of an answer's length.
    """

    name: str
    share: float
    sent: int
    got: int
    shorter: float
    hits: float
    routed: float
    longer: float


APP = (
    Feature("summary", 0.5, 1_800, 500, 0.4, 0.1, 0.0, 1.0),
    Feature("faq", 0.25, 300, 150, 0.6, 0.35, 0.4, 1.2),
    Feature("chat", 0.15, 900, 250, 1.0, 0.0, 0.3, 1.4),
    Feature("report", 0.1, 6_000, 1_500, 0.5, 0.0, 0.0, 1.0),
)


def mild(cut: float) -> tuple[Feature, ...]:
    """The same app where a tactic does nothing but to shorten answers by that factor."""
    return tuple(replace(feature, shorter=cut, hits=0.0, routed=0.0) for feature in APP)


@dataclass(frozen=True)
class World:
    """A kind of month."""

    app: tuple[Feature, ...]
    calls: int
    wrong: float = 0.6


class Month(NamedTuple):
    """Its figures, as shares of what the baseline would have cost."""

    truth: float
    booked: float
    corrected: float
    measured: float
    low: float
    high: float


class Draws(NamedTuple):
    """A month's calls, in the order of time; one element a call."""

    session: np.ndarray
    feature: np.ndarray
    sent: np.ndarray
    got: np.ndarray
    held: np.ndarray


def draw(world: World, dice: np.random.Generator) -> Draws:
    """Conversations of three calls or so, most of one feature, all at once. Long prompts have longer answers."""
    calls = world.calls
    session = dice.integers(0, calls // 3, calls)
    shares = [feature.share for feature in world.app]
    usual = dice.choice(len(shares), calls // 3, p=shares)[session]
    feature = np.where(dice.random(calls) < 0.8, usual, dice.choice(len(shares), calls, p=shares))
    size = dice.normal(0, 0.5, calls // 3)[session] + dice.normal(0, 0.7, calls)
    length = 0.4 * size + dice.normal(0, 0.4, calls // 3)[session] + dice.normal(0, 0.7, calls)
    rambling = np.where(dice.random(calls) < 0.02, 4.0, 1.0)
    sent = np.array([one.sent for one in world.app])[feature] * np.exp(size)
    got = np.array([one.got for one in world.app])[feature] * np.exp(length) * rambling
    held = (dice.random(calls // 3) < SHARE)[session]
    return Draws(session, feature, sent.astype(int) + 1, got.astype(int) + 1, held)


def cost(model: str, sent: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Nano-dollars."""
    rates = RATES[model]
    return rates[0] * sent + rates[1] * got


class Lived(NamedTuple):
    """A month's calls with their costs in nano-dollars; one element a call.

    Attributes:
        truth: what the baseline would have cost.
        claimed: what the ledger thinks that it would have.
        touched: whether a tactic has changed the call.
    """

    drawn: Draws
    truth: np.ndarray
    claimed: np.ndarray
    paid: np.ndarray
    touched: np.ndarray


def live(world: World, seed: int) -> Lived:
    """Have the tactics act on a month."""
    dice = np.random.default_rng(seed)
    drawn = draw(world, dice)
    hits, routed, longer, shorter = (
        np.array([getattr(one, name) for one in world.app])[drawn.feature]
        for name in ("hits", "routed", "longer", "shorter")
    )
    hit = dice.random(world.calls) < hits
    small = ~hit & (dice.random(world.calls) < routed)
    touched = (hit | small | (shorter != 1.0)) & ~drawn.held
    obeyed = np.where(shorter == 1.0, 1.0, shorter * np.exp(dice.normal(0, 0.2, world.calls)))
    answered = (np.where(small, longer, 1.0) * obeyed * drawn.got).astype(int) + 1
    guess = guesses(world, drawn, answered, hit | small | (shorter == 1.0), dice)
    truth = cost("large", drawn.sent, drawn.got)
    paid = np.where(hit, 0, np.where(small, cost("small", drawn.sent, answered), cost("large", drawn.sent, answered)))
    claimed = cost("large", drawn.sent, guess)
    return Lived(drawn, truth, np.where(touched, claimed, truth), np.where(touched, paid, truth), touched)


def month(world: World, seed: int) -> Month:
    """The figures of a month, over the features of which the holdout has enough."""
    lived = live(world, seed)
    holdout = compare(entries(world, lived))
    told = {row.feature for row in holdout.rows() if row.measured}
    compared = np.array([one.name in told for one in world.app])[lived.drawn.feature] & ~lived.drawn.held
    whole, found = float(lived.truth[compared].sum()), holdout.total()
    assert found.measured is not None
    figures = (float((lived.truth - lived.paid)[compared].sum()), found.booked, found.corrected, *found.measured)
    return Month(*(figure / whole for figure in figures))


def halves_agree(world: World, seed: int) -> bool:
    """Whether a claim that one half of the holdout has corrected is in the interval of the other half."""
    records = list(entries(world, live(world, seed)))
    corrected, measured = (
        compare(one for one in records if not one["extra"] or int(one["session"]) % 2 == half).total()
        for half in (0, 1)
    )
    assert measured.measured is not None
    assert corrected.treated == measured.treated
    return measured.measured.low <= corrected.corrected <= measured.measured.high


def guesses(
    world: World, drawn: Draws, answered: np.ndarray, alike: np.ndarray, dice: np.random.Generator
) -> np.ndarray:
    """How long the ledger thinks that the baseline's answers would have been.

    Args:
        alike: where it takes them for as long as what was answered, as for hits and other models; where answers were
            asked to be short, it has a mean, which is wrong.
    """
    off = np.exp(dice.normal(0, world.wrong, len(world.app)))
    means = [drawn.got[drawn.feature == place].mean() for place in range(len(world.app))]
    mean = (off * np.array(means))[drawn.feature]
    return np.where(alike, answered, mean).astype(int)


def entries(world: World, lived: Lived) -> Iterator[dict[str, Any]]:
    """The month as the ledger's records, as far as `Holdout` reads them."""
    names = [feature.name for feature in world.app]
    columns = (*lived.drawn, lived.claimed, lived.paid, lived.touched)
    for place, (session, feature, sent, _, held, baseline, actual, changed) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        yield {
            "id": str(place),
            "tenant": "",
            "session": str(session),
            "feature": names[feature],
            "requested_model": "large",
            "baseline": {"made": True, "usage": {"input_tokens": sent}},
            "patches": [["budget"]] if changed else [],
            "bill": {"baseline": baseline, "actual": actual, "unpriced": []},
            "extra": {"holdout": True} if held else {},
        }


def inside(months: Sequence[Month], values: Sequence[float]) -> float:
    """Share of the months in whose interval a value is."""
    return fmean(month.low <= value <= month.high for month, value in zip(months, values, strict=True))


def main() -> None:
    args = arguments(__doc__ or "")
    with ProcessPoolExecutor() as pool:

        def months(world: World, count: int) -> list[Month]:
            return list(pool.map(partial(month, world), range(count), chunksize=10))

        lived = months(World(APP, 20_000), 1_000)
        powers = {
            "power_10_percent": months(World(mild(0.795), 20_000), 300),
            "power_10_percent_100k": months(World(mild(0.795), 100_000), 100),
            "false_alarms": months(World(mild(0.999), 20_000), 300),
        }
        halves = list(pool.map(partial(halves_agree, World(APP, 100_000)), range(100), chunksize=10))
    truth = [one.truth for one in lived]
    figures: dict[str, float | int | str | None] = {
        "holdout_coverage": inside(lived, [one.corrected for one in lived]),
        "holdout_coverage_booked": inside(lived, [one.booked for one in lived]),
        "holdout_coverage_halves": fmean(halves),
        "truth_coverage": inside(lived, truth),
        "true_saving": median(truth),
        "interval_width": median(one.high - one.low for one in lived),
        "interval_width_100k": median(one.high - one.low for one in powers["power_10_percent_100k"]),
        **{
            f"error_{name}": median(abs(getattr(one, name) - one.truth) for one in lived)
            for name in ("booked", "corrected", "measured")
        },
        **{name: fmean(one.low > 0 for one in made) for name, made in powers.items()},
        "power_true_saving": median(one.truth for one in powers["power_10_percent"]),
    }
    report("Holdout: 1,000 months, 2 % left alone (coverage: 0.93 or more)", figures, {}, args.json)


if __name__ == "__main__":
    main()
