"""The lines of a batch as they are sent: read from the journal each time that they are gone through, and never all in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from thrift_plugins.batching.client import Address, BatchLine
from thrift_plugins.batching.journal import Journal
from thrift_plugins.batching.lots import as_line
from thrift_plugins.batching.pending import custom_id
from thrift_plugins.batching.records import Sending


class Lines(Iterable[BatchLine]):
    """Those that are not answered.

    Args:
        intent: id of the batch's intent, where the names of lines are to tell it.
    """

    def __init__(self, journal: Journal, batch: Sending, intent: str) -> None:
        self._journal, self._batch, self._intent = journal, batch, intent

    def __iter__(self) -> Iterator[BatchLine]:
        address = Address(self._batch.intent.model, self._batch.intent.url)
        for line in self._journal.lines(self._batch):
            yield as_line(custom_id(line.key, line.attempt, self._intent), address, line.body)
