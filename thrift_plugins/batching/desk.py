"""What whoever works on the batches of an account has at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from thrift_plugins.batching.client import BatchClient
from thrift_plugins.batching.doubles import Cost, Most
from thrift_plugins.batching.journal import Journal
from thrift_plugins.batching.settings import BatchSettings


class Desk(NamedTuple):
    """An account with its journal.

    Attributes:
        client: the account.
        journal: the account's.
        clock: seconds since the epoch.
        cost: what a usage costs.
        most: what a line may cost in a batch.
    """

    client: BatchClient
    journal: Journal
    settings: BatchSettings
    clock: Callable[[], float]
    cost: Cost
    most: Most = lambda _: None
