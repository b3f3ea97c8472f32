"""One thing that the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How good it is. `note` is worth knowing, `wrong` must be repaired."""

    ok = "ok"
    note = "note"
    wrong = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: the part it belongs to: "versions", "config", "on", "keys", "store", "ledger", "prices", "lately" or "next".
        name: what was looked at.
        what: what was found, in words, with the way out where it is not well.
    """

    area: str
    name: str
    what: str
    state: State = State.ok
