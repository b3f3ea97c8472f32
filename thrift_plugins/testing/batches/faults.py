"""How batches may go wrong at the loopback provider, and the limits that it holds them to."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Step: TypeAlias = Literal["upload", "file", "create", "retrieve", "list", "results", "cancel", "delete"]
"""What a request to a batch API does."""

EndState: TypeAlias = Literal["completed", "expired", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a batch ends.

    Attributes:
        share: part of its lines that are worked on, and paid, before it does.
        code: the provider's word for why it failed.
        after: seconds after its creation at which it fails, None for at once, as where the input is not valid.
    """

    state: EndState = "completed"
    share: float = 1.0
    code: str = ""
    after: float | None = None


@dataclass(slots=True)
class Refusal:
    """Refuse so many requests of one kind with an HTTP status; the number counts down."""

    step: Step
    status: int
    times: int = 1
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold, and one account. None of these is OpenAI's by chance: tests want small ones.

    Attributes:
        requests: most lines in a batch.
        bytes: most bytes of an input file, or of a create without one.
        enqueued_tokens: model to the most input tokens in its unfinished batches; a batch beyond it fails late.
        page: most batches on one page of a listing.
    """

    requests: int = 50_000
    bytes: int = 200_000_000
    enqueued_tokens: Mapping[str, int] = field(default_factory=dict)
    page: int = 100


@dataclass(slots=True)
class BatchFaults:
    """What goes wrong from now on. Queues and counts are used up; shares are chances, drawn from the seed.

    Attributes:
        refusals: requests to refuse, such as `Refusal("create", 429, times=3)`.
        resets_before_create: creates whose connection breaks before anything was made.
        resets_after_create: creates whose connection breaks after the batch was made.
        endings: how the next batches end, one each; None lets one complete.
        list_lag: seconds for which a new batch is missing in every listing.
        drop: chance that a line is worked on and paid, and in no file.
        double: chance that a line is in its file twice.
        line_error: chance that a line fails on its first try, unpaid.
        line_statuses: the HTTP statuses of such lines, in turn.
        shuffle: whether results come in another order.
        files_late: seconds after its end for which a batch does not name its files.
        error_file: how a batch without errors names its error file: null, an empty string, or not at all.
        results_slow: seconds that a download takes.
        results_cut: downloads that break half way.
        upload_pending: seconds for which an uploaded file is not yet "processed", as at Azure.
    """

    refusals: list[Refusal] = field(default_factory=list)
    resets_before_create: int = 0
    resets_after_create: int = 0
    endings: deque[Ending | None] = field(default_factory=deque)
    list_lag: float = 0.0
    drop: float = 0.0
    double: float = 0.0
    line_error: float = 0.0
    line_statuses: tuple[int, ...] = (429, 500)
    shuffle: bool = True
    files_late: float = 0.0
    error_file: Literal["null", "empty", "absent"] = "null"
    results_slow: float = 0.0
    results_cut: int = 0
    upload_pending: float = 0.0

    def clear(self) -> None:
        """Let everything go well again."""
        well = BatchFaults()
        for name in self.__slots__:
            setattr(self, name, getattr(well, name))

    def refusal(self, step: Step) -> Refusal | None:
        """The refusal for a request of this kind, used up by one."""
        for refusal in self.refusals:
            if refusal.step == step and refusal.times > 0:
                refusal.times -= 1
                return refusal
        return None

    def ending(self) -> Ending:
        """How the next batch is to end."""
        return (self.endings.popleft() if self.endings else None) or Ending()
