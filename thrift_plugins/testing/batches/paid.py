"""The ledger of paid lines: what a provider would charge for, whatever became of the answer."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final

from thrift_plugins.types import Usage

NOTHING: Final = Usage()


@dataclass(frozen=True, slots=True)
class PaidLine:
    """One line that was worked on.

    Attributes:
        key: digest of what was asked, so that the same question has the same key whatever its `custom_id` is.
        lost: the provider paid itself and gave no answer; whoever asks again pays again, and cannot help it.
    """

    batch: str
    custom_id: str
    key: str
    model: str
    usage: Usage
    lost: bool = False


class PaidLedger:
    """Every paid line, in the order of payment. Written on one thread, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[PaidLine] = []

    def pay(self, line: PaidLine) -> None:
        """Charge for a line."""
        with self._lock:
            self._lines.append(line)

    @property
    def lines(self) -> tuple[PaidLine, ...]:
        """All of them as they are now."""
        with self._lock:
            return tuple(self._lines)

    @property
    def twice(self) -> int:
        """Payments beyond the first for the same question, those not counted whose answer the provider lost."""
        kept = Counter(line.key for line in self.lines if not line.lost)
        return sum(count - 1 for count in kept.values())

    @property
    def usage(self) -> Usage:
        """All that was paid for."""
        return sum((line.usage for line in self.lines), NOTHING)

    def clear(self) -> None:
        """Forget every line."""
        with self._lock:
            self._lines.clear()
