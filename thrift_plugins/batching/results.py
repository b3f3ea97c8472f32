"""What came of one input of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of one input.

    Attributes:
        index: the input's place, from 0.
        output: what the chain gave, None where it failed or waits.
        error: what it raised, None where it did not.
        waiting: whether it waits for a batch: ask `resume` again later.
    """

    index: int
    output: Any = None
    error: Exception | None = None
    waiting: bool = False

    def value(self) -> Any:
        """The output. Raises the error where there is none."""
        if self.error is not None:
            raise self.error
        return self.output


@dataclass(frozen=True, slots=True)
class Submitted:
    """How the inputs of a `submit` stand.

    Attributes:
        done: answered.
        failed: ended in an error.
        waiting: sent, and not answered.
    """

    done: int = 0
    failed: int = 0
    waiting: int = 0
