"""Adds up a ledger of any size in one pass and little memory: the whole, and by tenant, feature, model and day.

What comes out is what `Line.add` gives for each part, to the nano-dollar, several times faster: amounts are gathered in
columns and added by numpy, in 64-bit integers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import orjson
from numpy.typing import NDArray

from thrift_plugins.ledger.flaws import Flaws
from thrift_plugins.ledger.holdout import Holdout
from thrift_plugins.ledger.leaks import Leaks, remarkable
from thrift_plugins.ledger.summary import Line, is_call

By: TypeAlias = Literal["tenant", "feature", "model", "day"]
COLUMNS: Final[tuple[By, ...]] = get_args(By)

FROM_CACHE = "(cache)"
"""In the place of a model, of what the cache answered."""
NOBODY = "(none)"
"""In the place of a model, of what nobody answered."""

_DAY = 86_400
_AT_ONCE = 20_000
"""Events in a batch: the tables are gone through once for each."""

_BASELINE, _ACTUAL, _ESTIMATED, _UNASKED, _FIXED_SUMS = range(5)
"""Sums that there always are. The others are numbered as they are met."""

_Value: TypeAlias = str | float
"""Of a column; a day is the number of it."""
_Integers: TypeAlias = NDArray[np.int64]


@dataclass(slots=True)
class Rollup:
    """A bill, and its parts. The parts by each column add up to the whole.

    Attributes:
        by: column to its values and their lines: tenant, feature, the model that answered (or `FROM_CACHE`, `NOBODY`), and
            day (of UTC, as 2026-11-23).
        holdout: what it says beside the bill.
        leaks: what to look into.
        flaws: answers that something was wrong with.
    """

    total: Line = field(default_factory=Line)
    by: dict[By, dict[str, Line]] = field(default_factory=lambda: {name: {} for name in COLUMNS})
    holdout: Holdout = field(default_factory=Holdout, compare=False)
    leaks: Leaks = field(default_factory=Leaks)
    flaws: Flaws = field(default_factory=Flaws)


def roll_up(bodies: Iterable[str]) -> Rollup:
    """Add up events, each as its JSON (see `ScannedLog.bodies`), in any order; the holdout corrects better in that of time.

    Raises:
        OverflowError: an event of more than nine billion dollars.
    """
    sheet, bodies = _Sheet(), iter(bodies)
    while sheet.add(islice(bodies, _AT_ONCE)):
        pass
    by: dict[By, dict[str, Line]] = {name: sheet.lines(name) for name in COLUMNS}
    rollup = Rollup(by=by, holdout=sheet.holdout, leaks=sheet.leaks, flaws=sheet.flaws)
    rollup.flaws.count({feature: line.requests for feature, line in by["feature"].items()})
    for line in rollup.by["day"].values():
        rollup.total.merge(line)
    total, leaks = rollup.total, rollup.leaks
    leaks.calls, leaks.estimated, leaks.lost = total.requests - leaks.orphans, total.estimated, total.lost
    return rollup


class _Numbers(dict[_Value, int]):
    """Numbers for values, in the order in which they are first seen."""

    def __init__(self, numbers: Iterator[int]) -> None:
        super().__init__()
        self._numbers = numbers

    def __missing__(self, value: _Value) -> int:
        number = self[value] = next(self._numbers)
        return number


class _Batch:
    """Some events as columns: for each event its values' numbers, its amounts, and the sum that counts its outcome.

    Attributes:
        whose: for each amount beside those two, the number of its event in the batch; `sums` says to which sum it goes.
    """

    def __init__(self) -> None:
        self.values = tuple(array("q") for _ in COLUMNS)
        self.baseline, self.actual, self.outcome = array("q"), array("q"), array("q")
        self.whose, self.sums, self.amounts = array("q"), array("q"), array("q")

    def add_to(self, tables: Iterable[_Integers]) -> None:
        """Add to a table for each column, which has a row for each value and a column for each sum."""
        whose, sums = _integers(self.whose), _integers(self.sums)
        for table, values in zip(tables, self.values, strict=True):
            cells, rows = table.reshape(-1), _integers(values) * table.shape[1]
            np.add.at(cells, rows + _BASELINE, _integers(self.baseline))
            np.add.at(cells, rows + _ACTUAL, _integers(self.actual))
            np.add.at(cells, rows + _integers(self.outcome), 1)
            np.add.at(cells, rows[whose] + sums, _integers(self.amounts))


class _Sheet:
    """A table for each column."""

    def __init__(self) -> None:
        sums = count(_FIXED_SUMS)
        self._sums: dict[str, dict[_Value, int]] = {
            name: _Numbers(sums) for name in ("outcomes", "by_tactic", "overheads")
        }
        self._values: dict[By, dict[_Value, int]] = {name: _Numbers(count()) for name in COLUMNS}
        self._tables: dict[By, _Integers] = {name: np.zeros((0, 0), np.int64) for name in COLUMNS}
        self._rare: dict[By, dict[_Value, Line]] = {name: {} for name in COLUMNS}
        self.holdout, self.leaks, self.flaws = Holdout(), Leaks(), Flaws()

    def add(self, bodies: Iterable[str]) -> int:
        """Add events. Returns how many there were."""
        batch = _Batch()
        self._read(bodies, batch)
        if batch.baseline:
            batch.add_to([self._grown(name) for name in COLUMNS])
        return len(batch.baseline)

    def _read(self, bodies: Iterable[str], batch: _Batch) -> None:  # noqa: C901  a call less for each of a million events
        load = orjson.loads
        tenants, features, models, days = self._values.values()
        outcomes, saved, beside = self._sums.values()
        to_tenants, to_features, to_models, to_days = (values.append for values in batch.values)
        to_baseline, to_actual, to_outcome = batch.baseline.append, batch.actual.append, batch.outcome.append
        to_whose, to_sums, to_amounts = batch.whose.append, batch.sums.append, batch.amounts.append
        add_to_holdout, look, look_for_flaws, hold = self.holdout.add, self.leaks.look, self.flaws.look, self.flaws.hold
        for number, body in enumerate(bodies):
            entry = load(body)
            priced, outcome = entry["bill"], entry["outcome"]
            to_tenants(tenants[entry["tenant"]])
            to_features(features[entry["feature"]])
            to_models(models[entry["served_model"] or _nobody(outcome)])
            to_days(days[entry["at"] // _DAY])
            to_baseline(priced["baseline"])
            to_actual(priced["actual"])
            to_outcome(outcomes[outcome] if "extra" not in entry or is_call(entry) else _UNASKED)
            if rows := priced["rows"]:
                for tactic, amount in rows.items():
                    to_whose(number)
                    to_sums(saved[tactic])
                    to_amounts(amount)
            if overheads := priced["overheads"]:
                for tactic, amount in overheads.items():
                    to_whose(number)
                    to_sums(beside[tactic])
                    to_amounts(amount)
            if entry["usage"].get("source") == "estimated":
                to_whose(number)
                to_sums(_ESTIMATED)
                to_amounts(1)
            if priced["unpriced"] or entry["fallbacks"]:
                self._add_rare(entry)
            if remarkable(entry):
                look(entry)
                look_for_flaws(entry)
            elif entry["fallbacks"]:
                look_for_flaws(entry)
            if "extra" in entry and entry["extra"].get("holdout"):
                hold(entry["feature"])
            add_to_holdout(entry)

    def _add_rare(self, entry: Mapping[str, Any]) -> None:
        """What most events do not have, and what may have very many names."""
        answered = entry["served_model"] or _nobody(entry["outcome"])
        values = (entry["tenant"], entry["feature"], answered, entry["at"] // _DAY)
        unpriced, apart, fallbacks = entry["bill"]["unpriced"], entry["bill"].get("apart", 0), entry["fallbacks"]
        lost = entry.get("extra", {}).get("lost", 0)  # a line that tells of it says so among its fallbacks
        for name, value in zip(COLUMNS, values, strict=True):
            lines = self._rare[name]
            line = lines.get(value) or lines.setdefault(value, Line())
            line.apart += apart
            line.lost += lost
            for model in unpriced:
                line.unpriced[model] += 1
            for what in fallbacks:
                line.fallbacks[what] += 1

    def lines(self, name: By) -> dict[str, Line]:
        """The line of each value of a column."""
        table, rare = self._grown(name), self._rare[name]
        lines: dict[str, Line] = {}
        for value, number in self._values[name].items():
            shown = value if isinstance(value, str) else f"{datetime.fromtimestamp(value * _DAY, UTC):%Y-%m-%d}"
            lines[shown] = self._filled(rare.get(value) or Line(), table[number].tolist())
        return lines

    def _filled(self, line: Line, row: Sequence[int]) -> Line:
        line.baseline, line.actual, line.estimated = row[_BASELINE], row[_ACTUAL], row[_ESTIMATED]
        for name, numbers in self._sums.items():
            getattr(line, name).update({key: row[number] for key, number in numbers.items() if row[number]})
        line.requests = sum(line.outcomes.values())
        return line

    def _grown(self, name: By) -> _Integers:
        """The table, with room for every value and every sum that is known by now."""
        table = self._tables[name]
        height, width = table.shape
        values, sums = len(self._values[name]), _FIXED_SUMS + sum(map(len, self._sums.values()))
        if height < values or width < sums:
            grown = np.zeros((max(height, 2 * values), max(width, sums + 8)), np.int64)
            grown[:height, :width] = table
            table = self._tables[name] = grown
        return table


def _nobody(outcome: str) -> str:
    return FROM_CACHE if outcome == "hit" else NOBODY


def _integers(amounts: array[int]) -> _Integers:
    return np.frombuffer(amounts, np.int64)
