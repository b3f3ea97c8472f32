"""On a cluster, what is common to all tenants is paid for several calls ahead, and calls take from that.

A tenant's accounts are in one slot of a cluster, and those of all tenants in another. A call under budgets of both would ask
two servers twice. Instead, a process reserves in the common accounts for several calls at once: an *advance*, a lease like any
other. Its calls take their parts of it without asking anybody, so they ask one server, as they do where there is only one.

An advance is reserved before anything is taken from it, so nothing is overspent. It is a small share of what is left, and
near a limit no more than the one call needs; what nobody has taken of it goes back after two seconds. It is charged what
its calls have used, to the unit, when the last of them has ended. Pure, but for the lock: who asks the server is `RedisAccounts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, NamedTuple, TypeAlias

from thrift_plugins.forks import renew_after_fork
from thrift_plugins.stores.accounts import Hold, Standing

LIFE_S: Final = 2.0
"""Seconds after which nobody takes from an advance any more."""
_CALLS: Final = 16
"""Calls like the one that needs it, which an advance pays for at most..."""
_SHARE: Final = 64
"""... and one part in so many of what is left, which it is at most."""
_KNOWN: Final = 10_000
_FORGOTTEN_S: Final = 86_400
"""Seconds after which nobody settles a call any more."""
_WINDOWS: Final = frozenset({"hour", "day", "month", "total"})
"""Windows in which another call may want the same accounts. A rolling one counts each charge from its own time on."""

_AHEAD: Final = "/ahead"


def ahead(lease: str) -> str:
    """The name of the advance that is reserved where a call finds none."""
    return lease + _AHEAD


def is_ahead(lease: str) -> bool:
    """Whether a lease is an advance."""
    return lease.endswith(_AHEAD)


_Key: TypeAlias = tuple[tuple[str, int, str, bool], ...]


class Due(NamedTuple):
    """What the server is to be told of an advance.

    Attributes:
        lease: its name.
        charge: what its calls have used; None while some are under way.
        keep: what it needs to hold for them.
    """

    lease: str
    charge: tuple[int, ...] | None
    keep: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Advance:
    """A lease that several calls share.

    Attributes:
        lease: its name on the server.
        left: of each hold, what nobody has taken.
        spent: of each hold, what calls that have ended have used.
        until: when nobody takes from it any more, by the process's clock.
        standings: how the accounts stood when it was reserved.
        open: calls under way, and what each has taken.
    """

    lease: str
    left: list[int]
    until: float
    standings: Sequence[Standing]
    spent: list[int] = field(init=False)
    open: dict[str, Sequence[int]] = field(default_factory=dict)
    trimmed: bool = False

    def __post_init__(self) -> None:
        self.spent = [0] * len(self.left)

    def fits(self, amounts: Sequence[int]) -> bool:
        return all(amount <= left for amount, left in zip(amounts, self.left, strict=True))

    def take(self, lease: str, amounts: Sequence[int]) -> None:
        self.left = [left - amount for left, amount in zip(self.left, amounts, strict=True)]
        self.open[lease] = amounts

    def due(self) -> Due:
        if not self.open:
            return Due(self.lease, tuple(self.spent), ())
        needed = [sum(column) for column in zip(self.spent, *self.open.values(), strict=True)]
        return Due(self.lease, None, tuple(needed))


class Prepaid:
    """The advances of a process. Thread-safe; a forked child has none of its parent's."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """In a forked child: what was paid ahead is the parent's."""
        self._lock = Lock()
        self._current: dict[_Key, Advance] = {}
        self._closing: list[Advance] = []
        self._taken: dict[str, Advance] = {}
        self._left: dict[_Key, tuple[int, ...]] = {}

    @property
    def waits(self) -> bool:
        """Whether there are advances that calls may still take from."""
        return bool(self._current)

    @staticmethod
    def serves(holds: Sequence[Hold]) -> bool:
        """Whether it makes sense to reserve these for several calls."""
        return all(hold.window in _WINDOWS and not hold.rolling for hold in holds)

    def take(self, lease: str, holds: Sequence[Hold], now: float) -> Sequence[Standing] | None:
        """Take what a call needs; give how the accounts stood, or None where no advance has it.

        Args:
            lease: the call's. One that has taken already takes nothing more.
        """
        key, amounts = _key(holds), [hold.amount for hold in holds]
        with self._lock:
            known = self._taken.get(lease)
            if known is not None:
                return known.standings
            current = self._current.get(key)
            if current is None:
                return None
            if now >= current.until or not current.fits(amounts):
                del self._current[key]
                self._closing.append(current)
                return None
            current.take(lease, amounts)
            self._taken[lease] = current
            return current.standings

    def sizes(self, holds: Sequence[Hold]) -> list[int]:
        """What to reserve for a call and those after it; for the call alone where not much is known to be left."""
        left = self._left.get(_key(holds))
        if left is None:
            return [hold.amount for hold in holds]
        return [
            max(hold.amount, min(_CALLS * hold.amount, room // _SHARE)) for hold, room in zip(holds, left, strict=True)
        ]

    def opened(
        self,
        lease: str,
        name: str,
        holds: Sequence[Hold],
        sizes: Sequence[int],
        standings: Sequence[Standing],
        now: float,
    ) -> None:
        """An advance was reserved, and its first call takes from it.

        Args:
            lease: the call's.
            name: the advance's own.
        """
        key = _key(holds)
        ends = min((standing.resets for standing in standings), default=now)
        advance = Advance(name, list(sizes), min(now + LIFE_S, ends), standings)
        with self._lock:
            if len(self._left) >= _KNOWN:
                self._left.clear()
            self._left[key] = tuple(standing.left for standing in standings)
            advance.take(lease, [hold.amount for hold in holds])
            self._taken[lease] = advance
            before = self._current.pop(key, None)
            if before is not None:  # another thread was faster
                self._closing.append(before)
            if any(advance.left):
                self._current[key] = advance
            else:
                self._closing.append(advance)

    def name(self, lease: str) -> str:
        """The advance that a call under way has taken from."""
        advance = self._taken.get(lease)
        return advance.lease if advance is not None else ahead(lease)

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[str, Sequence[Standing]]:
        """A call has ended, and used so much of what it has taken. A second time changes nothing.

        Returns:
            The advance, and how the accounts stood when it was reserved.
        """
        with self._lock:
            advance = self._taken.pop(lease, None)
            if advance is None:
                return "", ()
            del advance.open[lease]
            advance.spent = [spent + amount for spent, amount in zip(advance.spent, amounts, strict=True)]
            return advance.lease, advance.standings

    def give_back(self, lease: str) -> bool:
        """A call was not made. Whether it had taken anything."""
        with self._lock:
            advance = self._taken.pop(lease, None)
            if advance is None:
                return False
            amounts = advance.open.pop(lease)
            advance.left = [left + amount for left, amount in zip(advance.left, amounts, strict=True)]
            return True

    def due(self, now: float, *, all_of_them: bool = False) -> list[Due]:
        """Advances that are over: to be charged, or, while calls are under way, to be cut to what those need.

        Args:
            all_of_them: whether nobody is to take from any of them any more.
        """
        with self._lock:
            for key, advance in list(self._current.items()):
                if all_of_them or now >= advance.until:
                    del self._current[key]
                    self._closing.append(advance)
            found = [advance.due() for advance in self._closing if not advance.open or not advance.trimmed]
            self._closing = [
                advance for advance in self._closing if advance.open and now < advance.until + _FORGOTTEN_S
            ]
            for advance in self._closing:
                advance.trimmed = True
        return found


def _key(holds: Sequence[Hold]) -> _Key:
    return tuple([(hold.account, hold.limit, hold.window, hold.hard) for hold in holds])
