"""Decides, for each request of a task, who answers: the student, a cheap model that confirms it, or the teacher.

Chance draws the audits before anything else is looked at, so that what they show holds for all requests. All that is seen
is told to the other workers, and what they have seen is taken in; a student goes down in all of them alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, TypeAlias

from thrift_plugins.distillation.forms import Answer
from thrift_plugins.distillation.heads import Opinion
from thrift_plugins.distillation.life import DIGITS, Broken, Compared, Life, News, Seen, State, Terms
from thrift_plugins.distillation.student import CHANGED, Student, Unreadable
from thrift_plugins.forks import new_rlock
from thrift_plugins.types import Reply, Request, Tier

Act: TypeAlias = Literal["answer", "confirm", "compare", "ask"]
"""The student answers; a cheap model is asked, and believed where it says one of the student's two first choices; the teacher
is asked and compared; the teacher is asked."""

_UNLIKE: Final = 50
"""Requests in a row with another prompt, after which that is not a stray one."""

_AT_ONCE: Final = 20
"""News after which the others are told."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How students serve.

    Attributes:
        audit: share of requests of an active student that the teacher answers too.
        canary: share of requests that a canary may answer; at most all but the audits.
        confirms: whether a cheaper model is asked where the student is not sure.
        tenants: whose requests students look at; none for all.
    """

    audit: float = 0.02
    canary: float = 0.2
    confirms: bool = True
    tenants: Sequence[str] = ()


class Verdict(NamedTuple):
    """Who answers.

    Attributes:
        why: in a few words.
        reply: the student's answer, where it has one.
        state: of the student.
        teacher: the model that the app would ask.
    """

    task: str
    act: Act
    why: str
    state: State
    opinion: Opinion | None = None
    reply: Reply | None = None
    teacher: str = ""


@dataclass(slots=True)
class _Serving:
    student: Student
    life: Life
    news: list[News] = field(default_factory=list)
    seen: list[int] = field(default_factory=lambda: [0, 0])
    unlike: int = 0
    names: set[str] = field(default_factory=set)

    def follows(self, model: str) -> bool:
        """Whether a model is the student's teacher, by its name or by what it has answered under."""
        return model in self.names or same_model(self.student.teacher, model)


