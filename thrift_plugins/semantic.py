"""The semantic tier over a store: every process tells the others of its questions through a feed, and follows theirs.

A hit needs the entry itself: what was forgotten, has expired, or is another tenant's has none under the address that the
found question leads to. Redis has vector sets from version 8 on, but there a search of 20,000 questions alone took ten
times a GET or more, against three for the index in the process, which works on every store.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from thrift_plugins.caching import Admission, CachePolicy, address, unpack
from thrift_plugins.caching.semantic.asked import Asked
from thrift_plugins.caching.semantic.guard import Guard, Limits, Standing
from thrift_plugins.caching.semantic.records import Check
from thrift_plugins.caching.semantic.tier import Tier
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.config import SemanticConfig
from thrift_plugins.effects import Match
from thrift_plugins.errors import StoreError
from thrift_plugins.forks import renew_after_fork
from thrift_plugins.stores.base import Clock, Records, Store
from thrift_plugins.text.embed import Embedder, StaticEmbedder, Vectors
from thrift_plugins.types import Reply, Request

T = TypeVar("T")

_QUESTIONS, _CHECKS = "semantic-questions", "semantic-checks"
_CHECKS_LIVE = 30 * 86_400.0
_POLL = 0.2
"""Seconds between two looks at the feed."""

_AT_ONCE, _PAGES = 200, 5
"""Records of a page, and pages in one lookup: some milliseconds; the next lookup goes on."""

_VECTORS = 256
"""Questions whose vectors are kept between looking up and learning."""


class Found(NamedTuple):
    """A `Match`, with what was asked.

    Attributes:
        drawn: the tier's number for the comparison; None where it is to be given.
    """

    key: str
    reply_bytes: bytes
    score: float
    probability: float
    drawn: int | None
    asked: Asked

    @property
    def shadow(self) -> bool:
        """Whether it is to be compared, and not given."""
        return self.drawn is not None


# What is done with embedder and store; the two loops below do it.


class _Embed(NamedTuple):
    text: str


class _Get(NamedTuple):
    key: str


class _Since(NamedTuple):
    channel: str
    cursor: str


class _Publish(NamedTuple):
    channel: str
    data: bytes
    ttl: float


_Steps: TypeAlias = Generator[_Embed | _Get | _Since | _Publish, Any, T]


class SemanticCache:
    """Finds answers to similar questions in a store. Anything may fail here; then there is no answer from it.

    Args:
        store: where answers and feed are.
        tier: what is known.
        embedder: the tier's. Where it has `aembed`, asynchronous calls use that.
        address: where the answer to a request is kept.
        opened: reads a kept answer; None where it is none, or past its time.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        tier: Tier,
        embedder: Embedder,
        address: Callable[[Request], str | None],
        *,
        opened: Callable[[bytes, float], Reply | None],
        clock: Clock,
    ) -> None:
        self.tier = tier
        self._store, self._embedder, self._address, self._clock = store, embedder, address, clock
        self._opened = opened
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Follow the feed from its start, as a forked child must: its tier begins with nothing."""
        self._following = Lock()
        self._cursors = {_QUESTIONS: "", _CHECKS: ""}
        self._looked: float | None = None
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()

    def search(self, request: Request, admission: Admission) -> Match | str | None:
        """An answer to a question that means the same; why there can be none, in words; or None."""
        return self._run(self._search(request, admission))

    async def asearch(self, request: Request, admission: Admission) -> Match | str | None:
        """`search` without blocking the event loop."""
        return await self._arun(self._search(request, admission))

    def learn(self, request: Request, admission: Admission) -> None:
        """An answer to this request was kept."""
        self._run(self._learn(request, admission))

    async def alearn(self, request: Request, admission: Admission) -> None:
        """`learn` without blocking the event loop."""
        await self._arun(self._learn(request, admission))

    def judge(self, match: Match, reply: Reply) -> None:
        """Compare a match that was not given with the real answer. Others hear of it with the next lookup."""
        now, found = self._clock(), cast("Found", match)
        if found.drawn is not None:
            self.tier.compared(found.asked, self._opened(found.reply_bytes, now), reply, now, found.drawn)

    def close(self) -> None:
        """Tell others what they have not heard yet, as far as the store takes it."""
        with suppress(StoreError):
            for check in self.tier.told(self._clock()):
                self._store.publish(_CHECKS, check, _CHECKS_LIVE)

    def _search(self, request: Request, admission: Admission) -> _Steps[Match | str | None]:
        tier, now = self.tier, self._clock()
        what = tier.ask(request)
        if what is None or admission.key is None:
            return None
        yield from self._follow(now)
        why = tier.why_off(what, now)
        if why is not None:
            return why
        vector = yield from self._vector(what.question)
        finding = tier.find(what, vector, now)
        if finding is None:
            tier.missed(what, now)
            return None
        key = self._address(what.put_otherwise(finding.text))
        data: bytes | None = (yield _Get(key)) if key else None
        if key is None or data is None or self._opened(data, now) is None:
            tier.missed(what, now, finding)
            return None
        return Found(key, data, finding.cosine, finding.probability, tier.draw(what, now), what)

    def _learn(self, request: Request, admission: Admission) -> _Steps[None]:
        what = self.tier.ask(request)
        if what is None or admission.key is None:
            return
        vector = yield from self._vector(what.question)
        if vector.any():
            record = self.tier.learn(what, vector, self._clock() + admission.ttl)
            yield _Publish(_QUESTIONS, record, admission.ttl)

    def _follow(self, now: float) -> _Steps[None]:
        """Hear what others have told, unless somebody here is at it, and tell what was seen."""
        lately = self._looked is not None and 0 <= now - self._looked < _POLL
        if lately or not self._following.acquire(blocking=False):
            return
        try:
            self._looked = now
            for channel in self._cursors:
                if (yield from self._read(channel)):
                    self._looked = None
            for check in self.tier.told():
                yield _Publish(_CHECKS, check, _CHECKS_LIVE)
        finally:
            self._following.release()

    def _read(self, channel: str) -> _Steps[bool]:
        """Whether there is more than could be read now."""
        for _ in range(_PAGES):
            records: Records = yield _Since(channel, self._cursors[channel])
            told = [data for _, data in records]
            self.tier.take(*((told, []) if channel == _QUESTIONS else ([], told)))
            if records:
                self._cursors[channel] = records[-1][0]
            if len(records) < _AT_ONCE:
                return False
        return True

    def _vector(self, question: str) -> _Steps[Vectors]:
        known = self._vectors.get(question)
        if known is not None:
            return known
        vector: Vectors = yield _Embed(question)
        self._vectors[question] = vector
        while len(self._vectors) > _VECTORS:
            self._vectors.popitem(last=False)
        return vector

    def _run(self, steps: _Steps[T]) -> T:
        told: Any = None
        while True:
            try:
                step = steps.send(told)
            except StopIteration as end:
                return cast("T", end.value)
            try:
                told = self._do(step)
            except BaseException:
                steps.close()
                raise

    async def _arun(self, steps: _Steps[T]) -> T:
        told: Any = None
        while True:
            try:
                step = steps.send(told)
            except StopIteration as end:
                return cast("T", end.value)
            try:
                told = await self._ado(step)
            except BaseException:
                steps.close()
                raise

    def _do(self, step: _Embed | _Get | _Since | _Publish) -> Any:
        match step:
            case _Embed(text):
                return self._embedder.embed([text])[0]
            case _Get(key):
                return self._store.get(key)
            case _Since(channel, cursor):
                return self._store.since(channel, cursor, _AT_ONCE)
            case _Publish(channel, data, ttl):
                return self._store.publish(channel, data, ttl)

    async def _ado(self, step: _Embed | _Get | _Since | _Publish) -> Any:
        match step:
            case _Embed(text):
                return (await self._aembed(text))[0]
            case _Get(key):
                return await self._store.aget(key)
            case _Since(channel, cursor):
                return await self._store.asince(channel, cursor, _AT_ONCE)
            case _Publish(channel, data, ttl):
                return await self._store.apublish(channel, data, ttl)

    async def _aembed(self, text: str) -> Vectors:
        aembed = getattr(self._embedder, "aembed", None)
        if aembed is not None:
            return cast("Vectors", await aembed([text]))
        if isinstance(self._embedder, StaticEmbedder):  # sooner done than handed to a thread
            return self._embedder.embed([text])
        return await asyncio.to_thread(self._embedder.embed, [text])


def fresh_reply(data: bytes, now: float) -> Reply | None:
    """The answer in an entry of ours, None where it is of another form, or past its time."""
    stored = unpack(data)
    return stored.reply if stored is not None and now < stored.until else None


def open_semantic(
    store: Store,
    policy: CachePolicy,
    settings: SemanticConfig,
    embedder: Embedder | None,
    *,
    opened: Callable[[bytes, float], Reply | None] = fresh_reply,
    clock: Clock,
) -> SemanticCache:
    """The semantic tier of an app.

    Args:
        policy: decides where answers are kept.
        embedder: one of the app's own; None for the default.
        opened: reads a kept answer, given the time; see `SemanticCache`.

    Raises:
        ConfigError: fewer errors are wanted than the verifier was trained for.
    """
    reader = embedder if embedder is not None else StaticEmbedder()
    limits = Limits(max_errors=settings.max_errors, shadow=settings.shadow)
    tier = Tier(reader, Verifier.load(), limits)
    where = partial(address, folded=policy.fold)
    return SemanticCache(store, tier, reader, where, opened=opened, clock=clock)


def standings(store: Store, settings: SemanticConfig) -> list[Standing]:
    """How every scope does, as all processes of a store have told, the busiest first.

    Raises:
        StoreError: the store cannot be read.
    """
    guard, cursor = Guard(Limits(max_errors=settings.max_errors, shadow=settings.shadow), b""), ""
    while records := store.since(_CHECKS, cursor, _AT_ONCE):
        for _, data in records:
            check = Check.unpack(data)
            if check is not None:
                guard.fold(check)
        cursor = records[-1][0]
    return guard.standings()
