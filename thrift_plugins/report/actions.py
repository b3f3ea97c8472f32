"""What to do next, the dearest first. Amounts are those of the time that is reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from thrift_plugins.ledger.flaws import Arm
from thrift_plugins.ledger.leaks import Leaks
from thrift_plugins.ledger.rollup import Rollup
from thrift_plugins.ledger.summary import Line
from thrift_plugins.report.waterfall import Checked
from thrift_plugins.report.wording import counted
from thrift_plugins.types import Nano

Basis: TypeAlias = Literal["booked", "modelled", "unknown"]

_ENOUGH: Final = 100
"""Calls of a feature, below which nothing is concluded for another one, nor about a tactic in it."""
_SMALL: Final = 1_000
"""A share of one in so many of the bill is not worth anybody's time."""
_NO_TACTIC: Final = frozenset({"retries"})
"""What has overheads and is nobody's tactic."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do.

    Attributes:
        amount: what it is about, in nano-dollars of the time that is reported; None where nobody knows.
        basis: "booked" is in the ledger, "modelled" is what another feature did.
        what: an instruction.
        why: the evidence for it.
    """

    amount: Nano | None
    basis: Basis
    what: str
    why: str


def actions(rollup: Rollup, check: Checked) -> list[Action]:
    """What to do next: first those with the most money in them, then those of which nobody knows how much."""
    found = [*_flawed(rollup), *_losing(rollup), *_elsewhere(rollup), *_lost_answers(rollup.total)]
    least = max(1, rollup.total.baseline // _SMALL)
    dear = [action for action in found if action.amount is not None and action.amount >= least]
    dear.sort(key=lambda action: (-(action.amount or 0), action.what))
    return [*dear, *_unknown(rollup, check)]


def _flawed(rollup: Rollup) -> Iterator[Action]:
    """Answers that were paid and of no or little use."""
    todo = {
        "cut": ("Raise the limit on answers of {}, or ask for shorter ones", "cut at their limit, and paid"),
        "refused": ("See why answers of {} are refused", "refused or filtered, and paid"),
        "failed": ("See why calls of {} fail", "that failed, and were paid"),
    }
    every: dict[str, Arm] = {}
    for arms in (rollup.flaws.treated, rollup.flaws.held):
        for feature, arm in arms.items():
            every.setdefault(feature, Arm()).merge(arm)
    for feature, arm in every.items():
        for kind, amount in arm.paid.items():
            what, why = todo[kind]
            yield Action(amount, "booked", what.format(_named(feature)), f"{counted(arm.flaws[kind], 'answer')} {why}")


def _losing(rollup: Rollup) -> Iterator[Action]:
    """Tactics that cost a feature more than they save it."""
    for feature, line in rollup.by["feature"].items():
        for tactic in _tactics(line):
            net = _net(line, tactic)
            if net < 0 and line.requests >= _ENOUGH:
                yield Action(
                    -net,
                    "booked",
                    f"Leave {_named(feature)} out of {tactic}",
                    f"over {counted(line.requests, 'call')} it cost more than it saved",
                )


def _elsewhere(rollup: Rollup) -> Iterator[Action]:
    """For each feature the tactic that would save most there, of those that do nothing there yet.

    How much is told by the feature in which it saves least, and from what is paid now, after what the others have saved. They
    would act on the same calls, so only one is named.
    """
    features = {name: line for name, line in rollup.by["feature"].items() if line.requests >= _ENOUGH and line.actual > 0}
    best: dict[str, Action] = {}
    for tactic in sorted(_tactics(rollup.total)):
        shares = {name: _net(line, tactic) / line.baseline for name, line in features.items() if tactic in _tactics(line)}
        if not shares:
            continue
        example = min(shares, key=lambda name: shares[name])
        why = f"modelled: if it saves there what it saves in {_named(example)}, {shares[example]:.1%}, where it saves least"
        for feature in features.keys() - shares.keys():
            amount = int(shares[example] * features[feature].actual)
            if feature not in best or amount > (best[feature].amount or 0):
                best[feature] = Action(amount, "modelled", f"Try {tactic} for {_named(feature)}", why)
    yield from best.values()


def _lost_answers(line: Line) -> Iterator[Action]:
    lost = -line.overheads.get("retries", 0)
    if lost:
        why = "SDKs asked again after answers that had been lost, and may have been paid"
        yield Action(lost, "booked", "See why answers get lost: timeouts that are too short, a gateway", why)


def _unknown(rollup: Rollup, check: Checked) -> Iterator[Action]:
    leaks: Leaks = rollup.leaks
    if not _tactics(rollup.total) and rollup.total.requests:
        yield Action(None, "unknown", "Turn a tactic on", "none has done anything yet: 'thrift-plugins doctor' says what is on")
    if check.agrees is False:
        why = "its measure does not have the ledger's claim in its interval; the holdout is the one to believe"
        yield Action(None, "unknown", "See why the holdout disagrees", why)
    if leaks.unpriced:
        models, calls = len(leaks.unpriced), leaks.unpriced.total()
        yield Action(None, "unknown", f"Give prices for {counted(models, 'model')}", f"{counted(calls, 'call')} in no sum")
    if leaks.lost:
        yield Action(None, "unknown", "See why the ledger was down", f"{counted(leaks.lost, 'event')} in no sum")
    if leaks.orphans:
        why = f"{counted(leaks.orphans, 'call')} that died with a process, and were charged to their budgets"
        yield Action(None, "unknown", "See why processes die", why)
    if check.measured is None and _tactics(rollup.total):
        yield Action(None, "unknown", "Let the holdout grow", "so far nothing but the ledger says what was saved ('ledger.holdout')")


def _tactics(line: Line) -> set[str]:
    return {*line.by_tactic, *line.overheads} - _NO_TACTIC


def _net(line: Line, tactic: str) -> Nano:
    return line.by_tactic.get(tactic, 0) + line.overheads.get(tactic, 0)


def _named(feature: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{feature}\N{RIGHT DOUBLE QUOTATION MARK}" if feature else "calls without a feature"
