"""Accounts of what may be spent: an amount is reserved before a call, and what it came to is settled after it.

A reservation is all or nothing over any number of accounts, and lives as a *lease*: one that is neither settled nor
renewed in its time, because its process died, is closed by whoever comes next and charged as its holds say.

Windows are in UTC by the store's clock, which is the server's where there is one. A window is pinned when an amount is
reserved; it is settled into that window however late. A rolling window moves on in sixtieths of its length: a charge
counts for as long as the window is and up to a sixtieth more, never less. Where the clock jumps back, a window that was
used is found again with what was used of it; where it jumps ahead, new windows begin, as they would have later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

Orphans: TypeAlias = Literal["charge", "estimate", "release"]
"""What a lease is charged whose process died: all that it holds, its holds' estimates, or nothing."""


AGAIN: Final = "again/"
"""Names of leases begin so whose call may be made again later, by another process too: it is the same call, paid once."""


class Hold(NamedTuple):
    """One line of a reservation.

    Attributes:
        account: its name, without white space. What is in braces at its start says which accounts a cluster keeps together.
        limit: how much may be taken in one window.
        window: "hour", "day", "month", or one that does not end: "total", "run", "call". The accounts of runs are
            forgotten 90 days after their last use, those of calls after one day.
        rolling: seconds of a rolling window instead; 0 for none.
        amount: what to set aside, 0 or more; exact up to 2**53, as are all sums.
        hard: whether the reservation is refused where it does not fit.
        orphans: what happens to the amount if nobody settles it.
        estimate: what is charged for `orphans="estimate"`.
    """

    account: str
    limit: int
    window: str
    rolling: float
    amount: int
    hard: bool
    orphans: str
    estimate: int = 0


class Standing(NamedTuple):
    """Of one account, in the window of this moment.

    Attributes:
        account: its name.
        limit: how much may be taken.
        used: settled.
        held: reserved and not yet settled.
        resets: when the window ends, in seconds since the epoch; infinite for one that does not. For a rolling
            window: when its oldest charge leaves it.
    """

    account: str
    limit: int
    used: int
    held: int
    resets: float

    @property
    def left(self) -> int:
        """What is neither used nor held; below 0 where more was used than was allowed."""
        return self.limit - self.used - self.held


class Grant(NamedTuple):
    """The answer to a reservation.

    Attributes:
        lease: as it was asked for.
        granted: whether everything is reserved; else nothing is.
        standings: in the order of the holds, with what has just been reserved.
        refused: the index of the first hold that did not fit, -1 if all did.
        shared: whether the lease was open before, so that somebody else may go on with it too.
    """

    lease: str
    granted: bool
    standings: tuple[Standing, ...]
    refused: int
    shared: bool = False


class Orphan(NamedTuple):
    """One line of a lease that nobody settled in time.

    Attributes:
        lease: its name.
        account: where it was held.
        charged: what it was charged.
        at: when, in seconds since the epoch.
    """

    lease: str
    account: str
    charged: int
    at: float


class Accounts(Protocol):
    """A store of accounts. Thread-safe; every method but `close` raises `StoreUnavailable` and nothing else."""

    kind: str

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """Set aside the amounts of all holds or of none. A lease that is already open is granted again, once charged.

        One whose name begins with `AGAIN` then lives `ttl` seconds from now, and as it was reserved first. Where it was charged
        as an orphan, that is taken back, and it is open again; where it was settled, it is a new one.

        Args:
            lease: a name of its own for every attempt to call, or of what is called where that may be done again.
            holds: at least one.
            ttl: seconds after which the lease is an orphan.

        Raises:
            StoreUnavailable: nothing was reserved, or it will be given back as soon as the store can be asked.
        """
        ...

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """Charge what was used, in the order of the holds, and give the rest back. A second time changes nothing.

        An orphan that was charged is corrected, up to a day later.

        Returns:
            How the accounts stand, with the limits that the lease was reserved under; empty where there is no such lease.

        Raises:
            StoreUnavailable: it will be settled as soon as the store can be asked, if this process lives that long.
        """
        ...

    def renew(self, lease: str, ttl: float) -> bool:
        """Let a lease live `ttl` seconds from now. False where it is no longer open."""
        ...

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """How the accounts of some holds stand. Changes nothing."""
        ...

    def reap(self, limit: int = 100) -> list[Orphan]:
        """Close up to `limit` leases whose time is over, and tell of every orphan once, also those closed by others.

        Accounts that nobody will ask for again are forgotten on the way.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; they are opened again when they are needed."""
        ...

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant: ...
    async def asettle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]: ...
    async def arenew(self, lease: str, ttl: float) -> bool: ...
    async def astanding(self, holds: Sequence[Hold]) -> tuple[Standing, ...]: ...
    async def areap(self, limit: int = 100) -> list[Orphan]: ...
    async def aclose(self) -> None: ...
