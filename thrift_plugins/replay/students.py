"""Students that a replay begins with: trained on what the teacher said in the month before, and tried on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from thrift_plugins.config import Config, DistillationConfig
from thrift_plugins.distillation.dataset import Dataset, Example
from thrift_plugins.distillation.life import Life
from thrift_plugins.distillation.recorder import example_of
from thrift_plugins.distillation.serving import terms_for
from thrift_plugins.distillation.student import Student
from thrift_plugins.errors import NotDistillable
from thrift_plugins.replay.past import Remembered
from thrift_plugins.runtime import Runtime
from thrift_plugins.teaching import change_life, terms_of, trained
from thrift_plugins.types import Reply, Usage

Begin = Callable[[Runtime], None]


def students(remembered: Mapping[str, Sequence[Remembered]], folder: Path) -> tuple[dict[str, Begin], list[str]]:
    """Train a student for each feature whose answers were kept.

    Args:
        folder: where examples and students go.

    Returns:
        Feature to what puts its student into service, and what was learnt, in words.
    """
    settings = Config(distillation=DistillationConfig(enabled=True, folder=str(folder)))
    begins: dict[str, Begin] = {}
    learnt: list[str] = []
    for task, known in remembered.items():
        examples = [example for each in known if (example := _example(each)) is not None]
        if not examples:
            continue
        Dataset(folder, task).append(examples)
        try:
            student = trained(settings, task, clock=lambda: 0.0)
        except NotDistillable as error:
            learnt.append(f"distillation: no student for {task}: {error}")
            continue
        own = student.certificate
        begins[task] = _begin(task, student)
        learnt.append(
            f"distillation: of {len(examples):,} answers, a student for {task}, which may answer {own.coverage:.0%} at"
            f" {own.agreement:.0%} agreement"
        )
    return begins, learnt


def _example(known: Remembered) -> Example | None:
    """What the app's own model said, as it would have been recorded."""
    words = known.answers.get(known.request.model)
    if words is None:
        return None
    return example_of(known.request, Reply(words, Usage(), finish_reason="stop", model=known.request.model))


def _begin(task: str, student: Student) -> Begin:
    """In service, as it would be after its time in the shadow, in which it was compared with the same answers."""

    def begin(runtime: Runtime) -> None:
        terms = terms_for(student, terms_of(runtime.config.distillation))

        def tried(life: Life) -> Life:
            life.trust(student.certificate, student.usual, runtime.clock())
            life.why = "tried on the month before"
            return life

        change_life(runtime.store, task, student.version, terms, tried)
        if runtime.school is not None:
            runtime.school.exchange()

    return begin
