"""What a person has stopped, and nobody has asked for since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from thrift_plugins.batching.journal import Journal
from thrift_plugins.batching.pending import failed
from thrift_plugins.batching.reading import Reader

CANCELLED: Final = (503, "cancelled by thrift-plugins batch cancel", "cancelled")


class Stopping:
    """Tells what is stopped, and gives it up."""

    def __init__(self, journal: Journal, reader: Reader) -> None:
        self._journal, self._reader = journal, reader

    def all_of(self, keys: Sequence[bytes]) -> bool:
        """Whether a person has stopped every one of some lines, and nobody has asked for any of them since."""
        if not self._journal.stops() or not self._journal.stopped(keys[:1]):  # one alone says no, at each look at a batch
            return False
        return len(self._journal.stopped(keys)) == len(keys)

    def without(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those lines that go on; the others are given up."""
        stopped = self._journal.stopped(keys) if self._journal.stops() else set()
        # Between the look and the word, another worker may have asked again: the journal decides it in one step.
        left = self._reader.fail([key for key in keys if key in stopped], failed(*CANCELLED), stopped=True)
        gone = stopped.difference(left)
        return [key for key in keys if key not in gone]
