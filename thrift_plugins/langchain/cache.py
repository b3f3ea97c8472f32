"""`ResponseCache`: our response cache as LangChain's own cache backend, for apps that want nothing else of ours.

    set_llm_cache(ResponseCache("redis://cache.internal:6379/0"))

LangChain asks its cache on `invoke` only, and tells it nothing of schema classes: streams, structured output by class
and single flight need `ThriftChatModel`. Single flight cannot be had here, because a lookup and an update are two halves
that nothing joins: where the call between them fails, nobody tells the cache, and all that wait would wait in vain.

Whose call it is, is said by `thrift_plugins.scope(tenant=...)` around it, or by `thrift_tenant` and the like in the metadata
of the chain, agent or graph in which the model runs. LangChain does not show a cache the metadata of a model that is
invoked alone.
"""

# ruff: noqa: ARG002  LangChain's signatures

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables.config import var_child_runnable_config

from thrift_plugins.caching import Admission, CachePolicy
from thrift_plugins.config import SemanticConfig
from thrift_plugins.effects import Match
from thrift_plugins.errors import StoreError
from thrift_plugins.forgetting import Forgetting
from thrift_plugins.forks import new_lock
from thrift_plugins.langchain.cache_request import request_of
from thrift_plugins.langchain.convert import reply_in, usage_in
from thrift_plugins.langchain.generations import dump, load
from thrift_plugins.langchain.request import scope_of
from thrift_plugins.langchain.tally import Ending, Tally
from thrift_plugins.scope import current_scope, wants_fresh
from thrift_plugins.stores import open_store
from thrift_plugins.stores.base import Clock, Store
from thrift_plugins.types import NO_USAGE, Reply, Request, Scope

if TYPE_CHECKING:
    from thrift_plugins.semantic import SemanticCache
    from thrift_plugins.text.embed import Embedder

logger = logging.getLogger("thrift_plugins")

_REMEMBERED, _SHORT = 4_096, 4_096
"""Prompts whose address is remembered, and the characters of the longest of them: 16 MB at most."""

_AWAITED = 16
"""Lookups of one context whose call may still be on its way."""


class _Miss(NamedTuple):
    """What a lookup leaves for the update that may follow it.

    Attributes:
        asked: when, so that an answer which is forgotten meanwhile is not kept.
        shadow: a semantic hit that was not given, to be compared with the answer.
    """

    asked: float
    shadow: Match | None = None


_misses: ContextVar[Mapping[str, _Miss]] = ContextVar("thrift_cache_misses", default={})  # noqa: B039  never changed in place
"""By address. LangChain makes lookup, call and update in one context, and nothing else joins them."""


