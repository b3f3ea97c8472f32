"""Copies answers from store to store, the most used first where there is not room for all."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from thrift_plugins.stores.base import Entry, Store


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is copied.

    Attributes:
        entries, size: most answers, and most bytes of them; None: as many as there are.
        prefix: of the keys that are copied, such as `{tenant tag}:`.
    """

    entries: int | None = None
    size: int | None = None
    prefix: str = ""

    @property
    def bounded(self) -> bool:
        """Whether it may be that not all are copied."""
        return self.entries is not None or self.size is not None


@dataclass(slots=True)
class Copied:
    """What was copied, and what the other store did not take because it was forgotten there, or is too large."""

    entries: int = 0
    size: int = 0
    refused: int = 0


def hottest(records: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Hits by the address of the answer, from ledger records."""
    keys = (entry.get("extra", {}).get("key") for entry in records if entry["outcome"] == "hit")
    return Counter(key for key in keys if key)


def copy_entries(
    source: Store, target: Store, now: float, *, uses: Mapping[str, int] | None = None, limits: Limits = Limits()
) -> Copied:
    """Copy living answers with their tags; each expires in the copy when it does in the original.

    Args:
        now: seconds since the epoch.
        uses: hits by key: where there are limits the most used go first, then the newest.

    Raises:
        StoreUnavailable: one of the stores is down. What was copied until then stays.
    """
    chosen = _chosen(source, uses or {}, limits) if limits.bounded else None
    copied = Copied()
    for entry in source.scan(limits.prefix):
        if chosen is not None and entry.key not in chosen:
            continue
        if put_entry(target, entry, now):
            copied.entries += 1
            copied.size += len(entry.value)
        else:
            copied.refused += 1
    return copied


def put_entry(store: Store, entry: Entry, now: float) -> bool:
    """Keep an entry that was read elsewhere. False where the store did not keep it."""
    ttl = None if entry.expires == float("inf") else entry.expires - now
    return store.put(entry.key, entry.value, ttl, tags=entry.tags, asked=entry.written)


def _chosen(source: Store, uses: Mapping[str, int], limits: Limits) -> Container[str]:
    ranked = (
        (uses.get(entry.key, 0), entry.written, entry.key, len(entry.value)) for entry in source.scan(limits.prefix)
    )
    best = sorted(ranked, reverse=True) if limits.entries is None else heapq.nlargest(limits.entries, ranked)
    room = float("inf") if limits.size is None else limits.size
    chosen: set[str] = set()
    for _, _, key, size in best:
        room -= size
        if room < 0:
            break
        chosen.add(key)
    return chosen
