"""Is the ledger right? A random share of the calls is left alone, and what they cost is set beside its claims.

The ledger knows what was paid. What would have been paid is, for a call that a tactic has changed, a guess: nobody saw the
answer that the baseline would have given. The holdout did see such answers. Chance alone decided who is in it, so its
calls, of the same feature and baseline model, tell what the others would have cost, whatever the ledger thinks.

`Holdout` says for each feature and model, in one pass over the ledger and with a few kilobytes for each:

- what the ledger has booked as saved;
- the same with its guesses corrected: scaled so that the calls come out as dear as the holdout's. Each call is
  corrected by those of the holdout that came before it (the first ones by the first `FEW`), never by those after it, so
  that this is not the measurement over again: a claim which the past corrects wrongly is told by what comes after;
- what the holdout measured, with an interval of 95 %.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from thrift_plugins.learning.survey import GROUPS, Estimate, Sample, Stratum, total
from thrift_plugins.types import Nano, Request

FEW: Final = 30
"""Calls in a holdout below which nothing is said."""

FEW_DRAWS: Final = 10
"""Conversations (or calls without one) in a holdout below which nothing is said: a spread is not known from fewer."""

OTHERS: Final = "(others)"
"""Feature and model under which all are added up that come after the first `_STRATA`."""

_STRATA: Final = 1_000
_DOUBT: Final = 1.0  # standard deviation of how far guesses are off, as a share of the truth, before anything is known
_GROWN: Final = 1.05  # before a correction is found anew; to find it for each call takes long and changes nothing
_UNPRICED: Final = 0.01  # share of calls without a price above which sums of money say nothing


def in_holdout(request: Request, share: float, secret: bytes) -> bool:
    """Whether a call is left alone by every tactic.

    A conversation is in it as a whole, so that no user meets both ways of answering in one, and what a tactic does to a
    later turn is measured too; without a session each call is drawn by itself. Who knows no secret cannot choose.
    A larger share keeps all that a smaller one has.

    Args:
        share: of the conversations, 0 to 1.
        secret: the same in all processes of an app.
    """
    if share <= 0.0:
        return False
    scope = request.scope
    drawn = hmac.digest(secret, _unit(scope.tenant, scope.session, request.lot), "sha256")
    return int.from_bytes(drawn[:8]) < share * 2**64


def _unit(tenant: str, session: str, call: str) -> bytes:
    """The name of what is drawn as one."""
    name = f"session\0{tenant}\0{session}" if session else f"call\0{call}"
    return name.encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ledger's claim about some calls beside the holdout's. Money in nano-dollars.

    Attributes:
        feature: whose calls; "" with `model` "" for the sum of all that is known.
        model: their baseline.
        treated: calls that tactics could change.
        held: calls in the holdout.
        baseline: what the treated would have cost, as booked.
        booked: what the ledger says was saved, as booked: its rows and overheads add up to it.
        corrected: the same, with the guesses corrected by the holdout.
        measured: what the holdout says was saved, with its interval of 95 %; None where it does not know.
        unknown: why not, in a few words.
    """

    feature: str
    model: str
    treated: int
    held: int
    baseline: Nano
    booked: Nano
    corrected: Nano
    measured: Estimate | None = None
    unknown: str = ""

    @property
    def agrees(self) -> bool | None:
        """Whether the corrected claim is in the holdout's interval; None where there is none."""
        return None if self.measured is None else self.measured.low <= self.corrected <= self.measured.high


@dataclass(slots=True)
class _Calls:
    """All calls of a feature and a baseline model.

    Attributes:
        size: input tokens of the treated, as the baseline would have got them.
        guessed: the part of `baseline` that is of calls which a tactic has changed.
    """

    sample: Sample = field(default_factory=Sample)
    treated: int = 0
    size: int = 0
    baseline: Nano = 0
    actual: Nano = 0
    guessed: Nano = 0
    unpriced: int = 0
    _added: float = 0.0
    _corrected: Nano = 0
    _factor: float = 1.0
    _found_at: tuple[int, Nano] = (0, 0)

    def hold(self, group: int, size: int, cost: Nano) -> None:
        self._correct()
        self.sample.add(group, size, cost)
        if self._enough() and (self.sample.count > _GROWN * self._found_at[0] or self.guessed > _GROWN * self._found_at[1]):
            self._factor, self._found_at = self._correction(), (self.sample.count, self.guessed)

    def corrections(self) -> float:
        """What the corrections add to `baseline`."""
        self._correct()
        return self._added

    def _correct(self) -> None:
        """Correct the guesses since the last call of the holdout by what it has told until then, if that is enough."""
        if self._enough():
            self._added += (self._factor - 1) * (self.guessed - self._corrected)
            self._corrected = self.guessed

    def _enough(self) -> bool:
        return self.sample.count >= FEW and self.sample.draws >= FEW_DRAWS

    def _correction(self) -> float:
        """What the guesses are off by, drawn towards 1 as far as the holdout is too small to tell.

        What is known for sure must not be scaled, so a small part that was guessed takes the whole difference, and its
        factor is as unsure as that part is small.
        """
        if not self.guessed:
            return 1.0
        calls = self.stratum()
        off = (calls.value() - self.baseline) / self.guessed
        noise = sum(error * error for _, error in calls.errors()) / self.guessed**2
        return 1 + off * _DOUBT**2 / (_DOUBT**2 + noise)

    def stratum(self) -> Stratum:
        return Stratum(self.sample, self.treated, self.size)

    def unknown(self) -> str:
        """Why the holdout says nothing about these calls, "" where it does."""
        if self.sample.count < FEW:
            return f"{self.sample.count} calls in the holdout, {FEW} needed"
        if not self._enough():
            return f"{self.sample.draws} conversations in the holdout, {FEW_DRAWS} needed"
        if not self.treated:
            return "no call outside the holdout"
        if self.unpriced > _UNPRICED * (self.treated + self.sample.count):
            return f"{self.unpriced} calls without a price"
        return ""

    def comparison(self, feature: str, model: str) -> Comparison:
        why = self.unknown()
        return _compared(feature, model, [self], measured=not why, unknown=why)


