"""What a store of accounts does, over whatever keeps its pages. Pure: the caller has them to itself meanwhile.

The scripts in `accounts_scripts` say the same for a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from thrift_plugins.stores.accounts import AGAIN, Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_checks import check_count
from thrift_plugins.stores.accounts_lines import Line
from thrift_plugins.stores.accounts_sheet import DAY, Moment, Sheet, moment

REAPED_ON_THE_WAY: Final = 8
"""Leases that a reservation closes for others."""
TELL: Final = 10_000
"""Orphans that wait to be told; beyond that, the oldest are dropped."""


class Lease(NamedTuple):
    """A reservation.

    Attributes:
        state: "open", or "reaped": charged as an orphan.
        until: when it is an orphan, or when it is forgotten.
        lines: what it holds.
    """

    state: Literal["open", "reaped"]
    until: float
    lines: tuple[Line, ...]


class Pages(Protocol):
    """Where accounts and leases are written."""

    def sheets(self, accounts: Iterable[str]) -> dict[str, Sheet]:
        """The accounts by name, new ones where there were none."""
        ...

    def keep(self, sheets: Mapping[str, Sheet]) -> None: ...
    def lease(self, name: str) -> Lease | None: ...
    def keep_lease(self, name: str, lease: Lease) -> None: ...
    def drop_lease(self, name: str) -> None: ...
    def due(self, now: float, limit: int) -> list[tuple[str, Lease]]:
        """Leases whose time is over, the oldest first."""
        ...

    def tell(self, orphans: Sequence[Orphan]) -> None:
        """Keep them until `told`."""
        ...

    def told(self, limit: int) -> list[Orphan]: ...


def reserve(pages: Pages, name: str, holds: Sequence[Hold], ttl: float, now: float) -> Grant:
    """See `Accounts`."""
    known = pages.lease(name)
    if known is not None:
        if name.startswith(AGAIN):
            known = _go_on(pages, name, known, now + ttl)
        granted = known.state == "open"
        return Grant(name, granted, standing(pages, holds, now), -1 if granted else 0, granted)
    moments = [moment(hold.window, hold.rolling, now) for hold in holds]
    sheets = pages.sheets(hold.account for hold in holds)
    refused = _first_too_large(sheets, holds, moments)
    if refused >= 0 and close_due(pages, now, REAPED_ON_THE_WAY):
        sheets = pages.sheets(hold.account for hold in holds)
        refused = _first_too_large(sheets, holds, moments)
    if refused < 0:
        lines = tuple(Line(hold, sheets[hold.account].hold(hold, at)) for hold, at in zip(holds, moments, strict=True))
        pages.keep(sheets)
        pages.keep_lease(name, Lease("open", now + ttl, lines))
    return Grant(name, refused < 0, _standings(sheets, holds, moments), refused)


def _go_on(pages: Pages, name: str, lease: Lease, until: float) -> Lease:
    """The call of a lease goes on, though whoever made it first may be gone: what it was charged as an orphan is held again."""
    if lease.state == "reaped":
        sheets = pages.sheets(line.hold.account for line in lease.lines)
        for line in lease.lines:
            sheets[line.hold.account].settle(line.number, -line.hold.amount, -line.orphaned)
        pages.keep(sheets)
    lease = Lease("open", until, lease.lines)
    pages.keep_lease(name, lease)
    return lease


def settle(pages: Pages, name: str, amounts: Sequence[int], now: float) -> tuple[Standing, ...]:
    """See `Accounts`."""
    lease = pages.lease(name)
    if lease is None:
        return ()
    check_count(amounts, len(lease.lines))
    sheets = pages.sheets(line.hold.account for line in lease.lines)
    for line, amount in zip(lease.lines, amounts, strict=True):
        if lease.state == "open":
            sheets[line.hold.account].settle(line.number, line.hold.amount, amount)
        else:
            sheets[line.hold.account].settle(line.number, 0, amount - line.orphaned)
    pages.keep(sheets)
    pages.drop_lease(name)
    holds = [line.hold for line in lease.lines]
    return _standings(sheets, holds, [moment(hold.window, hold.rolling, now) for hold in holds])


def renew(pages: Pages, name: str, until: float) -> bool:
    """See `Accounts`."""
    lease = pages.lease(name)
    if lease is None or lease.state != "open":
        return False
    pages.keep_lease(name, lease._replace(until=until))
    return True


def standing(pages: Pages, holds: Sequence[Hold], now: float) -> tuple[Standing, ...]:
    """See `Accounts`."""
    sheets = pages.sheets(hold.account for hold in holds)
    return _standings(sheets, holds, [moment(hold.window, hold.rolling, now) for hold in holds])


def reap(pages: Pages, now: float, limit: int) -> list[Orphan]:
    """See `Accounts`."""
    close_due(pages, now, limit)
    return pages.told(limit)


def close_due(pages: Pages, now: float, limit: int) -> bool:
    """Charge open leases whose time is over, and forget those that were charged long ago. Whether there were any."""
    due = pages.due(now, limit)
    for name, lease in due:
        if lease.state == "reaped":
            pages.drop_lease(name)
            continue
        sheets = pages.sheets(line.hold.account for line in lease.lines)
        for line in lease.lines:
            sheets[line.hold.account].settle(line.number, line.hold.amount, line.orphaned)
        pages.keep(sheets)
        pages.keep_lease(name, Lease("reaped", now + DAY, lease.lines))
        pages.tell([Orphan(name, line.hold.account, line.orphaned, now) for line in lease.lines])
    return bool(due)


def _first_too_large(sheets: Mapping[str, Sheet], holds: Sequence[Hold], moments: Sequence[Moment]) -> int:
    taken: dict[str, int] = {}
    for index, (hold, now) in enumerate(zip(holds, moments, strict=True)):
        account = hold.account
        room = sheets[account].standing(hold, now).left - taken.get(account, 0)
        if hold.hard and hold.amount > room:
            return index
        taken[account] = taken.get(account, 0) + hold.amount
    return -1


def _standings(sheets: Mapping[str, Sheet], holds: Sequence[Hold], moments: Sequence[Moment]) -> tuple[Standing, ...]:
    return tuple(sheets[hold.account].standing(hold, now) for hold, now in zip(holds, moments, strict=True))
