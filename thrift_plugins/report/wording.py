"""How amounts, shares, counts and names are written: the same in the terminal, in Markdown and on a page."""

from __future__ import annotations

import re
from typing import Final

from thrift_plugins.types import Nano, usd

_PRIVATE: Final = re.compile(
    r"(?P<mail>\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4})"
    r"|(?P<key>\b(?:(?:sk|pk|rk|gh[opsu]|xox[abprs]|glpat|hf)[-_](?=[\w-]*\d)[\w-]{16,}|(?:AKIA|ASIA|AIza|eyJ)[\w-]{16,}))"
    r"|(?P<phone>\+\d[\d ()-]{7,}\d)"
)
"""What looks like an address of a person, a key, or a telephone number."""


def money(amount: Nano, digits: int = 4) -> str:
    """An amount for people, in US dollars."""
    dollars = usd(amount)
    return f"{'-' if dollars < 0 else ''}${abs(dollars):,.{digits}f}"


def digits_of(amount: Nano) -> int:
    """Digits after the point in which a bill of that size is told: cents, but more where it is a matter of cents."""
    dollars = abs(usd(amount))
    return 2 if dollars >= 10 else 4 if dollars >= 0.01 or not dollars else 6


def percent(share: float | None, digits: int = 1) -> str:
    """A share for people; "-" where it is not known."""
    return "-" if share is None else f"{share:.{digits}%}"


def counted(count: int, what: str) -> str:
    """So many of something, whose name takes an s."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def less(share: float) -> str:
    """How much less was paid."""
    return f"{percent(abs(share))} {'less' if share >= 0 else 'more'}"


def points(change: float | None, digits: int = 1) -> str:
    """A change of a share, in percentage points with its sign."""
    return "-" if change is None else f"{100 * change:+.{digits}f}"


def shown(name: str) -> str:
    """A name that an app gave, safe to print: what a terminal would obey becomes its escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name) or "-"


def discreet(text: str, most: int = 80) -> str:
    """A name or a sentence for a page that is sent around: printable, not endless, and without addresses, numbers and keys of people.

    An app may name its tenants by them. The terminal and the files of figures keep names as they are.

    Args:
        most: letters.
    """
    told = _PRIVATE.sub(lambda found: f"{found[0][0]}\N{HORIZONTAL ELLIPSIS} ({found.lastgroup})", shown(text))
    return told if len(told) <= most else f"{told[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
