"""The life of one student in production, which all workers share: shadow, canary, active, demoted.

    shadow   the teacher answers; the student's opinion is compared with it
    canary   the student answers a share; the teacher answers the others, and they are compared
    active   the student answers what it may; by chance some are asked of the teacher, and compared
    demoted  the teacher answers; nothing is compared. A person, or a new version, ends it

A student goes up when what was seen in production, and not only its training, certifies it. It goes down by itself when the
audits show that it differs more often than was promised, when too many requests are unlike what it knows, and when
the prompt or the teacher is another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from thrift_plugins.distillation.certificate import Certificate, certified
from thrift_plugins.learning.risk import upper_bound
from thrift_plugins.learning.sequential import Alarm, Change

State: TypeAlias = Literal["shadow", "canary", "active", "demoted"]

FORMAT: Final = 1
_KEPT: Final = 4_000
"""Comparisons that are remembered; the latest."""

DIGITS: Final = 4
"""To which chances and familiarity are told, so that equal requests are equal in every comparison."""

_LATER: Final = 1 / 3
"""Of the doubt that is left, what a second look at the comparisons takes, and a third of what is then left: who looks as often
as he likes finds what he wants by chance at last."""

_FALSE_ALARM: Final = 0.01
_STRANGE: Final = 0.15
"""Share of what came in the shadow that is called strange: the least familiar. Most of what is really new is among it; of a smaller
share too few would be."""

_MANY: Final = 400
"""Requests beyond which the usual is not known more exactly: it changes a little from week to week."""

_SURE: Final = 0.99
"""That no more than is allowed is strange, as long as nothing changes."""

_PATIENCE: Final = 200_000.0
"""Requests after which, in the mean, nothing new is taken for something, or later."""


class Compared(NamedTuple):
    """The teacher was asked too, by chance.

    Attributes:
        chance: how sure the student was.
        right: whether it agrees.
        familiar: how much the request was like what it knows.
    """

    chance: float
    right: bool
    familiar: float


class Seen(NamedTuple):
    """Requests that came, and how many of them were strange."""

    requests: int
    strange: int


class Broken(NamedTuple):
    """Why a student can be no longer right."""

    why: str


News: TypeAlias = Compared | Seen | Broken


class Usual(NamedTuple):
    """What requests are like as long as nothing changes.

    Attributes:
        strange: familiarity below which a request is strange.
        allowed: share of requests that are strange at most, but for a chance of 1 %.
    """

    strange: float
    allowed: float


def usual_of(familiar: Sequence[float]) -> Usual:
    """What is usual where requests came that were so familiar: one or more."""
    ranked, many = sorted(familiar), min(len(familiar), _MANY)
    return Usual(round(ranked[int(_STRANGE * len(ranked))], DIGITS), upper_bound(int(_STRANGE * many), many, _SURE))


@dataclass(frozen=True, slots=True)
class Terms:
    """By what a student goes up and down.

    Attributes:
        agreement: promised share of all requests whose answer is not one that the teacher would not give.
        confidence: with which, however often the comparisons are looked at.
        shadow: comparisons before it may answer; they are looked at again when there are twice as many, and so on.
        canary: comparisons before it may answer all that it is sure of.
        worth: share of requests that it must be able to answer.
        promotes: whether it goes up by itself.
    """

    agreement: float = 0.96
    confidence: float = 0.99
    shadow: int = 400
    canary: int = 200
    worth: float = 0.25
    promotes: bool = True


@dataclass(slots=True)
class Life:
    """What is known of a student's doings. Not thread-safe.

    Attributes:
        version: of the student.
        threshold: chance from which it may answer.
        strange: how familiar a request must be, not to be strange.
        compared: chance, agreement and familiarity of the latest comparisons, since it was last put into shadow.
        audits: comparisons since it may answer, and on how many of them it would have been wrong.
        requests: that were seen since then, and how many were strange.
        looks: how often the comparisons were not enough.
        since: when it came into this state, in seconds since the epoch.
    """

    version: str
    terms: Terms
    state: State = "shadow"
    why: str = "new"
    since: float = 0.0
    threshold: float = inf
    strange: float = -inf
    allowed: float = 2 * _STRANGE
    compared: list[tuple[float, bool, float]] = field(default_factory=list)
    audits: list[int] = field(default_factory=lambda: [0, 0])
    requests: list[int] = field(default_factory=lambda: [0, 0])
    looks: int = 0
    alarm: Alarm = field(init=False)
    news: Change = field(init=False)

    def __post_init__(self) -> None:
        self.alarm = Alarm(1 - self.terms.agreement, false_alarms=_FALSE_ALARM)
        self.news = Change(self.allowed, patience=_PATIENCE)

    @property
    def answers(self) -> bool:
        """Whether the student may answer at all."""
        return self.state in ("canary", "active")

    def take(self, news: News, now: float) -> None:
        """Take note of something, and go up or down where that is due."""
        if self.state == "demoted":
            return
        match news:
            case Broken(why):
                self.demote(why, now)
            case Compared():
                self._compared(news, now)
            case Seen(requests, strange):
                self._seen(requests, strange, now)

    def demote(self, why: str, now: float) -> None:
        """The teacher answers from now on."""
        self.state, self.why, self.since = "demoted", why, now

    def restart(self, why: str, now: float) -> None:
        """Into the shadow again, with nothing known."""
        self.state, self.why, self.since, self.threshold = "shadow", why, now, inf
        self.compared, self.audits, self.requests, self.looks = [], [0, 0], [0, 0], 0
        self.__post_init__()

    def promote(self, now: float, *, why: str = "by hand") -> str:
        """One step up, if what was seen allows it.

        Returns:
            Why not; "" where it went up.
        """
        if self.state == "canary":
            self.state, self.why, self.since = "active", why, now
            return ""
        if self.state != "shadow":
            return f"it is {self.state}"
        own = self.certificate()
        if own.calibrated < self.terms.shadow:
            return f"{own.calibrated} of {self.terms.shadow} comparisons in the shadow were made"
        if not own.holds or own.coverage < self.terms.worth:
            return (
                f"{own.agreement:.0%} agreement can be promised for {own.coverage:.0%} of what came in the shadow;"
                f" {self.terms.worth:.0%} are worth it"
            )
        self.threshold = own.threshold
        self.get_used(usual_of([familiar for _, _, familiar in self.compared]))
        self.state, self.why, self.since = "canary", why, now
        return ""

    def trust(self, own: Certificate, usual: Usual | None, now: float) -> bool:
        """Answer at once, by what training has promised.

        Args:
            usual: what requests are like, as far as training can tell.

        Returns:
            Whether it may: not where nothing is promised.
        """
        if not own.holds:
            return False
        self.state, self.why, self.since, self.threshold = "active", "trusted", now, own.threshold
        if usual is not None:
            self.get_used(usual)
        return True

    def certificate(self) -> Certificate:
        """What may be promised after what was seen in production."""
        pairs = [(chance, right) for chance, right, _ in self.compared]
        doubt = (1 - self.terms.confidence) * (1 - _LATER) * _LATER**self.looks
        return certified(pairs, self.terms.agreement, confidence=1 - doubt)

    def get_used(self, usual: Usual) -> None:
        """Watch for requests that are not like these."""
        self.strange, self.allowed = usual
        self.news = Change(self.allowed, patience=_PATIENCE)

    def _look(self, now: float) -> None:
        """Go up, if there are comparisons enough for another look, and they allow it."""
        if not self.terms.promotes or len(self.compared) < self.terms.shadow * 2**self.looks:
            return
        why = self.promote(now, why="certified in the shadow")
        if why:
            self.looks, self.why = self.looks + 1, why

    def _compared(self, news: Compared, now: float) -> None:
        chance, right, familiar = news
        self.compared.append((round(chance, DIGITS), right, round(familiar, DIGITS)))
        del self.compared[: -max(_KEPT, self.terms.shadow)]
        if not self.answers:
            self._look(now)
            return
        wrong = chance >= self.threshold and not right
        self.audits = [self.audits[0] + 1, self.audits[1] + wrong]
        self.alarm.observe(int(wrong), 1)
        if self.alarm.raised:
            count, errors = self.audits
            self.demote(f"broken agreement: {errors} of {count} audits would have been wrong", now)
        elif self.state == "canary" and self.audits[0] >= self.terms.canary and self.terms.promotes:
            self.promote(now, why="held as canary")

    def _seen(self, requests: int, strange: int, now: float) -> None:
        if not self.answers:
            return
        self.requests = [self.requests[0] + requests, self.requests[1] + strange]
        self.news.observe(strange, requests)
        if self.news.raised:
            self.demote("new kinds of requests: too many are unlike what it has learnt", now)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "format": FORMAT, "version": self.version, "state": self.state, "why": self.why, "since": self.since,
            "threshold": self.threshold if isfinite(self.threshold) else None,
            "strange": self.strange if isfinite(self.strange) else None, "allowed": self.allowed,
            "compared": [[chance, int(right), familiar] for chance, right, familiar in self.compared], "audits": self.audits,
            "requests": self.requests, "looks": self.looks, "alarm": self.alarm.state(), "news": self.news.state(),
        }  # fmt: skip

    @classmethod
    def read(cls, told: Mapping[str, Any], terms: Terms) -> Life:
        """What `told` gave. Raises `KeyError`, `TypeError` or `ValueError` where it is not that."""
        if told["format"] != FORMAT or told["state"] not in get_args(State):
            raise ValueError("a life of another version")
        made = cls(str(told["version"]), terms, told["state"], str(told["why"]), float(told["since"]))
        made.threshold = inf if told["threshold"] is None else float(told["threshold"])
        made.strange = -inf if told["strange"] is None else float(told["strange"])
        made.allowed = float(told["allowed"])
        made.compared = [(float(chance), bool(right), float(known)) for chance, right, known in told["compared"]]
        made.audits, made.requests = [int(each) for each in told["audits"]], [int(each) for each in told["requests"]]
        made.looks = int(told.get("looks", 0))
        made.alarm = Alarm.resumed(1 - terms.agreement, told["alarm"], false_alarms=_FALSE_ALARM)
        made.news = Change.resumed(made.allowed, told["news"], patience=_PATIENCE)
        return made