class ResponseCache(BaseCache):
    """A response cache for `set_llm_cache` or `model.cache`.

    A store that is down costs an answer, never an error: the call is made.

    Args:
        store: an open store or its URL ("memory:", "sqlite:///path", "redis://..."); by default the user's SQLite file.
        policy: what may be stored, for whom, and for how long.
        semantic: settings of the tier that finds answers to the same question in other words; off by default.
        embedder: what reads questions for it, by default one that needs no download.
        clock: seconds since the epoch.

    Attributes:
        tally: counts of this object, by tenant and feature.
    """

    def __init__(
        self,
        store: Store | str = "",
        *,
        policy: CachePolicy | None = None,
        semantic: SemanticConfig | None = None,
        embedder: Embedder | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.store = open_store(store, clock=clock) if isinstance(store, str) else store
        self.policy = policy or CachePolicy()
        self.semantic = self._open_semantic(semantic, embedder, clock) if semantic and semantic.enabled else None
        self.tally = Tally()
        self._clock = clock
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._admit)
        self._counting = new_lock()

    def _open_semantic(self, settings: SemanticConfig, embedder: Embedder | None, clock: Clock) -> SemanticCache:
        from thrift_plugins.semantic import open_semantic  # noqa: PLC0415  numpy is for those who use it

        return open_semantic(self.store, self.policy, settings, embedder, opened=_first_reply, clock=clock)

    @property
    def hits(self) -> int:
        """Lookups that found an answer."""
        return self.tally.total.hits

    @property
    def misses(self) -> int:
        """Lookups that found none, or none that could be read."""
        return self.tally.total.misses

    @property
    def outages(self) -> int:
        """Lookups and updates that the store did not do."""
        return self.tally.outages

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """The stored generations, or None."""
        scope = _scope()
        admission = self._admitted(prompt, llm_string, scope)
        if admission.key is None or wants_fresh():
            self._passed(scope, admission)
            return None
        try:
            data = self.store.get(admission.key)
            found = load(data) if data is not None else None
            match = self._search(prompt, llm_string, scope, admission) if found is None and self.semantic else None
        except Exception as error:  # noqa: BLE001  a store may be the app's own, and is only an optimisation
            self._out("call made", error)
            found = match = None
        return self._ended(scope, admission.key, found, match)

    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """`lookup` without blocking the event loop."""
        scope = _scope()
        admission = self._admitted(prompt, llm_string, scope)
        if admission.key is None or wants_fresh():
            self._passed(scope, admission)
            return None
        match: Match | str | None = None
        try:
            data = await self.store.aget(admission.key)
            found = load(data) if data is not None else None
            if found is None and self.semantic is not None:
                match = await self.semantic.asearch(self._request(prompt, llm_string, scope), admission)
        except Exception as error:  # noqa: BLE001  as in `lookup`
            self._out("call made", error)
            found = match = None
        return self._ended(scope, admission.key, found, match)

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store generations, if they are whole and may be given again."""
        request, admission, value, miss = self._kept(prompt, llm_string, return_val)
        if admission.key is None or value is None:
            return
        try:
            kept = self.store.put(admission.key, value, admission.ttl, tags=admission.tags, asked=miss)
            if kept and self.semantic is not None:
                self.semantic.learn(request, admission)
        except Exception as error:  # noqa: BLE001  as in `lookup`; the answer is paid for and must not be lost
            self._out("answer not stored", error)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """`update` without blocking the event loop."""
        request, admission, value, miss = self._kept(prompt, llm_string, return_val)
        if admission.key is None or value is None:
            return
        try:
            kept = await self.store.aput(admission.key, value, admission.ttl, tags=admission.tags, asked=miss)
            if kept and self.semantic is not None:
                await self.semantic.alearn(request, admission)
        except Exception as error:  # noqa: BLE001  as in `update`
            self._out("answer not stored", error)

    def forget(self, *, tag: str | None = None, feature: str | None = None, tenant: str | None = None) -> int | None:
        """Forget the answers that have a tag, or are of a feature, or of a tenant, or of both.

        Returns:
            How many there were; None where all of a tenant's were forgotten, which are not counted.

        Raises:
            ConfigError: nothing is given, or tag and feature both.
            StoreUnavailable: the store is down; nobody should believe that they are gone.
        """
        return Forgetting(tag=tag, feature=feature, tenant=tenant).apply(self.store)

    async def aforget(
        self, *, tag: str | None = None, feature: str | None = None, tenant: str | None = None
    ) -> int | None:
        """`forget` without blocking the event loop."""
        return await Forgetting(tag=tag, feature=feature, tenant=tenant).aapply(self.store)

    def clear(self, **kwargs: Any) -> None:
        """Forget every answer of every tenant in the store.

        Raises:
            StoreUnavailable: the store is down; nobody should believe that it is empty.
        """
        self.store.clear()

    async def aclear(self, **kwargs: Any) -> None:
        """`clear` without blocking the event loop."""
        await self.store.aclear()

    def _request(self, prompt: str, llm_string: str, scope: Scope) -> Request:
        return request_of(prompt, llm_string, scope, at=self._clock(), fresh=wants_fresh())

    def _admitted(self, prompt: str, llm_string: str, scope: Scope) -> Admission:
        """What the policy says. The app's own rules may look at the time, so what they said once says nothing more."""
        admit = self._admit if self.policy.rules is not None or len(prompt) > _SHORT else self._remembered
        return admit(prompt, llm_string, scope)

    def _admit(self, prompt: str, llm_string: str, scope: Scope) -> Admission:
        return self.policy.admit(self._request(prompt, llm_string, scope))

    def _search(self, prompt: str, llm_string: str, scope: Scope, admission: Admission) -> Match | str | None:
        return self.semantic.search(self._request(prompt, llm_string, scope), admission) if self.semantic else None

    def _passed(self, scope: Scope, admission: Admission) -> None:
        """Count a call that no stored answer may answer."""
        self._count(scope, "passed")
        self._because(admission.why or "fresh answer wanted")

    def _ended(
        self, scope: Scope, key: str, found: list[Generation] | None, match: Match | str | None
    ) -> list[Generation] | None:
        """Count a lookup, and note what its update will need."""
        if isinstance(match, str):
            self._because(match)
            match = None
        if found is None and match is not None and not match.shadow:
            found, match = load(match.reply_bytes), None
        if found is not None:
            self._count(scope, "hits", _saved(found))
            return found
        self._count(scope, "misses")
        awaited = {**_misses.get(), key: _Miss(self._clock(), match)}
        _misses.set(awaited if len(awaited) <= _AWAITED else dict([*awaited.items()][-_AWAITED:]))
        return None

    def _kept(
        self, prompt: str, llm_string: str, generations: Sequence[Generation]
    ) -> tuple[Request, Admission, bytes | None, float | None]:
        """What is stored of generations, None where it may not be given again, and when they were asked for."""
        scope = _scope()
        request, admission = self._request(prompt, llm_string, scope), self._admitted(prompt, llm_string, scope)
        awaited = dict(_misses.get())
        miss = awaited.pop(admission.key or "", None)
        _misses.set(awaited)
        replies = [_reply(generation) for generation in generations]
        if miss is not None and miss.shadow is not None and self.semantic is not None and replies:
            self.semantic.judge(miss.shadow, replies[0])
        value = None
        if admission.key is not None:
            refused = next(
                (why for reply in replies if (why := self.policy.keeps(request, reply, streamed=False))), None
            )
            value = dump(generations) if refused is None else None
            if value is None:
                self._because(refused or "no JSON form")
        return request, admission, value, miss.asked if miss is not None else None

    def _count(self, scope: Scope, ending: Ending, saved: tuple[int, int] = (0, 0)) -> None:
        with self._counting:
            self.tally.add(scope, ending, saved)

    def _because(self, why: str) -> None:
        with self._counting:
            self.tally.reasons[why] += 1

    def _out(self, what: str, error: Exception) -> None:
        with self._counting:
            self.tally.outages += 1
        told = error if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        logger.warning("response cache: %s, %s", told, what)


def _scope() -> Scope:
    """The scope of the block, with what the metadata of the run says over it in which the model is called."""
    config = var_child_runnable_config.get()
    return scope_of(config) if config else current_scope()


def _first_reply(data: bytes, _now: float) -> Reply | None:
    """The first of the stored generations. What is past its time, the store does not give."""
    found = load(data)
    return _reply(found[0]) if found else None


def _saved(generations: Sequence[Generation]) -> tuple[int, int]:
    """Input and output tokens of the call that is not made, as far as its model had counted them."""
    message = generations[0].message if generations and isinstance(generations[0], ChatGeneration) else None
    used = usage_in(message) if isinstance(message, AIMessage) else NO_USAGE
    return used.input_tokens, used.output_tokens


def _reply(generation: Generation) -> Reply:
    """A generation in our words."""
    told = generation.generation_info or {}
    finish = told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason")
    if not isinstance(generation, ChatGeneration) or not isinstance(generation.message, AIMessage):
        return Reply(content=generation.text, usage=NO_USAGE, finish_reason=finish)
    reply = reply_in(generation.message)
    return replace(reply, finish_reason=finish or reply.finish_reason, storable=True)
