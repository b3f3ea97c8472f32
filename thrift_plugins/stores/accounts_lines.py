"""What a lease holds, as text: a line for each hold. Files and servers keep it, and the scripts read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from thrift_plugins.stores.accounts import Hold

NO_SLICE: Final = "@"
"""In a line, for the slice of a rolling window: whoever has the clock puts the number there."""


class Line(NamedTuple):
    """What a lease holds in one account.

    Attributes:
        hold: as it was asked for.
        number: of the window.
    """

    hold: Hold
    number: int

    @property
    def orphaned(self) -> int:
        """What it is charged if nobody settles it."""
        return orphaned(self.hold)


def orphaned(hold: Hold) -> int:
    """What a hold is charged if nobody settles it."""
    if hold.orphans == "charge":
        return hold.amount
    return hold.estimate if hold.orphans == "estimate" else 0


def lines_text(holds: Sequence[Hold], numbers: Sequence[int | str]) -> str:
    """A line for each hold: account, window's number, limit, amount, charge of an orphan, whether hard, window, rolling."""
    lines = []
    for hold, number in zip(holds, numbers, strict=True):
        account, limit, window, rolling, amount, hard, _, _ = hold
        lines.append(f"{account} {number} {limit} {amount} {orphaned(hold)} {hard:d} {window} {rolling!r}")
    return "\n".join(lines)


def read_lines(text: str) -> tuple[Line, ...]:
    """From what `lines_text` gave. How an orphan is charged is known by its charge alone."""
    return tuple([_line(*line.split(" ")) for line in text.split("\n")])


def _line(
    account: str, number: str, limit: str, amount: str, charge: str, hard: str, window: str, rolling: str
) -> Line:
    hold = Hold(account, int(limit), window, float(rolling), int(amount), hard == "1", "estimate", int(charge))
    return Line(hold, int(number))
