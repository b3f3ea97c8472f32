"""The caches that people use today, each as a LangChain cache, where it installs and runs here (extra `bench`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from tests.redis_server import RedisServer

ROOM = 1_000_000
"""Entries that a peer with a limit of its own is given room for."""


class Cache(Protocol):
    """The synchronous half of LangChain's `BaseCache`."""

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Any] | None: ...

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None: ...


def running(folder: Path, server: RedisServer) -> dict[str, Cache]:
    """Those that find here what they have stored; for the others, why not, on stderr."""
    makers: dict[str, Callable[[], Any]] = {
        "peer_in_memory_cache": _in_memory,
        "peer_sqlite_cache": lambda: _community_sqlite(folder),
        "peer_diskcache": lambda: _Disk(folder),
        "peer_gptcache": lambda: _gptcache(folder),
        "peer_langchain_redis": lambda: _langchain_redis(server),
        "peer_redis_json_free": lambda: _community_redis(server),
    }
    found: dict[str, Cache] = {}
    for name, make in makers.items():
        try:
            found[name] = _works(make())
        except Exception as error:
            sys.stderr.write(f"{name} does not run here: {type(error).__name__}: {str(error)[:120]}\n")
    return found


def _works(cache: Any) -> Any:
    from langchain_core.outputs import Generation

    cache.update("probe", "probe", [Generation(text="probe")])
    if not cache.lookup("probe", "probe"):
        raise AssertionError("it does not find what it stored")
    return cache


def _in_memory() -> Any:
    from langchain_core.caches import InMemoryCache

    return InMemoryCache()


def _community_sqlite(folder: Path) -> Any:
    from langchain_community.cache import SQLiteCache

    return SQLiteCache(database_path=str(folder / "community.db"))


def _community_redis(server: RedisServer) -> Any:
    from langchain_community.cache import RedisCache
    from redis import Redis

    return RedisCache(Redis.from_url(server.url), ttl=86_400)


class _Disk:
    """diskcache, used as its documentation shows, with LangChain's own serialiser."""

    def __init__(self, folder: Path) -> None:
        from diskcache import Cache as Disk

        self._cache = Disk(str(folder / "diskcache"))

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Any] | None:
        from langchain_core.load import loads

        found = self._cache.get(self._key(prompt, llm_string))
        return None if found is None else loads(found, allowed_objects="core")

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        from langchain_core.load import dumps

        self._cache.set(self._key(prompt, llm_string), dumps(list(return_val)), expire=86_400)

    @staticmethod
    def _key(prompt: str, llm_string: str) -> str:
        return sha256(f"{prompt}\0{llm_string}".encode()).hexdigest()


def _gptcache(folder: Path) -> Any:
    from gptcache.manager.factory import manager_factory
    from gptcache.processor.pre import get_prompt
    from langchain_community.cache import GPTCache

    def init(cache: Any, llm: str) -> None:
        place = folder / f"gptcache-{abs(hash(llm))}"
        place.mkdir(exist_ok=True)
        manager = manager_factory(manager="map", data_dir=str(place), max_size=ROOM)
        cache.init(pre_embedding_func=get_prompt, data_manager=manager)

    return GPTCache(init)


def _langchain_redis(server: RedisServer) -> Any:
    from langchain_redis import RedisCache

    return RedisCache(redis_url=server.url)
