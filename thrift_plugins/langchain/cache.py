"""`ResponseCache`: our response cache as LangChain's own cache backend, for apps that want nothing else of ours.

    set_llm_cache(ResponseCache("redis://cache.internal:6379/0"))

LangChain asks its cache on `invoke` only, and tells it nothing of schemas or tenants: streams, schema classes and
tenants in headers need `ThriftChatModel`. The tenant here is that of `thrift_plugins.scope(tenant=...)`.
"""

# ruff: noqa: ARG002  LangChain's signatures

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.outputs import ChatGeneration, Generation

from thrift_plugins.caching import CachePolicy
from thrift_plugins.errors import StoreError
from thrift_plugins.langchain.cache_key import cache_address, temperature
from thrift_plugins.langchain.generations import dump, load
from thrift_plugins.scope import current_scope
from thrift_plugins.stores import open_store
from thrift_plugins.stores.base import Clock, Store
from thrift_plugins.types import NO_USAGE, Reply

logger = logging.getLogger("thrift_plugins")


class ResponseCache(BaseCache):
    """An exact response cache for `set_llm_cache` or `model.cache`.

    A store that is down costs an answer, never an error: the call is made.

    Args:
        store: an open store or its URL ("memory:", "sqlite:///path", "redis://..."); by default the user's SQLite file.
        policy: what may be stored, and for how long.
        clock: seconds since the epoch, for a store that is opened here.

    Attributes:
        hits, misses, outages: counts of this object. An outage is a lookup or an update that the store did not do.
    """

    def __init__(self, store: Store | str = "", *, policy: CachePolicy | None = None, clock: Clock = time.time) -> None:
        self.store = open_store(store, clock=clock) if isinstance(store, str) else store
        self.policy = policy or CachePolicy()
        self.hits = self.misses = self.outages = 0

    def _address(self, prompt: str, llm_string: str) -> str | None:
        if temperature(llm_string) > self.policy.max_temperature:
            return None
        return cache_address(prompt, llm_string, current_scope())

    def _found(self, data: bytes | None) -> list[Generation] | None:
        found = load(data) if data is not None else None
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        return found

    def _kept(self, generations: Sequence[Generation]) -> bytes | None:
        return dump(generations) if all(self._whole(generation) for generation in generations) else None

    def _whole(self, generation: Generation) -> bool:
        """Whether the policy keeps it. What is not whole would be given again, cut, to everybody who asks."""
        told = dict(generation.generation_info or {})
        calls: Any = ()
        if isinstance(generation, ChatGeneration):
            told = {**generation.message.response_metadata, **told}
            calls = getattr(generation.message, "tool_calls", ())
        finish = told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason")
        content = generation.message.content if isinstance(generation, ChatGeneration) else generation.text
        reply = Reply(content=content, usage=NO_USAGE, tool_calls=tuple(calls), finish_reason=finish)
        return self.policy.keeps(reply, streamed=False)

    def _out(self, what: str, error: StoreError) -> None:
        self.outages += 1
        logger.warning("response cache: %s, %s", error, what)

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """The stored generations, or None."""
        key = self._address(prompt, llm_string)
        if key is None:
            return None
        try:
            return self._found(self.store.get(key))
        except StoreError as error:
            self._out("call made", error)
            return None

    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """`lookup` without blocking the event loop."""
        key = self._address(prompt, llm_string)
        if key is None:
            return None
        try:
            return self._found(await self.store.aget(key))
        except StoreError as error:
            self._out("call made", error)
            return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store generations, if they are whole."""
        key, value = self._address(prompt, llm_string), self._kept(return_val)
        if key is None or value is None:
            return
        try:
            self.store.put(key, value, self.policy.ttl)
        except StoreError as error:
            self._out("answer not stored", error)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """`update` without blocking the event loop."""
        key, value = self._address(prompt, llm_string), self._kept(return_val)
        if key is None or value is None:
            return
        try:
            await self.store.aput(key, value, self.policy.ttl)
        except StoreError as error:
            self._out("answer not stored", error)

    def clear(self, **kwargs: Any) -> None:
        """Forget every answer of every tenant in the store.

        Raises:
            StoreUnavailable: the store is down; nobody should believe that it is empty.
        """
        self.store.clear()

    async def aclear(self, **kwargs: Any) -> None:
        """`clear` without blocking the event loop."""
        await self.store.aclear()
