"""The gate: watches what every tactic does to the answers of every feature, and takes a tactic off where it harms them.

A share of the answers that a tactic has touched is compared with what would have been answered without it, the others of the
call left as they are; where several have acted, now and then without all of them. What is compared is asked in the
background, on a budget of its own. Flawed answers and complaints are counted on all traffic.

All processes of a store fold the same judgements. What is rolled back stays so until a person says otherwise: nobody can
see whether it would do better now, as long as it is off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from threading import RLock
from typing import Any, Final, NamedTuple

import orjson

from thrift_plugins.forks import renew_after_fork
from thrift_plugins.quality.flaws import Flaw, Refusing, flaws, nobody_refuses
from thrift_plugins.quality.judge import LOSS, Judge, Judgement
from thrift_plugins.quality.traffic import Traffic
from thrift_plugins.quality.trial import Limits, Standing, Trial
from thrift_plugins.types import Reply, Request

ALL: Final = "all"
"""All tactics that act on a call together, in the place of one."""

_SELDOM: Final = 0.25
"""Of the share that is compared, for a tactic that holds: it is watched on, for less."""

_MOST_TRIALS: Final = 4_096
_TELL_AGAIN: Final = 86_400.0
"""Seconds after which others are told anew of what is off: a feed forgets."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the gate keeps to.

    Attributes:
        margin: the drop that is tolerated: the share of worse answers above that of better ones.
        share: of the answers that a tactic has touched, those that are compared.
        rolls_back: whether a tactic that breaks the margin is taken off.
    """

    margin: float = 0.02
    share: float = 0.05
    rolls_back: bool = True


class Rolled(NamedTuple):
    """A tactic was taken off a feature, for the ledger."""

    tactic: str
    feature: str
    at: float
    why: str


class _Off(NamedTuple):
    at: float
    why: str


_Key = tuple[str, str]
_NOTHING: Final[frozenset[str]] = frozenset()


class Gate:
    """Decides what is compared, keeps what came of it, and says which tactics are off. Thread-safe.

    Args:
        judge: compares two answers.
        refusing: reads refusals from the words of an answer.
    """

    def __init__(self, terms: Terms, judge: Judge, *, refusing: Refusing = nobody_refuses) -> None:
        self.terms, self.judge = terms, judge
        self._refusing = refusing
        calibration = judge.calibration
        self.limits = Limits(calibration.holds_below(terms.margin), calibration.broken_above(terms.margin))
        self._trials: OrderedDict[_Key, Trial] = OrderedDict()
        self._off: dict[_Key, _Off] = {}
        self._off_by_feature: Mapping[str, frozenset[str]] = {}
        self._begun: dict[str, float] = {}
        self._allowed: dict[_Key, float] = {}
        self._traffic = Traffic()
        self._news: list[dict[str, Any]] = []
        self._told: dict[_Key, float] = {}
        self._unbooked: list[Rolled] = []
        self._now = 0.0
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """A lock of this process's own, and news of its own."""
        self._lock = RLock()
        self._news = []

    # Before and after a call ----------------------------------------------------------------------------------------

    def off(self, feature: str) -> frozenset[str]:
        """The tactics that are rolled back in a feature."""
        return self._off_by_feature.get(feature, _NOTHING)

    def flaws(self, request: Request, reply: Reply) -> tuple[Flaw, ...]:
        """What is wrong with an answer by itself. Never raises: an answer may hold anything."""
        try:
            return flaws(request, reply, self._refusing)
        except Exception:  # noqa: BLE001
            return ()

    def answered(self, request: Request, found: tuple[Flaw, ...], *, held: bool) -> tuple[str | None, list[Rolled]]:
        """A call was answered: counts what is wrong with it.

        Args:
            held: whether no tactic has touched it.

        Returns:
            The call that it repeats in other words, and what follows from all that is known.
        """
        with self._lock:
            self._now = max(self._now, request.at)
            before = self._traffic.answered(request, found, held=held)
            for feature, excess in self._traffic.excess():
                self._tell(request.at, "excess", feature, excess)
                self._complained(feature, excess, request.at)
            return before, self._rolled_back()

    def feedback(self, call: str, at: float, *, good: bool) -> str | None:
        """What a reader thinks of an answer. Returns its feature, None where another process has to know it."""
        with self._lock:
            feature = self._traffic.feedback(call, good=good)
            if feature is None:
                self._tell(at, "feedback", call, good)
            return feature

    def draw(self, request: Request, touched: frozenset[str], reply: Reply) -> str | None:
        """The tactic without which a call is to be made once more, `ALL` for all of them, None for none.

        Only what was known before the answer decides.

        Args:
            touched: the tactics that have acted on it.
        """
        if not touched:
            return None
        digest = int.from_bytes(
            blake2b(request.lot.encode("utf-8", "replace"), digest_size=8, person=b"shadow").digest()
        )
        aims = [*sorted(touched), ALL] if len(touched) > 1 else list(touched)
        aim = aims[digest % len(aims)]
        trial = self._trials.get((aim, request.scope.feature))
        share = self.terms.share * (_SELDOM if trial is not None and trial.verdict == "holds" else 1.0)
        if (digest >> 8) % 2**32 >= share * 2**32:
            return None
        if not self.judge.reads(request, reply):
            with self._lock:  # what follows from what others have told is for whoever books it
                self._note(aim, request.scope.feature, None, request.at)
            return None
        return aim

    def compared(self, tactic: str, feature: str, judgement: Judgement | None, at: float) -> list[Rolled]:
        """What a comparison came to. Returns what follows from all that is known."""
        with self._lock:
            self._note(tactic, feature, judgement, at)
            return self._rolled_back()

    def _note(self, tactic: str, feature: str, judgement: Judgement | None, at: float) -> None:
        loss = None if judgement is None else LOSS[judgement]
        self._now = max(self._now, at)
        self._tell(at, "judged", tactic, feature, loss, *self.limits)
        self._judged(tactic, feature, loss, self.limits, at)

    def unasked(self, tactic: str, feature: str, at: float) -> None:
        """There was no room in the budget for a comparison."""
        with self._lock:
            self._tell(at, "unasked", tactic, feature)
            self._trial(tactic, feature, None).unasked += 1

    def allow(self, tactic: str, feature: str, at: float) -> bool:
        """Take back that a tactic was rolled back; what is known of the feature begins anew. Returns whether it was."""
        with self._lock:
            self._tell(at, "allow", tactic, feature)
            return self._allow(tactic, feature, at)

    # For people -----------------------------------------------------------------------------------------------------

    def standings(self) -> list[Standing]:
        """How every tactic does in every feature: what is broken first, then by how much was compared."""
        with self._lock:
            found = []
            for key in {*self._trials, *self._off}:
                trial = self._trials.get(key) or self._new(key[0], self.limits)
                standing = trial.standing(*key)
                off = self._off.get(key)
                if off is not None:
                    standing = replace(standing, verdict="broken", off_since=off.at, why=off.why)
                found.append(standing)
        order = {"broken": 0, "holds": 1, "not known yet": 2}
        return sorted(found, key=lambda one: (order[one.verdict], -one.compared, one.feature, one.tactic))

    # Other processes ------------------------------------------------------------------------------------------------

    def drain(self) -> str:
        """What others have not heard of yet, as JSON, and now and then what is off."""
        with self._lock:
            for key, off in self._off.items():
                if self._now - self._told.get(key, 0.0) >= _TELL_AGAIN:
                    self._tell(off.at, "off", *key, off.why)
                    self._told[key] = self._now
            news, self._news = self._news, []
        return orjson.dumps(news).decode() if news else ""

    def merge(self, text: str) -> None:
        """Take in what another process has drained. Raises `ValueError` or the like where it is not that."""
        for line in orjson.loads(text):
            self.take(line["at"], line["what"], *line["told"])

    def take(self, at: float, what: str, *told: Any) -> None:
        """Take in one line of that, which the ledger has too (see `verdicts`). Raises as `merge` does."""
        with self._lock:
            self._now = max(self._now, float(at))
            self._fold(float(at), what, told)

    def _tell(self, at: float, what: str, *told: object) -> None:
        self._news.append({"at": at, "what": what, "told": told})

    def _fold(self, at: float, what: str, told: Sequence[Any]) -> None:
        match what, told:
            case "judged", [tactic, feature, loss, holds_below, broken_above]:
                self._judged(tactic, feature, loss, Limits(holds_below, broken_above), at)
            case "excess", [feature, excess]:
                self._complained(feature, excess, at)
            case "unasked", [tactic, feature]:
                self._trial(tactic, feature, None).unasked += 1
            case "feedback", [call, good]:
                self._traffic.feedback(call, good=good)
            case "off", [tactic, feature, why]:
                if (tactic, feature) not in self._off and at > self._allowed.get((tactic, feature), 0.0):
                    self._roll_back(tactic, feature, at, why)
            case "allow", [tactic, feature]:
                self._allow(tactic, feature, at)
            case _:
                raise ValueError(f"{what} is of another version")

    # What follows ---------------------------------------------------------------------------------------------------

    def _judged(self, tactic: str, feature: str, loss: float | None, limits: Limits, at: float) -> None:
        if at <= self._begun.get(feature, 0.0):
            return
        trial = self._trial(tactic, feature, limits)
        if loss is None:
            trial.unjudged += 1
            return
        trial.judged(loss)
        self._settle(tactic, feature, trial, at)

    def _complained(self, feature: str, excess: float, at: float) -> None:
        if at <= self._begun.get(feature, 0.0):
            return
        trial = self._trial(ALL, feature, self.limits)
        trial.complained(excess)
        self._settle(ALL, feature, trial, at)

    def _settle(self, tactic: str, feature: str, trial: Trial, at: float) -> None:
        """Take off what is broken, by whichever process's judgements; the one that finds it so books it."""
        if trial.verdict != "broken" or (tactic, feature) in self._off or not self.terms.rolls_back:
            return
        self._tell(at, "off", tactic, feature, trial.why)
        self._told[tactic, feature] = at
        self._roll_back(tactic, feature, at, trial.why)
        self._unbooked.append(Rolled(tactic, feature, at, trial.why))

    def _rolled_back(self) -> list[Rolled]:
        rolled, self._unbooked = self._unbooked, []
        return rolled

    def _roll_back(self, tactic: str, feature: str, at: float, why: str) -> None:
        """Take a tactic off a feature. The others act on other calls now, so what is known of them there begins anew."""
        self._off[tactic, feature] = _Off(at, why)
        self._begin(feature, at, besides=tactic)

    def _allow(self, tactic: str, feature: str, at: float) -> bool:
        known = self._off.get((tactic, feature))
        if known is not None and known.at >= at:
            return False
        self._allowed[tactic, feature] = at
        self._off.pop((tactic, feature), None)
        self._begin(feature, at)
        return known is not None

    def _begin(self, feature: str, at: float, besides: str = "") -> None:
        self._begun[feature] = max(at, self._begun.get(feature, 0.0))
        for key in [key for key in self._trials if key[1] == feature and key[0] != besides]:
            del self._trials[key]
        features = {name for _, name in self._off}
        self._off_by_feature = {
            name: frozenset(tactic for tactic, where in self._off if where == name) for name in features
        }

    def _trial(self, tactic: str, feature: str, limits: Limits | None) -> Trial:
        """The trial of a tactic, with these limits; None where nothing is judged."""
        trial = self._trials.get((tactic, feature))
        limits = limits or (trial.limits if trial else self.limits)
        if trial is None or trial.limits != limits:  # with another judge, what the last one has seen says nothing
            trial = self._trials[tactic, feature] = self._new(tactic, limits)
            if len(self._trials) > _MOST_TRIALS:
                self._trials.popitem(last=False)
        self._trials.move_to_end((tactic, feature))
        return trial

    def _new(self, tactic: str, limits: Limits) -> Trial:
        return Trial(limits, self.terms.margin if tactic == ALL else None)
