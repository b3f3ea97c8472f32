"""What a store holds, and what a ledger says of its use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from thrift_plugins.stores.base import Store
from thrift_plugins.types import Nano

By: TypeAlias = Literal["tenant", "feature", "day"]

_TAGS_COUNTED = 10_000
"""Different tags that are counted; an app may have one a document."""


@dataclass(slots=True)
class Holdings:
    """What a store holds. Ages in seconds.

    Attributes:
        size: bytes of the answers as they were given to the store, before it compresses and seals them.
        oldest, newest: age of the first and of the last entry that was written.
        tenants: entries by the tag of their tenant, which is a digest of its name; "-" is no tenant.
        tags: entries by what they can be forgotten by; the first 10,000 tags that were met.
    """

    entries: int = 0
    size: int = 0
    oldest: float = 0.0
    newest: float = 0.0
    tenants: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)

    @property
    def mean_size(self) -> float:
        """Bytes of an answer."""
        return self.size / self.entries if self.entries else 0.0


def holdings(store: Store, now: float, prefix: str = "") -> Holdings:
    """Count what is in a store, in one pass.

    Args:
        now: seconds since the epoch.
        prefix: of the keys that are counted.

    Raises:
        StoreUnavailable: the store is down.
    """
    found = Holdings()
    for entry in store.scan(prefix):
        age = max(now - entry.written, 0.0)
        found.oldest = max(found.oldest, age)
        found.newest = min(found.newest, age) if found.entries else age
        found.entries += 1
        found.size += len(entry.value)
        found.tenants[entry.key.partition("}")[0].removeprefix("{")] += 1
        found.tags.update(tag for tag in entry.tags if tag in found.tags or len(found.tags) < _TAGS_COUNTED)
    return found


@dataclass(slots=True)
class Traffic:
    """What became of some calls.

    Attributes:
        saved: what the hits would have cost, in nano-dollars; hits of models without a price are in `unpriced`.
    """

    calls: int = 0
    hits: int = 0
    saved: Nano = 0
    unpriced: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of the calls that were answered from the cache."""
        return self.hits / self.calls if self.calls else 0.0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count one ledger record."""
        if "lost" in entry.get("extra", {}):  # it stands for events that are missing
            return
        self.calls += 1
        if entry["outcome"] == "hit":
            self.hits += 1
            self.saved += entry["bill"]["rows"].get("cache", 0)
            self.unpriced += bool(entry["bill"]["unpriced"])


def traffic(records: Iterable[Mapping[str, Any]], by: Iterable[By]) -> tuple[Traffic, dict[By, dict[str, Traffic]]]:
    """Count ledger records in one pass: all of them, and by each of the given columns. A day is one of UTC."""
    total = Traffic()
    columns: dict[By, dict[str, Traffic]] = {name: {} for name in by}
    for entry in records:
        total.add(entry)
        for name, lines in columns.items():
            value = f"{datetime.fromtimestamp(entry['at'], UTC):%Y-%m-%d}" if name == "day" else entry[name]
            lines.setdefault(value, Traffic()).add(entry)
    return total, columns
