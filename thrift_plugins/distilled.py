"""The student's part in the flow of one call: it answers, a cheap model confirms what it is not sure of, or the teacher is asked.

Answers of the teacher are written down to learn from where the app wants that, whether there is a student yet or not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from thrift_plugins.effects import Append, Effect, Flow, Replay
from thrift_plugins.errors import BudgetExceeded, StoreError, UnknownModelPrice
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.ledger.event import Event
from thrift_plugins.shape import misfit
from thrift_plugins.types import Decision, Json, Reply, Request, Tier, Usage


class Said(Protocol):
    """What the students make of a request; see `distillation.serving.Verdict`."""

    @property
    def task(self) -> str: ...
    @property
    def act(self) -> Literal["answer", "confirm", "compare", "ask"]: ...
    @property
    def why(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reply(self) -> Reply | None: ...


class Pupils(Protocol):
    """The students of an app; see `distillation.serving.Students`."""

    def consider(self, request: Request, teacher: Tier) -> Said | None: ...
    def confirms(self, verdict: Any, reply: Reply) -> bool: ...
    def compare(self, verdict: Any, reply: Reply, now: float) -> bool | None: ...


How: TypeAlias = Literal["random", "routed", "deferred"]
"""Why the teacher was asked; see `distillation.dataset.How`."""


class Recording(Protocol):
    """Writes down what a teacher has answered; see `distillation.recorder.Recorder`."""

    def record(self, request: Request, reply: Reply, *, how: How = "random") -> None: ...


class Asking(Protocol):
    """Asks a tier for an answer that the app does not see, or not yet."""

    def unshown(self, decision: Decision) -> Generator[Effect, Any, tuple[Reply | None, Usage, Tier]]: ...


@dataclass(frozen=True, slots=True)
class Given:
    """An answer for which the teacher was not asked.

    Attributes:
        event: books it.
    """

    reply: Reply
    decision: Decision
    event: Callable[[], Event]

    def shown(self) -> Flow:
        """Show it, and book it."""
        try:
            yield Replay(self.reply, self.decision)
        finally:
            yield Append(self.event())


@dataclass(slots=True)
class Distilled:
    """The student's steps of one call.

    Args:
        pupils: the students of the app, if it has any.
        recorder: who writes down the teacher's answers, if somebody does.
        tiers: the app's models.
        baseline: index of the teacher.
    """

    pupils: Pupils | None
    recorder: Recording | None
    request: Request
    booking: Booking
    tiers: Sequence[Tier]
    baseline: int
    refused: bool = False
    _said: Said | None = field(default=None, init=False)

    def answer(self, asking: Asking, cheaper: Callable[[], int | None]) -> Generator[Effect, Any, Given | None]:
        """The answer that needs no teacher; None where he must be asked.

        Args:
            cheaper: gives the index of the cheapest tier that can serve the request and is not the teacher.
        """
        said = self._considered()
        if said is None:
            return None
        if said.act == "answer" and said.reply is not None:
            odd = misfit(self.request, said.reply)  # the teacher itself has said so once, against the schema
            if odd is None:
                return self._given(said, said.reply)
            self.booking.note(f"student: {odd}")
            return None
        if said.act == "confirm":
            index = cheaper()
            if index is not None:
                return (yield from self._confirmed(said, asking, index))
        self.booking.note(f"student: {said.why}")
        return None

    @property
    def teacher(self) -> Decision | None:
        """Whom to ask, where the student says that it must be the teacher: to compare, or since a cheap model has failed."""
        said = self._said
        if said is None or not (self.refused or said.act == "compare"):
            return None
        return Decision(self.baseline, self.tiers[self.baseline].name, "student", (said.why,))

    def taught(self, reply: Reply, tier: str, policy: str) -> None:
        """A model has answered: compare, and write it down, if it was the teacher.

        Args:
            policy: who had chosen that model.
        """
        said, request = self._said, self.request
        if tier != self.tiers[self.baseline].name or _remembered(reply):
            return
        try:
            if said is not None and self.pupils is not None:
                agreed = self.pupils.compare(said, reply, request.at)
                if said.act == "compare":
                    told: dict[str, Json] = {"task": said.task, "state": said.state, "audit": True, "agreed": agreed}
                    self.booking.distilled(told)
            if self.recorder is not None:
                self.recorder.record(request, reply, how=self._how(policy))
        except Exception as error:  # noqa: BLE001  the answer is paid for; what is learnt from it is only an optimisation
            self.booking.fallback(f"student: answer not learnt from ({type(error).__name__})")

    def _how(self, policy: str) -> How:
        said = self._said
        if said is not None and said.act != "compare" and said.state in _SERVING:
            return "deferred"
        return "random" if policy in _LIKE_ALL else "routed"

    def _considered(self) -> Said | None:
        if self.pupils is None:
            return None
        try:
            self._said = self.pupils.consider(self.request, self.tiers[self.baseline])
        except Exception as error:  # noqa: BLE001  an embedder may be the app's own; the teacher answers
            self.booking.fallback(f"student: failed ({type(error).__name__}), teacher asked")
        return self._said

    def _given(self, said: Said, reply: Reply) -> Given:
        tier = self.tiers[self.baseline]
        decision = Decision(self.baseline, tier.name, "student", (f"student, {said.why}",))
        usage = self.booking.as_if(reply, tier)
        reply = replace(reply.given_by(tier.name, usage), model=reply.model or tier.model)
        self.booking.routed(decision)
        self.booking.distilled({"task": said.task, "state": said.state, "answer": "student"})
        return Given(reply, decision, lambda: self.booking.by_student(usage, reply.finish_reason))

    def _confirmed(self, said: Said, asking: Asking, index: int) -> Generator[Effect, Any, Given | None]:
        """Ask a cheap model, and take its answer where the student thinks it likely too."""
        tier = self.tiers[index]
        decision = Decision(index, tier.name, "student", (f"confirms the student, {said.why}",))
        try:
            reply, usage, tier = yield from asking.unshown(decision)
        except (BudgetExceeded, UnknownModelPrice, StoreError) as error:
            self.booking.fallback(f"student: {tier.name} not asked to confirm ({type(error).__name__})")
            return None
        if reply is None or misfit(self.request, reply) or self.pupils is None or not self.pupils.confirms(said, reply):
            self.booking.unconfirmed(tier, usage)
            self.booking.note(f"student: {tier.name} does not confirm")
            self.refused = True
            return None
        self.booking.routed(decision)
        self.booking.distilled({"task": said.task, "state": said.state, "answer": "confirmed"})
        return Given(reply, decision, lambda: self.booking.confirmed(tier, usage, reply.finish_reason))


_SERVING = ("canary", "active")

_LIKE_ALL = ("baseline", "holdout", "forced", "student", "unpriced")
"""Who chooses a model whatever is asked: no router that looks at the request, and none that had another model tried first."""


def _remembered(reply: Reply) -> bool:
    """Whether a model's own cache has answered, which says that nothing was used: that is no new word of the teacher."""
    return reply.usage == Usage(source="provider")
