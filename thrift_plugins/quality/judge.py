"""What judges an answer against another, and what a judge may ask of a model."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from thrift_plugins.quality.calibration import Calibration
from thrift_plugins.types import Reply, Request, Tier

Judgement: TypeAlias = Literal["better", "same", "worse"]
"""How the answer that was served compares with the one that would have been without a tactic."""

LOSS: Final[Mapping[Judgement, float]] = {"better": -1.0, "same": 0.0, "worse": 1.0}
"""What a judgement counts."""


class Asker(Protocol):
    """A model that a judge asks: `langchain.JudgeModel`, `llama_index.JudgeModel`."""

    @property
    def tier(self) -> Tier:
        """What prices and budgets must know of it."""
        ...

    def ask(self, prompt: str) -> Reply:
        """Its answer. May raise what it likes; then nothing is judged."""
        ...

    async def aask(self, prompt: str) -> Reply:
        """`ask` without blocking the event loop."""
        ...


class Consult(NamedTuple):
    """Ask a judge's model; give its `Reply`. May be answered by any error."""

    asker: Asker
    prompt: str


Judging: TypeAlias = Generator[Consult, Reply, Judgement | None]
"""A judgement on its way: yields what it asks a model, and returns None where it cannot say."""


class Judge(Protocol):
    """Compares two answers to one request.

    Attributes:
        name: for the ledger.
        calibration: how far it can be trusted.
    """

    @property
    def name(self) -> str: ...
    @property
    def calibration(self) -> Calibration: ...

    def reads(self, request: Request, reply: Reply) -> bool:
        """Whether it can judge an answer like this one. What it cannot is not paid for."""
        ...

    def judge(self, request: Request, served: Reply, other: Reply) -> Judging:
        """How the answer that was served compares with the other."""
        ...