class Students:
    """The students of an app, by task: a task is a feature of the app. Thread-safe.

    Args:
        students: task to student.
        terms: by what they go up and down.
        manner: how they serve.
        every: the task of all requests; "" where each request's feature is its task.
    """

    def __init__(self, students: Mapping[str, Student], terms: Terms, manner: Manner, *, every: str = "") -> None:
        self._manner, self._every = manner, every
        self._lock = new_rlock()
        self._tasks = {
            task: _Serving(student, Life(student.version, terms_for(student, terms))) for task, student in students.items()
        }

    @property
    def tasks(self) -> tuple[str, ...]:
        """Their tasks."""
        return tuple(self._tasks)

    def consider(self, request: Request, teacher: Tier) -> Verdict | None:
        """Who answers a request; None where there is no student for it.

        Args:
            teacher: whom the app would ask.
        """
        task = self._every or request.scope.feature
        serving, tenants = self._tasks.get(task), self._manner.tenants
        if serving is None or (tenants and request.scope.tenant not in tenants):
            return None
        student, life = serving.student, serving.life
        if life.state == "demoted":
            return Verdict(task, "ask", f"demoted: {life.why}", life.state)
        try:
            opinion = student.opinion(request)
        except Unreadable as error:
            self._unlike(serving, str(error), request.at)
            return Verdict(task, "ask", str(error), life.state, teacher=teacher.model)
        opinion = opinion._replace(chance=round(opinion.chance, DIGITS), familiar=round(opinion.familiar, DIGITS))
        verdict = self._verdict(task, serving, request, opinion)._replace(teacher=teacher.model)
        if serving.follows(teacher.model):
            return verdict
        why = f"{teacher.model} is asked whether it is {student.teacher}"  # a deployment's name says nothing
        return verdict._replace(act="compare", why=why, reply=None)

    def _verdict(self, task: str, serving: _Serving, request: Request, opinion: Opinion) -> Verdict:
        life, manner = serving.life, self._manner
        with self._lock:
            serving.unlike = 0
            serving.seen[0] += 1
            serving.seen[1] += opinion.familiar < life.strange
            if serving.seen[0] >= _AT_ONCE:
                self._flush(serving, request.at)
        told = f"{opinion.chance:.2f} sure, and {life.threshold:.2f} is needed"
        if life.state == "shadow":
            return Verdict(task, "compare", "in the shadow", life.state, opinion)
        compared = max(manner.audit, 1 - manner.canary) if life.state == "canary" else manner.audit
        if _drawn(request.lot) < compared:
            why = "audit" if life.state == "active" else "not this canary's"
            return Verdict(task, "compare", why, life.state, opinion)
        reply = serving.student.form.reply(opinion.values, request)
        if opinion.chance >= life.threshold:
            return Verdict(task, "answer", told, life.state, opinion, reply)
        if manner.confirms:
            return Verdict(task, "confirm", told, life.state, opinion, reply)
        return Verdict(task, "ask", told, life.state, opinion)

    def confirms(self, verdict: Verdict, reply: Reply) -> bool:
        """Whether another model's answer is one of the two that the student thinks likely, part by part."""
        form = self._tasks[verdict.task].student.form
        parts, opinion = form.parts(Answer.of(reply)), verdict.opinion
        if parts is None or opinion is None or parts.keys() != opinion.values.keys():
            return False
        return all(
            _same(value, opinion.values[name]) or _same(value, opinion.others[name]) for name, value in parts.items()
        )

    def compare(self, verdict: Verdict, reply: Reply, now: float) -> bool | None:
        """Take note of what the teacher said where it was asked by chance. Gives whether the student agrees."""
        serving = self._tasks[verdict.task]
        student, opinion = serving.student, verdict.opinion
        told = reply.model or verdict.teacher
        if not serving.follows(told):
            self._tell(serving, Broken(f"another teacher: {told}, and it follows {student.teacher}"), now)
            return None
        if reply.model:
            serving.names.add(verdict.teacher)
        if opinion is None or verdict.act != "compare":
            return None
        parts = student.form.parts(Answer.of(reply))
        right = parts is not None and all(_same(parts[name], value) for name, value in opinion.values.items())
        self._tell(serving, Compared(opinion.chance, right, opinion.familiar), now)
        return right

    # The lives, which all workers share ---------------------------------------------------------------------------

    def lives(self) -> dict[str, Life]:
        """The students' lives as they are known here."""
        return {task: serving.life for task, serving in self._tasks.items()}

    def trust(self, task: str, now: float) -> bool:
        """Let a new student answer by the certificate of its training; one that has lived already is left as it is.

        Returns:
            Whether it may answer now.
        """
        serving = self._tasks[task]
        with self._lock:
            life, student = serving.life, serving.student
            fresh = life.state == "shadow" and not life.compared
            like_all = not student.about.get("routed")  # what a router has chosen is harder, or easier, than the rest
            return fresh and like_all and life.trust(student.certificate, student.usual, now)

    @property
    def urgent(self) -> bool:
        """Whether there is news that cannot wait: a student has gone down."""
        return any(serving.news and serving.life.state == "demoted" for serving in self._tasks.values())

    def waiting(self, task: str) -> bool:
        """Whether there is anything to tell the others."""
        serving = self._tasks[task]
        return bool(serving.news or serving.seen[0])

    def drain(self, task: str) -> list[News]:
        """What was seen here and is not told yet."""
        serving = self._tasks[task]
        with self._lock:
            self._count(serving)
            news, serving.news = serving.news, []
        return news

    def restore(self, task: str, news: list[News]) -> None:
        """What could not be told: it is told next time."""
        with self._lock:
            self._tasks[task].news = [*news, *self._tasks[task].news]

    def adopt(self, task: str, life: Life, now: float) -> None:
        """Take over what all workers know, with what was seen here meanwhile."""
        serving = self._tasks[task]
        with self._lock:
            for news in serving.news:
                life.take(news, now)
            serving.life = life

    def terms(self, task: str) -> Terms:
        """By what a student goes up and down."""
        return self._tasks[task].life.terms

    def _tell(self, serving: _Serving, news: News, now: float) -> None:
        with self._lock:
            if serving.life.state == "demoted":  # nothing is new of a student that does nothing
                return
            self._flush(serving, now)
            serving.life.take(news, now)
            serving.news.append(news)

    def _flush(self, serving: _Serving, now: float) -> None:
        if serving.seen[0]:
            serving.life.take(Seen(*serving.seen), now)
            self._count(serving)

    @staticmethod
    def _count(serving: _Serving) -> None:
        if serving.seen[0]:
            serving.news.append(Seen(*serving.seen))
            serving.seen = [0, 0]

    def _unlike(self, serving: _Serving, why: str, now: float) -> None:
        with self._lock:
            serving.unlike += why == CHANGED
            changed = serving.unlike == _UNLIKE
        if changed:
            self._tell(serving, Broken(CHANGED), now)


def terms_for(student: Student, terms: Terms) -> Terms:
    """The app's terms, with what this student has promised."""
    return replace(terms, agreement=student.certificate.agreement)


def same_model(known: str, told: str) -> bool:
    """Whether two names are one model's: the alias under which it is asked, and the snapshot that answers."""
    if not known or not told:
        return True
    shorter, longer = sorted((known.rpartition("/")[2], told.rpartition("/")[2]), key=len)
    rest = longer.removeprefix(shorter)
    return known == told or (longer.startswith(shorter) and (rest == "" or (rest[0] in "-@" and rest[1:2].isdigit())))


def _same(one: object, other: object) -> bool:
    """Equal, where True is not 1."""
    return type(one) is type(other) and one == other


def _drawn(request: str) -> float:
    """A number from 0 to 1 that chance has given to a request."""
    return int.from_bytes(blake2b(request.encode(), digest_size=6, person=b"student").digest(), "big") / 2**48
