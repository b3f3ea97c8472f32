"""Settings of the ledger."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from thrift_plugins.config.checks import settle
from thrift_plugins.errors import ConfigError

_HOLDOUT: Final = 0.02


def _holdout() -> float:
    told = os.environ.get("THRIFT_HOLDOUT", "")
    try:
        return float(told) if told else _HOLDOUT
    except ValueError:
        raise ConfigError(f"THRIFT_HOLDOUT must be a number from 0 to 1, not {told!r}") from None


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """Settings of the ledger.

    Attributes:
        url: where events are kept: "sqlite:///path", "memory:", or "" for a file of its own beside the store's.
        capacity: events that may wait while that is down.
        holdout: share of conversations that no tactic touches, so that it can be measured what they are worth; 0 to 1.
            By default 0.02, or what `THRIFT_HOLDOUT` in the environment says: 0 for an app's own tests.
        otel: whether OpenTelemetry is told of every call (extra `otel`), with the app's own SDK.
    """

    enabled: bool = True
    url: str = field(default="", repr=False)  # it may hold a password
    capacity: int = 20_000
    holdout: float = field(default_factory=_holdout)
    otel: bool = False

    def __post_init__(self) -> None:
        settle(self, "ledger.")
        if self.capacity < 1:
            raise ConfigError(f"ledger.capacity must be 1 or more, not {self.capacity}")
        if not 0 <= self.holdout <= 1:
            raise ConfigError(f"ledger.holdout must be 0 to 1, not {self.holdout}")
