"""What a journal of batches tells of itself, to the process that works on it and to people, wherever it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from thrift_plugins.batching.client import Intent
from thrift_plugins.errors import ConfigError

UNFINISHED: Final = ("planned", "sending", "sent")
"""States of batches that are not done with; see `Journal`."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A batch of the journal that is not done.

    Attributes:
        row: its number in the journal.
        tokens: about how many input tokens its lines have.
        deadline: the earliest of its lines, in seconds since the epoch, None where they may wait as long as they want.
    """

    row: int
    intent: Intent
    tokens: int
    deadline: float | None
    state: str
    upload: str
    remote: str
    sent_at: float | None


class Incident(NamedTuple):
    """Something that a person should know of.

    Attributes:
        kind: "duplicate" (a batch was made twice, or answered what had left it for a deadline), "promoted" (a deadline took lines out of a batch), "resent" (results
            were missing, and their lines are paid again), "failed" (a batch failed as a whole).
        lines: how many it is about.
        nano: what it cost, in nano-dollars, None where nobody knows.
    """

    at: float
    kind: str
    batch: str
    lines: int
    nano: int | None
    told: str


class Records(Protocol):
    """What a journal holds. Everything may raise `StoreUnavailable`."""

    def facts(self) -> Mapping[str, str]:
        """What is noted of the journal as a whole: its id, whose it is, whether it is encrypted, how often it was stopped."""
        ...

    def unfinished(self) -> Sequence[Sending]:
        """Batches that were begun, here or by a process before."""
        ...

    def stop(self) -> None:
        """Stop everything that was asked until now: it is not sent any more, unless it is asked again."""
        ...

    def stops(self) -> int:
        """How often a person has stopped what was under way. A run that began at fewer is to ask nothing more."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many lines are queued, sent, answered and errored."""
        ...

    def batches(self) -> Sequence[Mapping[str, Any]]:
        """Every batch, as a table for people, oldest first."""
        ...

    def note(self, incident: Incident) -> None:
        """Keep what a person should know of."""
        ...

    def incidents(self) -> Sequence[Incident]:
        """Everything that was noted, oldest first."""
        ...

    def close(self) -> None:
        """Close the file or the connections."""
        ...


def check_account(place: str, known: str, account: str) -> None:
    """Refuse a journal of another account.

    Raises:
        ConfigError: it is another's.
    """
    if account and known and known != account:
        name = known.partition(":")[2]
        raise ConfigError(
            f"the journal {place} is of the account {known!r}, not of {account!r}: what the one has bought, the other"
            " cannot read; give each account a journal of its own, or, where the account has only another key than it had,"
            f" its client the name: account={name!r}"
        )
