"""How much of a model's queue at the provider the batches of an account take, and waiting for room in it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from thrift_plugins.batching.client import Address, Limits
from thrift_plugins.batching.lots import Item, Lot, lots


class Room:
    """The queues of one account, in input tokens.

    Args:
        limits: what the provider takes for a model.
    """

    def __init__(self, limits: Callable[[str], Limits]) -> None:
        self._limits = limits
        self._taken: dict[str, int] = defaultdict(int)
        self._most: dict[str, int] = {}
        self._changed = asyncio.Event()

    def lots(self, address: Address, items: Sequence[Item]) -> Iterator[Lot]:
        """Items of one address as lots that the provider takes, and that its queue took when it last said that it was full."""
        limits = self._limits(address.model)
        most = min((most for most in (limits.queued_tokens, self._most.get(address.model)) if most), default=None)
        return lots(items, limits, most)

    def has(self, lot: Lot) -> bool:
        """Whether a lot finds room now. One that is alone always does."""
        most = self._limits(lot.address.model).queued_tokens
        taken = self._taken[lot.address.model]
        return most is None or not taken or taken + lot.tokens <= most

    @contextmanager
    def taken(self, model: str, tokens: int) -> Iterator[None]:
        """A batch is in the queue in this block."""
        self._taken[model] += tokens
        try:
            yield
        finally:
            self._taken[model] -= tokens
            self.notify()

    def fuller(self, lot: Lot) -> None:
        """The provider's queue had no room for a lot. With nothing else of ours in it, smaller batches may have."""
        model = lot.address.model
        if self._taken[model] <= lot.tokens and len(lot.items) > 1:
            self._most[model] = max(1, lot.tokens // 2)

    def forget(self) -> None:
        """What the queue took is not known any more."""
        self._most.clear()

    def notify(self) -> None:
        """There may be more room by now."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, seconds: float) -> None:
        """Wait until there may be more room, but not longer than that."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
