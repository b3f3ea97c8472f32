"""The students of an app: where their files are, and how the processes of a store come to agree on what they may do.

In a task's folder are `examples.jsonl`, what was recorded; `<version>.student`, the students that were trained on it; and
`current`, which names the version that serves and, below it, those that have served before, the latest first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from thrift_plugins.config import Config, DistillationConfig
from thrift_plugins.distillation.dataset import Dataset, write_private
from thrift_plugins.distillation.life import Life, Terms
from thrift_plugins.distillation.recorder import Recorder
from thrift_plugins.distillation.serving import Manner, Students
from thrift_plugins.distillation.student import Student, version_of
from thrift_plugins.distillation.training import Material, held_back, train
from thrift_plugins.errors import ConfigError, NotDistillable, StoreError
from thrift_plugins.forks import new_lock
from thrift_plugins.stores.base import Claim, Clock, Store
from thrift_plugins.stores.open import students_beside
from thrift_plugins.text.embed import word_embedder
from thrift_plugins.types import Json

if TYPE_CHECKING:
    from thrift_plugins.text.embed import Embedder

logger = logging.getLogger("thrift_plugins")

_EVERY: Final = 5.0
_PATIENCE: Final = 1.0
"""Seconds to wait for another process that writes: it takes a millisecond or two."""

_CURRENT: Final = "current"


def folder_of(settings: Config) -> Path:
    """Where an app's examples and students are."""
    return Path(settings.distillation.folder or students_beside(settings.store))


def open_recorder(settings: Config) -> Recorder | None:
    """Who writes down the teacher's answers, None where nobody does."""
    told = settings.distillation
    return Recorder(folder_of(settings), told.record, tenants=told.tenants) if told.record else None


def terms_of(settings: DistillationConfig) -> Terms:
    """By what students go up and down."""
    return Terms(settings.agreement, shadow=settings.shadow, canary=settings.canary_for, promotes=settings.promotes)


def manner_of(settings: DistillationConfig) -> Manner:
    """How students serve."""
    return Manner(settings.audit, settings.canary, settings.confirms, settings.tenants)


def open_school(settings: Config, store: Store, embedder: Embedder | None, clock: Clock) -> School | None:
    """The students of an app, None where it has none.

    Raises:
        ConfigError: a student that cannot be read, or a task that has none.
    """
    told = settings.distillation
    if not told.enabled:
        return None
    folder = folder_of(settings)
    named = told.tasks or sorted(path.parent.name for path in folder.glob(f"*/{_CURRENT}"))
    students = {task: current(folder, task, embedder) for task in named}
    school = School(Students(students, terms_of(told), manner_of(told)), store, clock)
    school.exchange()  # what they may do is known before the first call, where the store answers
    return school


