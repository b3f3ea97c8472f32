"""A runtime for one student alone, for the models that have nothing else of ours."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from thrift_plugins.config import Config
from thrift_plugins.distillation.serving import Students
from thrift_plugins.distillation.student import Student
from thrift_plugins.errors import StoreError
from thrift_plugins.runtime import Runtime
from thrift_plugins.teaching import School, change_life, manner_of, terms_of

if TYPE_CHECKING:
    from thrift_plugins.text.embed import Embedder


def taught_runtime(
    student: Student | str | Path, config: Config | None, embedder: Embedder | None, *, trusted: bool
) -> Runtime:
    """A runtime whose every call is for one student, and on which no other tactic is on.

    Args:
        trusted: let it answer at once, if it is new, by the certificate of its training.

    Raises:
        ConfigError: it is no student.
    """
    own = student if isinstance(student, Student) else Student.load(student, embedder)
    told = config or Config()
    settings = replace(
        told,
        cache=replace(told.cache, enabled=False),
        routing=replace(told.routing, enabled=False),
        distillation=replace(told.distillation, enabled=False),
    )
    runtime = Runtime(settings)
    terms, manner = terms_of(told.distillation), manner_of(told.distillation)
    runtime.school = School(Students({own.task: own}, terms, manner, every=own.task), runtime.store, runtime.clock)
    runtime.school.exchange()
    students = runtime.school.students
    if trusted and students.trust(own.task, runtime.clock()):
        life = students.lives()[own.task]
        with suppress(StoreError):  # without a store, this process knows it all the same
            change_life(runtime.store, own.task, own.version, life.terms, lambda _: life)
    runtime.engine = replace(runtime.engine, pupils=runtime.school.students)
    return runtime
