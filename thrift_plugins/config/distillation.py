"""Settings of distilled students."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thrift_plugins.config.checks import names, settle
from thrift_plugins.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """Settings of distilled students, each of which answers for a task: a feature of the app.

    Attributes:
        enabled: whether students answer. What they may do is found out first: they begin in the shadow.
        folder: where recorded answers and students are; "" for one beside the store's file.
        tasks: the features that have a student; none for all that there are in the folder.
        record: the features whose answers are written down to learn from, with addresses, numbers and keys taken out.
        tenants: those whose calls are recorded and answered by students; none for all. All of them share a feature's student.
        agreement: share of all requests whose answer is to be one that the teacher would give, above 0.5 and below 1.
        audit: share of requests that the teacher answers too, above 0 and at most 1.
        canary: share of requests that a new student may answer, likewise.
        canary_for: comparisons with the teacher before it may answer more, 1 or more.
        shadow: comparisons before it may answer any, 100 or more.
        confirms: whether a cheaper tier is asked where a student is not sure, and believed where both agree.
        promotes: whether students go up by themselves; else `thrift-plugins distill promote` does it.
    """

    enabled: bool = False
    folder: str = ""
    tasks: Sequence[str] = ()
    record: Sequence[str] = ()
    tenants: Sequence[str] = ()
    agreement: float = 0.96
    audit: float = 0.02
    canary: float = 0.2
    canary_for: int = 200
    shadow: int = 400
    confirms: bool = True
    promotes: bool = True

    def __post_init__(self) -> None:
        settle(self, "distillation.")
        for name in ("tasks", "record", "tenants"):
            object.__setattr__(self, name, names(f"distillation.{name}", getattr(self, name)))
        if not 0.5 < self.agreement < 1:
            raise ConfigError(f"distillation.agreement must be above 0.5 and below 1, not {self.agreement}")
        for name in ("audit", "canary"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"distillation.{name} must be above 0 and at most 1, not {getattr(self, name)}")
        for name, least in (("shadow", 100), ("canary_for", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"distillation.{name} must be {least} or more, not {getattr(self, name)}")
