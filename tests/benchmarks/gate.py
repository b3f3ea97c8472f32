"""The quality gate under continuous peeking: false verdicts, and how soon a drop is seen that hides in one feature.

Simulated comparisons, as a judge would tell them: better, same or worse. Every verdict is looked at after every comparison.
Run: `python -m tests.benchmarks.gate --data DIR --json FILE`; `THRIFT_TEST_SCALE` below 1 for fewer simulations.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from time import perf_counter

from tests.benchmarks.harness import arguments, report
from thrift_plugins.quality import Calibration, ExactJudge, Gate, Terms
from thrift_plugins.quality.judge import Judgement
from thrift_plugins.quality.trial import Limits, Trial

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
RUNS = max(20, int(2_000 * SCALE))
PEEKS = 2_000
MARGIN = Terms().margin
FEATURES = 8
TARGETS = {
    "false_holds_at_margin": 0.05,
    "false_alarms_at_margin": 0.01,
    "false_alarms_no_drop": 0.01,
    "false_holds_at_margin_noisy_judge": 0.05,
    "false_alarms_at_margin_noisy_judge": 0.01,
    "drop_of_10_points_caught_after_median": 300.0,
}


@dataclass(frozen=True)
class World:
    """How often an answer is worse and better than the one it replaces, and how often the judge takes one for the other."""

    worse: float
    better: float
    flips: float = 0.0

    def losses(self, seed: int, most: int) -> Iterator[float]:
        chance = random.Random(seed)
        for _ in range(most):
            drawn = chance.random()
            loss = 1.0 if drawn < self.worse else -1.0 if drawn < self.worse + self.better else 0.0
            yield -loss if loss and chance.random() < self.flips else loss


def verdicts(world: World, limits: Limits, *, runs: int = RUNS, peeks: int = PEEKS) -> tuple[float, float, float]:
    """Shares of the runs that ever said "holds", and ever said "broken", and the median comparisons to the former."""
    holds, broken = [], 0
    for seed in range(runs):
        trial, held = Trial(limits), 0
        for count, loss in enumerate(world.losses(seed, peeks), 1):
            trial.judged(loss)
            if trial.verdict == "broken":
                broken += 1
                break
            if not held and trial.verdict == "holds":
                held = count
        holds.append(held)
    reached = [held or peeks for held in holds]
    return sum(map(bool, holds)) / runs, broken / runs, median(reached)


def hidden(seed: int, harmed: World, others: World) -> tuple[int, int]:
    """Comparisons until the harmed one of some features is rolled back: its own, and those of all features."""
    gate, names = Gate(Terms(), ExactJudge()), [f"feature {number}" for number in range(FEATURES)]
    streams = {
        name: (harmed if name == names[3] else others).losses(seed * FEATURES + at, 10**6)
        for at, name in enumerate(names)
    }
    chance, own = random.Random(-seed - 1), 0
    for count in range(1, 10**6):
        name = chance.choice(names)
        own += name == names[3]
        if gate.compared("routing", name, WORDS[next(streams[name])], float(count)) and gate.off(names[3]):
            return own, count
    raise AssertionError("never caught")


def recorded(path: Path) -> dict[str, float]:
    """The same with answers of two real models to exam questions, the weaker on as many of them as make 10 points."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    gaps = [float(row["strong_ok"]) - float(row["weak_ok"]) for row in rows]
    share = 0.10 / mean(gaps)
    caught: list[int] = []
    for seed in range(max(20, RUNS // 10)):
        chance, trial, count = random.Random(seed), Trial(Limits(MARGIN, MARGIN)), 0
        while trial.verdict != "broken":
            trial.judged(chance.choice(gaps) if chance.random() < share else 0.0)
            count += 1
        caught.append(count)
    return {"recorded_pairs": len(rows), "recorded_drop_of_10_points_caught_after_median": float(median(caught))}


WORDS: dict[float, Judgement] = {1.0: "worse", 0.0: "same", -1.0: "better"}


def main() -> None:
    told = arguments(__doc__ or "")
    started = perf_counter()
    plain, noisy = Limits(MARGIN, MARGIN), Calibration.flips(0.1)
    dimmed = Limits(noisy.holds_below(MARGIN), noisy.broken_above(MARGIN))
    at_margin, no_drop = World(0.05 + MARGIN, 0.05), World(0.05, 0.05)
    holds, alarms, _ = verdicts(at_margin, plain)
    _, alarms_without, to_hold = verdicts(no_drop, plain)
    noisy_holds, noisy_alarms, _ = verdicts(World(0.05 + MARGIN, 0.05, 0.1), dimmed)
    caught = [hidden(seed, World(0.15, 0.05), no_drop) for seed in range(max(20, RUNS // 10))]
    one_sided = [hidden(seed, World(0.10, 0.0), World(0.0, 0.0)) for seed in range(max(20, RUNS // 10))]
    figures: dict[str, float | int | str | None] = {
        "simulations": RUNS,
        "comparisons_each": PEEKS,
        "margin": MARGIN,
        "false_holds_at_margin": holds,
        "false_alarms_at_margin": alarms,
        "false_alarms_no_drop": alarms_without,
        "no_drop_holds_after_median": float(to_hold),
        "false_holds_at_margin_noisy_judge": noisy_holds,
        "false_alarms_at_margin_noisy_judge": noisy_alarms,
        "drop_of_10_points_caught_after_median": float(median(own for own, _ in caught)),
        "drop_of_10_points_caught_after_median_all_features": float(median(every for _, every in caught)),
        "drop_of_10_points_one_sided_caught_after_median": float(median(own for own, _ in one_sided)),
        **(recorded(exams) if (exams := told.data / "routing" / "mmlu.jsonl.gz").is_file() else {}),
        "seconds": perf_counter() - started,
    }
    report("Quality gate", figures, TARGETS, told.json)


if __name__ == "__main__":
    main()