class Holdout:
    """Adds up ledger records, and compares.

    The share must be the same over all records of a feature and model, and so should be what the tactics are allowed to do
    there: compare periods in which they differ apart.
    """

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], _Calls] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one ledger record (see `Ledger.records`), in the order of time."""
        priced, before = entry["bill"], entry["baseline"]
        actual: Nano = priced["actual"]
        if not before["made"]:  # nobody asked for it: no call of the app's, but its cost is one of the treated
            if actual:
                key = entry["feature"], entry["requested_model"]
                (self._calls.get(key) or self._new(key)).actual += actual
            return
        key = entry["feature"], entry["requested_model"]
        calls = self._calls.get(key) or self._new(key)
        if priced["unpriced"]:
            calls.unpriced += 1
            return
        size: int = before["usage"].get("input_tokens", 0)
        if "extra" in entry and entry["extra"].get("holdout"):
            calls.hold(_group(entry), size, actual)
            return
        # Nearly every call comes to here, and a call of a function more would be a tenth of a report.
        baseline: Nano = priced["baseline"]
        calls.treated += 1
        calls.size += size
        calls.baseline += baseline
        calls.actual += actual
        if entry["patches"]:
            calls.guessed += baseline

    def rows(self) -> list[Comparison]:
        """Each feature and model, the dearest first."""
        rows = [calls.comparison(*key) for key, calls in self._calls.items()]
        return sorted(rows, key=lambda row: (-row.baseline, row.feature, row.model))

    def by_feature(self) -> dict[str, Comparison]:
        """For each feature, the sum of its models that are known; `unknown` where there are none."""
        known: dict[str, list[_Calls]] = {}
        for (feature, _), calls in self._calls.items():
            known.setdefault(feature, []).extend([] if calls.unknown() else [calls])
        return {
            feature: _compared(feature, "", calls, measured=bool(calls), unknown="" if calls else "too few calls")
            for feature, calls in known.items()
        }

    def total(self) -> Comparison:
        """The sum of all rows that are known; `unknown` if there are none."""
        known = [calls for calls in self._calls.values() if not calls.unknown()]
        return _compared("", "", known, measured=bool(known), unknown="" if known else "no feature with enough calls")

    def _new(self, key: tuple[str, str]) -> _Calls:
        if len(self._calls) >= _STRATA:
            key = (OTHERS, OTHERS)
        return self._calls.setdefault(key, _Calls())


def compare(entries: Iterable[Mapping[str, Any]]) -> Holdout:
    """Add up ledger records in one pass."""
    holdout = Holdout()
    for entry in entries:
        holdout.add(entry)
    return holdout


def _compared(feature: str, model: str, calls: list[_Calls], *, measured: bool, unknown: str) -> Comparison:
    baseline, actual = sum(one.baseline for one in calls), sum(one.actual for one in calls)
    found = None
    if measured:
        cost = total([one.stratum() for one in calls])
        found = Estimate(cost.value - actual, cost.low - actual, cost.high - actual)
    return Comparison(
        feature,
        model,
        treated=sum(one.treated for one in calls),
        held=sum(one.sample.count for one in calls),
        baseline=baseline,
        booked=baseline - actual,
        corrected=baseline - actual + round(sum(one.corrections() for one in calls)),
        measured=found,
        unknown=unknown,
    )


def _group(entry: Mapping[str, Any]) -> int:
    """The group of a call's conversation, by another hash than the one that drew it."""
    unit = _unit(entry["tenant"], entry["session"], entry["id"])
    return int.from_bytes(blake2b(unit, digest_size=4).digest()) % GROUPS
