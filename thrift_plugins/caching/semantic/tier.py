"""The semantic tier without its store: which questions are known, which of them means the same, and whether that has been right."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from threading import Lock
from typing import NamedTuple

from thrift_plugins.caching.semantic.agree import Agree, says_the_same
from thrift_plugins.caching.semantic.asked import Asked, asked
from thrift_plugins.caching.semantic.guard import Guard, Limits, Standing
from thrift_plugins.caching.semantic.questions import Questions
from thrift_plugins.caching.semantic.records import Check, Question
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.errors import ConfigError
from thrift_plugins.forks import renew_after_fork
from thrift_plugins.text.embed import Embedder, Vectors
from thrift_plugins.types import Reply, Request

_CANDIDATES = 3
"""Nearest questions that are looked at; the fourth hardly ever is the right one."""


class Finding(NamedTuple):
    """A known question that means the same.

    Attributes:
        cosine: how near the two are.
        probability: that one answer serves both.
    """

    text: str
    cosine: float
    probability: float


class Tier:
    """What this process knows. Thread-safe, and for forks.

    Args:
        embedder: turns questions into vectors.
        verifier: judges what they find.
        limits: what the guard keeps to.
        agree: compares a stored answer with a real one.
        most: questions that are kept in memory.
        chance: gives numbers of 0 to 1.

    Raises:
        ConfigError: fewer errors are wanted than the verifier was trained for.
    """

    def __init__(
        self,
        embedder: Embedder,
        verifier: Verifier,
        limits: Limits,
        *,
        agree: Agree = says_the_same,
        most: int = 200_000,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if limits.max_errors < verifier.max_errors:
            raise ConfigError(
                f"the verifier was trained for {verifier.max_errors:.1%} of wrong answers: cache.semantic.max_errors must be "
                f"{verifier.max_errors} or more, not {limits.max_errors}"
            )
        self.readers = f"{embedder.name} {verifier.embedder.name} {verifier.threshold:.6f}"
        self._own_cosines = embedder.name == verifier.embedder.name
        self._verifier, self._agree = verifier, agree
        self._limits, self._chance = limits, chance
        self._most = most
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin with nothing, under a name of this process's own, as a forked child must.

        A thread that is not here may have been changing things, and what was seen and not told is the parent's to tell.
        """
        self._lock = Lock()
        self._questions = Questions(self._most)
        self._guard = Guard(self._limits, os.urandom(8), self._chance)

    def draw_by(self, chance: Callable[[], float]) -> None:
        """Draw what is compared by these numbers, as a replay must, which is the same each time. Before the first lookup."""
        self._chance = chance
        self.renew()

    def ask(self, request: Request) -> Asked | None:
        """What a request asks, None where its answer cannot be another question's."""
        return asked(request, self.readers)

    def why_off(self, what: Asked, now: float) -> str | None:
        """Why nothing is to be searched for, in words, or None."""
        with self._lock:
            return self._guard.why_off(what.scope, what.name, now)

    def find(self, what: Asked, vector: Vectors, now: float) -> Finding | None:
        """The likeliest known question that means the same, None where none surely does."""
        with self._lock:
            near = [
                each
                for each in self._questions.near(what.space, vector, _CANDIDATES, now)
                if each.text != what.question
            ]
        if not near:
            return None
        cosines = [each.cosine for each in near] if self._own_cosines else None
        verdicts = self._verifier.judge_many(what.question, [each.text for each in near], cosines)
        chance, best = max((verdict.probability, -place) for place, verdict in enumerate(verdicts))
        if chance < self._verifier.threshold:
            return None
        return Finding(near[-best].text, near[-best].cosine, chance)

    def missed(self, what: Asked, now: float, gone: Finding | None = None) -> None:
        """A lookup without a hit; `gone` has no answer any more."""
        with self._lock:
            self._guard.missed(what.scope, now)
            if gone is not None:
                self._questions.forget(what.space, gone.text)

    def draw(self, what: Asked, now: float) -> int | None:
        """None where a hit is to be given. Else it is to be compared with a real answer, and `compared` told of this number."""
        with self._lock:
            return self._guard.draw(what.scope, now)

    def compared(self, what: Asked, stored: Reply | None, fresh: Reply, now: float, drawn: int) -> None:
        """A hit was asked of the model all the same.

        Args:
            stored: None where it cannot be read any more.
            drawn: what `draw` gave.
        """
        agreed = None if stored is None else self._agree(what.question, stored, fresh)
        with self._lock:
            self._guard.compared(what.scope, now, drawn, agreed=agreed)

    def learn(self, what: Asked, vector: Vectors, expires: float) -> bytes:
        """A question has an answer now. The record to tell others."""
        record = Question(what.space, what.question, vector, expires).pack()
        self.take([record], [])
        return record

    def take(self, questions: Iterable[bytes], checks: Iterable[bytes]) -> None:
        """Take note of what others tell. What is not well formed is passed over."""
        read = [question for data in questions if (question := Question.unpack(data)) is not None]
        seen = [check for data in checks if (check := Check.unpack(data)) is not None]
        with self._lock:
            for question in read:
                self._questions.add(question)
            for check in seen:
                self._guard.fold(check)

    def told(self, last: float | None = None) -> list[bytes]:
        """Records of checks to tell others, each once; with `last`, the time now, of everything that was seen."""
        with self._lock:
            if last is not None:
                self._guard.flush(last)
            outbox, self._guard.outbox = self._guard.outbox, []
        return [check.pack() for check in outbox]

    def standings(self) -> list[Standing]:
        """How every scope does, the busiest first."""
        with self._lock:
            return self._guard.standings()

    def __len__(self) -> int:
        return len(self._questions)