def current(folder: Path, task: str, embedder: Embedder | None = None) -> Student:
    """The student of a task that serves.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    version = next(iter(versions(folder, task)), "")
    if not version:
        raise ConfigError(
            f"there is no student for {task!r} in {folder}: record answers, then `thrift-plugins distill run {task}`"
        )
    student = Student.load(student_path(folder, task, version), embedder)
    if student.version != version or student.task != task:
        raise ConfigError(f"the student of {task!r} is not the one that `current` names: train it anew, or roll back")
    return student


def student_path(folder: Path, task: str, version: str) -> Path:
    """The file of one version."""
    if not version.isalnum():
        raise ConfigError(f"{version!r} is no version of a student")
    return Dataset(folder, task).folder / f"{version}.student"


def versions(folder: Path, task: str) -> list[str]:
    """The version that serves, and those that have served before it, the latest first. No clock has a say in that."""
    try:
        return (Dataset(folder, task).folder / _CURRENT).read_text().split()
    except OSError:
        return []


def make_current(folder: Path, task: str, version: str, *, instead: bool = False) -> None:
    """Let a version serve: new processes load it.

    Args:
        instead: whether the one that serves now is to be forgotten, and never come back by itself.
    """
    before = versions(folder, task)[instead:]
    told = [version, *(each for each in before if each != version)]
    write_private(Dataset(folder, task).folder / _CURRENT, "".join(f"{each}\n" for each in told).encode())


def trained(
    settings: Config,
    task: str,
    *,
    teacher: str = "",
    agreement: float | None = None,
    schema: Mapping[str, Json] | None = None,
    embedder: Embedder | None = None,
    clock: Clock = time.time,
) -> Student:
    """Train a student on what was recorded, save it as a version of its own, and let it serve: it begins in the shadow.

    Args:
        schema: JSON schema of the answers; those that it does not allow are not learnt.

    Raises:
        NotDistillable: nothing can be promised; says why.
        ConfigError: nothing is recorded.
    """
    folder = folder_of(settings)
    dataset = Dataset(folder, task)
    examples = list(dataset.examples())
    material = Material.of(examples, teacher=teacher, schema=schema)
    found = embedder if embedder is not None else word_embedder()
    promised = settings.distillation.agreement if agreement is None else agreement
    student = train(task, material, found, agreement=promised)
    if not student.certificate.holds:
        raise NotDistillable(
            f"{promised:.0%} agreement cannot be promised for any answer: see `thrift-plugins distill plan {task}`"
        )
    manifest = dataset.write_manifest(material.examples)
    about = {
        **student.about,
        "trained": clock(),
        "dataset": manifest["sha256"],
        "held_back": held_back(material, found, promised),
    }
    student = replace(student, about=about)
    data = student.packed()
    version = version_of(data)
    write_private(student_path(folder, task, version), data)
    make_current(folder, task, version)
    return replace(student, version=version)


class School:
    """Keeps the students' lives in the store, so that all workers share them and none is lost.

    Args:
        students: they and what is known of them.
        store: the app's store.
    """

    def __init__(self, students: Students, store: Store, clock: Clock) -> None:
        self.students, self._store, self._clock = students, store, clock
        self._lock = new_lock()
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time to look what the others have seen, or to tell them something. Says so once."""
        now = time.monotonic()
        if now < self._next and not self.students.urgent:
            return False
        self._next = now + _EVERY
        return True

    def exchange(self, *, last: bool = False) -> None:
        """Tell what was seen here, and take in what others have. A store that is down is tried next time.

        Args:
            last: whether none comes after it. Else it is left to one that is under way.
        """
        if not self._lock.acquire(blocking=last):
            return
        try:
            for task, life in self.students.lives().items():
                with suppress(StoreError):
                    self._exchange(task, life)
        finally:
            self._lock.release()

    def _exchange(self, task: str, own: Life) -> None:
        key, now = life_key(task, own.version), self._clock()
        claim = _claimed(self._store, key, _PATIENCE if self.students.waiting(task) else 0.0)
        if claim is None:  # another worker is at it: take what there is, and tell next time
            return
        news = self.students.drain(task)
        try:
            life = read_life(self._store, task, own.version, self.students.terms(task))
            before = (life.state, life.why)
            for each in news:
                life.take(each, now)
            if news and not self._store.put(key, orjson.dumps(life.told()), claim=claim):
                self.students.restore(task, news)
                return
        except StoreError:
            self.students.restore(task, news)
            raise
        finally:
            with suppress(StoreError):
                self._store.release(claim)
        self.students.adopt(task, life, now)
        if (life.state, life.why) != before:
            logger.warning("distillation: the student of %r is %s now: %s", task, life.state, life.why)


def life_key(task: str, version: str) -> str:
    """Where the store keeps the life of a version."""
    return f"{{distillation}}:{task}:{version}"


def read_life(store: Store, task: str, version: str, terms: Terms) -> Life:
    """What all workers know of a student; a new one where nothing is known. Raises `StoreError`."""
    data = store.get(life_key(task, version))
    if data is not None:
        with suppress(ValueError, KeyError, TypeError):
            return Life.read(orjson.loads(data), terms)
    return Life(version, terms)


def change_life(store: Store, task: str, version: str, terms: Terms, change: Callable[[Life], Life]) -> Life:
    """Change a life as a person wants it, while no worker writes it.

    Args:
        change: gives the life that is to be kept, of the one that all workers know.

    Returns:
        The life that is kept.

    Raises:
        StoreError: the store is down, or somebody is writing all the time.
    """
    key = life_key(task, version)
    claim = _claimed(store, key, _PATIENCE)
    if claim is None:
        raise StoreError("another process is writing what is known of this student; try again")
    try:
        life = change(read_life(store, task, version, terms))
        if not store.put(key, orjson.dumps(life.told()), claim=claim):
            raise StoreError("the store did not keep it; try again")
    finally:
        with suppress(StoreError):
            store.release(claim)
    return life


def _claimed(store: Store, key: str, patience: float) -> Claim | None:
    """The right to write a key; None where others have had it for so many seconds."""
    until = time.monotonic() + patience
    while (claim := store.claim(key)) is None and time.monotonic() < until:
        time.sleep(0.02)
    return claim
