"""What an app has learnt of its prompts and answers, passed on through its store: to its other processes, and to later ones.

Each process now and then publishes what it has learnt since the last time, and takes in what others have published. No
text is among it, only counts. Nothing waits for it, and without a store that answers each process learns alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from typing import Final, Protocol
from uuid import uuid4

import orjson

from thrift_plugins.errors import StoreError
from thrift_plugins.forks import renew_after_fork
from thrift_plugins.stores.base import Store

logger = logging.getLogger("thrift_plugins")

CHANNEL: Final = "learnt"
"""The feed of what is learnt of prompts and answers."""

_EVERY: Final = 600.0
_LIVES: Final = 7 * 86_400.0
_AT_ONCE: Final = 100
_UNSENT: Final = 20
"""Times that a store may fail before what was learnt meanwhile stays in its process."""


class Learner(Protocol):
    """Learns from calls, and can tell others of it."""

    def drain(self) -> str:
        """What was learnt here since the last time, as a text for `merge`; "" for nothing."""
        ...

    def merge(self, text: str) -> None:
        """Learn what another process has drained. Raises `ValueError` or `StoreError` where it is not that."""
        ...


class Learnt:
    """Passes on what is learnt.

    Args:
        store: the app's store.
        learners: who learns, by the name under which the others know them.
        channel: the feed of the store that it goes through.
        every: seconds between two exchanges.
        lives: seconds for which a record is there for others.
    """

    def __init__(
        self,
        store: Store,
        learners: Mapping[str, Learner],
        *,
        channel: str = CHANNEL,
        every: float = _EVERY,
        lives: float = _LIVES,
    ) -> None:
        self._store, self._learners = store, dict(learners)
        self._channel, self._every, self._lives = channel, every, lives
        self._cursor = ""
        self._next = 0.0
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """A name, a lock, and news of this process's own: those of before are its parent's to tell."""
        self._name = uuid4().hex
        self._lock = Lock()
        self._unsent: list[dict[str, str]] = []

    def due(self) -> bool:
        """Whether it is time for an exchange: at first, and then every so often. Says so once."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._every
        return True

    def exchange(self, *, last: bool = False) -> None:
        """Take in what others have learnt, and tell what was learnt here. A store that is down is tried next time.

        Args:
            last: whether none comes after it. Else it is left to one that is under way.
        """
        if not self._lock.acquire(blocking=last):
            return
        try:
            with suppress(StoreError):
                self.take()
            self._tell()
        finally:
            self._lock.release()

    def take(self) -> None:
        """Take in what others have learnt. Raises `StoreError`."""
        while page := self._store.since(self._channel, self._cursor, _AT_ONCE):
            for cursor, record in page:
                self._cursor = cursor
                try:
                    self._merge(record)
                except (StoreError, ValueError, KeyError, TypeError, AttributeError) as error:
                    logger.debug("learnt: a record of another version or of nobody's is passed over (%r)", error)

    def _merge(self, record: bytes) -> None:
        told = orjson.loads(record)
        if told["by"] == self._name:
            return
        for news in told["news"]:
            for name, text in news.items():
                if name in self._learners:
                    self._learners[name].merge(text)

    def _tell(self) -> None:
        news = {name: text for name, learner in self._learners.items() if (text := learner.drain())}
        if news:
            self._unsent = [*self._unsent, news][-_UNSENT:]
        if self._unsent:
            with suppress(StoreError):
                self._store.publish(self._channel, orjson.dumps({"by": self._name, "news": self._unsent}), self._lives)
                self._unsent = []
