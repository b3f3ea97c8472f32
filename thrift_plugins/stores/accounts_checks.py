"""What no store of accounts takes: a mistake of whoever asks, told before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from thrift_plugins.stores.accounts import Hold

_WINDOWS: Final = frozenset({"hour", "day", "month", "total", "run", "call"})
_ORPHANS: Final = frozenset({"charge", "estimate", "release"})


def check_holds(holds: Sequence[Hold]) -> None:
    """Refuse holds that mean nothing.

    Raises:
        ValueError: there are none, or one has a negative or fractional number, a name with white space, or a word that
            is not among those it may have.
    """
    if not holds:
        raise ValueError("a reservation needs at least one hold")
    for hold in holds:
        account, limit, window, rolling, amount, _, orphans, estimate = hold
        if type(amount) is not int or type(limit) is not int or type(estimate) is not int:
            raise ValueError(f"amounts, limits and estimates are whole numbers: {hold}")
        if amount < 0 or estimate < 0 or limit < 0:
            raise ValueError(f"amounts, limits and estimates are 0 or more: {hold}")
        if window not in _WINDOWS or orphans not in _ORPHANS or not 0 <= rolling < inf:
            raise ValueError(f"an unknown window, rolling time or orphan policy: {hold}")
        if not account or not account.isprintable() or " " in account:
            raise ValueError(f"an account's name has no white space: {account!r}")


def check_amounts(amounts: Sequence[int]) -> None:
    """Refuse to charge what is no amount.

    Raises:
        ValueError: one is negative or no whole number.
    """
    for amount in amounts:
        if type(amount) is not int or amount < 0:
            raise ValueError(f"what is settled is 0 or more, in whole numbers: {list(amounts)}")


def check_count(amounts: Sequence[int], holds: int) -> None:
    """Refuse amounts that are not those of the holds.

    Raises:
        ValueError: there are more or fewer.
    """
    if len(amounts) != holds:
        raise ValueError(f"{len(amounts)} amounts for {holds} holds")
