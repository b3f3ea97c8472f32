"""How well are input tokens bounded before they are billed, and bills priced? On recorded requests, in their order.

    python -m tests.benchmarks.bounds --data DIR [--json FILE]

Each request is bounded by what was learnt from those before it, then its usage is learnt. A first sight is a model
with a set of tools that has not been seen before; slack is the bound over what was billed.
All usages are priced, too (`tests.benchmarks.priced`).
`half_a` and `half_b` are two halves of the models, told by a digest of the name. Both were looked at when the rules
were made, so neither is unseen; they show how far the figures depend on which models there are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks import priced
from tests.usage_pairs import DATA, FILE, Pair, read
from thrift_plugins.prices import Prices
from thrift_plugins.tokens import Bounds, count_messages

_SURE = 3


class Bounded(NamedTuple):
    """A request with its bound and its bill.

    Attributes:
        sightings: how often its model and tools had been seen before.
    """

    pair: Pair
    sightings: int
    bound: int
    billed: int

    @property
    def holds(self) -> bool:
        return self.bound >= self.billed


def run(pairs: Iterable[Pair], bounds: Bounds) -> list[Bounded]:
    """Bound each request, then learn from its usage. What asks for no answer, or has no bill, is left out."""
    done = []
    for pair in pairs:
        if not pair.asks or pair.usage is None or not pair.usage.input_tokens:
            continue
        sightings = bounds.sightings(pair.request, pair.model)
        done.append(Bounded(pair, sightings, bounds.bound(pair.request, pair.model), pair.usage.input_tokens))
        bounds.learn(pair.request, pair.model, pair.usage)
    return done


def figures(done: Sequence[Bounded]) -> dict[str, float | int | None]:
    """Coverage and slack of a part of the requests; None where it has none to tell of."""
    sure = [one for one in done if one.sightings >= _SURE]
    first = [one for one in done if one.sightings == 0]
    return {
        "bound_coverage_after_3": _share(sure),
        "slack_median": round(median(one.bound / one.billed for one in sure), 4) if sure else None,
        "first_sight_coverage": _share(first),
        "first_sight_slack_median": round(median(one.bound / one.billed for one in first), 2) if first else None,
        "coverage": _share(done),
        "requests": len(done),
        "after_3": len(sure),
        "first_sights": len(first),
    }


def _share(done: Sequence[Bounded]) -> float | None:
    return round(sum(one.holds for one in done) / len(done), 4) if done else None


def in_half_a(pair: Pair) -> bool:
    """Which half the request's model is of."""
    return sha256(pair.request.model.encode()).digest()[0] % 2 == 0


def speed(pairs: Sequence[Pair], bounds: Bounds) -> float:
    """Time of a bound over that of a plain count of the same prompt, which the ledger makes as well."""

    def seconds(work: Callable[[Pair], object]) -> float:
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for pair in pairs:
                work(pair)
            best = min(best, time.perf_counter() - start)
        return best

    def plain(pair: Pair) -> int:
        return count_messages(pair.request.messages, pair.model, pair.request.tools, pair.request.schema)

    return round(seconds(lambda pair: bounds.bound(pair.request, pair.model)) / seconds(plain), 2)


def measure(data: Path) -> dict[str, object]:
    """All figures of the recorded requests under a directory."""
    bounds = Bounds()
    pairs = read(data)
    done = run(pairs, bounds)
    hosts = sorted({one.pair.host for one in done})
    return {
        **figures(done),
        "left_out": len(pairs) - len(done),
        "half_a": figures([one for one in done if in_half_a(one.pair)]),
        "half_b": figures([one for one in done if not in_half_a(one.pair)]),
        "by_host": {host: figures([one for one in done if one.pair.host == host]) for host in hosts},
        "bound_x_count": speed([one.pair for one in done if len(one.pair.request.messages) <= 3], bounds),
        **priced.figures(pairs, Prices()),
        "below": [
            {"model": one.pair.model, "sightings": one.sightings, "bound": one.bound, "billed": one.billed}
            for one in done
            if not one.holds
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    given = parser.parse_args(arguments)
    if not (given.data / FILE).is_file():
        print(f"{given.data / FILE} is not there: nothing is measured", file=sys.stderr)
        return 2
    text = json.dumps(measure(given.data), indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
