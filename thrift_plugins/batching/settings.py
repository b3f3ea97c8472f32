"""How the executor collects, sends, waits and keeps."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

from thrift_plugins.errors import ConfigError

_LEASE_LEAST: Final = 1.0


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Settings of a batch executor. Every time is in seconds.

    Attributes:
        window: items that are worked on at once, and so the most lines of a wave: about 30 kB of memory for each, beside its
            input. Their prompts are in the journal, and no file is put together in memory.
        linger: nothing may have been asked for so long before a wave is thought full.
        external_cap: a wave goes after so long a silence, though something of the app's own (a sleep, a socket) still runs.
        max_age: a wave goes when its oldest request has waited so long. So long, too, a deadline that a killed run has left is
            not acted upon: the next run may ask for the same by another one.
        poll: between two looks at a batch.
        grace: how long a batch may be missing from the provider's listing after a create whose outcome nobody knows,
            before its lines are sent again. Longer is safer, and delays only after a dropped connection.
        strays: how long after that the listing is still watched for it, so that it can be cancelled and reported.
        settling: how long a finished batch's file ids may be missing.
        line_retries: how often a line is sent again that failed for a passing reason (429, 5xx), which costs nothing.
        rounds: how often a line is sent again that was never run, or whose result is missing.
        retention: answers older than this are dropped from the journal when it is opened.
        lease: how long after its last sign of life a worker loses the lead of a journal that several share.
        samples: "auto" asks once for identical requests with temperature 0 or a seed, and each time for others; "share"
            always asks once; "each" never.
        asks: calls made at once, where a deadline takes lines out of a batch.
    """

    window: int = 10_000
    linger: float = 0.05
    external_cap: float = 60.0
    max_age: float = 300.0
    poll: float = 30.0
    grace: float = 300.0
    strays: float = 172_800.0
    settling: float = 300.0
    line_retries: int = 3
    rounds: int = 20
    retention: float = 30 * 86_400.0
    lease: float = 30.0
    samples: str = "auto"
    asks: int = 16

    def __post_init__(self) -> None:
        for name in ("window", "asks", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"batch.{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("linger", "external_cap", "max_age", "poll", "grace", "strays", "settling", "retention", "lease"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ConfigError(f"batch.{name} must be 0 or more seconds, not {value}")
        if self.lease < _LEASE_LEAST:
            raise ConfigError(f"batch.lease must be {_LEASE_LEAST:g} s or more, not {self.lease}: a busy worker would lose it")
        if self.line_retries < 0:
            raise ConfigError(f"batch.line_retries must be 0 or more, not {self.line_retries}")
        if self.samples not in ("auto", "share", "each"):
            raise ConfigError(f"batch.samples must be 'auto', 'share' or 'each', not {self.samples!r}")
