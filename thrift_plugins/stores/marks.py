"""What was forgotten lately, by name, so that an answer which was on its way then does not come back.

Forgetting one key, a tag or a prefix leaves one name; a value looks for all names that would have covered it. Within a
tenant (`{tenant}:` at the start of a key) names are exact. A longer prefix is rounded up to its tenant and one that is
shorter up to everything: an answer too many is asked for again, none too few.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from thrift_plugins.stores.base import MARK_TTL

_KEY, _TAG, _ALL = "k", "t", "a"


def tenant_of(key: str) -> str:
    """The start of a key or prefix that all keys of its tenant have in common, such as `{tenant}:`; empty where there is none."""
    end = key.find("}:")
    return key[: end + 2] if end > 0 and key[0] == "{" else ""


def of_key(key: str) -> str:
    """The name left by forgetting one key."""
    return _KEY + key


def of_tag(tag: str, prefix: str) -> str:
    """The name left by forgetting a tag under a prefix."""
    return f"{_TAG}{tenant_of(prefix)}\0{tag}"


def of_prefix(prefix: str) -> str:
    """The name left by forgetting everything under a prefix."""
    return _ALL + tenant_of(prefix)


def covering(key: str, tags: tuple[str, ...]) -> Iterator[str]:
    """Every name that would have covered a value."""
    yield of_key(key)
    for prefix in {"", tenant_of(key)}:
        yield of_prefix(prefix)
        for tag in tags:
            yield of_tag(tag, prefix)


class Marks:
    """The names and when they were left, in memory. For one thread at a time."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, float] = OrderedDict()

    def leave(self, name: str, now: float) -> None:
        """Remember that this was forgotten now."""
        self._left.pop(name, None)
        self._left[name] = now
        while self._left[oldest := next(iter(self._left))] < now - MARK_TTL:
            del self._left[oldest]

    def since(self, asked: float, key: str, tags: tuple[str, ...]) -> bool:
        """Whether a value that was asked for at that time has been forgotten since."""
        return bool(self._left) and any(self._left.get(name, -1.0) >= asked for name in covering(key, tags))
