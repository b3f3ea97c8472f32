"""What an app's wrapped models share: policies, store, ledger, prices and clock, built once from a `Config`."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thrift_plugins.caching import CachePolicy
from thrift_plugins.config import Config
from thrift_plugins.engine import Append, Effect, Engine, Keep, LookUp
from thrift_plugins.errors import ConfigError, StoreError
from thrift_plugins.ledger import Ledger
from thrift_plugins.prices import Prices
from thrift_plugins.routing import Router, RuleRouter
from thrift_plugins.scope import current_recording, current_route, wants_fresh
from thrift_plugins.stores import ledger_beside, open_event_log, open_store
from thrift_plugins.stores.base import Clock, EventLog, Store
from thrift_plugins.types import Json, Message, Request, Scope


class Runtime:
    """The shared half of every wrapped model.

    Args:
        config: settings, the path of a `thrift.toml`, or None for the defaults.
        store: an open store, over `config.store`.
        router: a policy of the app's own, over the rules.
        event_log: an open log for the ledger, over `config.ledger.url`.
        prices: model to rates in US dollars per million tokens, over those in `config`.
        clock: seconds since the epoch.
        standing: what is out of order for every call, for the ledger.

    Raises:
        ConfigError: a setting that cannot work.
        StoreCorrupt: a store file that is damaged or not ours.
    """

    def __init__(
        self,
        config: Config | str | Path | None = None,
        *,
        store: Store | None = None,
        router: Router | None = None,
        event_log: EventLog | None = None,
        prices: Mapping[str, Mapping[str, float]] | None = None,
        clock: Clock = time.time,
        standing: tuple[str, ...] = (),
    ) -> None:
        settings = config if isinstance(config, Config) else Config.load(config) if config else Config()
        self.config = settings
        self.clock = clock
        self.prices = Prices({**settings.prices, **(prices or {})}, clock=clock)
        self.prices.load()
        self.engine = Engine(
            cache=CachePolicy(settings.cache.ttl, settings.cache.max_temperature) if settings.cache.enabled else None,
            router=(router or RuleRouter(caution=settings.routing.caution)) if settings.routing.enabled else None,
            standing=standing,
        )
        self.store = store if store is not None else open_store(settings.store, clock=clock)
        self.ledger = self._open_ledger(event_log)

    def _open_ledger(self, event_log: EventLog | None) -> Ledger | None:
        if not self.config.ledger.enabled:
            return None
        url = self.config.ledger.url or ledger_beside(self.config.store)
        log = event_log if event_log is not None else open_event_log(url)
        return Ledger(log, self.prices, capacity=self.config.ledger.capacity)

    def request(
        self,
        *,
        dialect: str,
        model: str,
        identities: Sequence[str | None],
        messages: Iterable[Message],
        tools: tuple[Mapping[str, Json], ...] = (),
        schema: Mapping[str, Json] | None = None,
        params: Mapping[str, Json],
        scope: Scope,
        cacheable: bool = True,
        forced: str | None = None,
    ) -> Request:
        """A request of this runtime: now, with an id of its own, or with that of the recorded call being replayed.

        Args:
            identities: for each tier a digest of its settings, None where they have no canonical form.
            forced: tier that the call insists on; without one, that of the block it is in.
        """
        recording = current_recording()
        now = self.clock()
        return Request(
            id=recording.request_id if recording else f"{int(now * 1_000_000):014x}{_process_tag()}{next(_calls):08x}",
            at=now,
            model=model,
            messages=tuple(messages),
            tools=tools,
            schema=schema,
            params=params,
            identity=" ".join([dialect, *map(str, identities)]),
            scope=scope,
            cacheable=cacheable and None not in identities,
            fresh=wants_fresh(),
            forced=forced or current_route(),
            baseline_usage=recording.baseline_usage if recording else None,
        )

    def perform(self, effect: Effect) -> Any:
        """Do an effect on the store or the ledger."""
        match effect:
            case LookUp(key):
                return self.store.get(key)
            case Keep(key, value, ttl):
                return self.store.put(key, value, ttl)
            case Append(event):
                return self.ledger.append(event) if self.ledger else None
            case _:
                raise AssertionError(effect)

    async def aperform(self, effect: Effect) -> Any:
        """`perform` without blocking the event loop."""
        match effect:
            case LookUp(key):
                return await self.store.aget(key)
            case Keep(key, value, ttl):
                return await self.store.aput(key, value, ttl)
            case _:
                return self.perform(effect)

    def close(self) -> None:
        """Write the ledger out and let go of files and connections. Idempotent."""
        if self.ledger:
            self.ledger.close()
        self.store.close()


logger = logging.getLogger("thrift_plugins")

_calls = itertools.count()


@functools.lru_cache(maxsize=1)
def _tag_of(process: int) -> str:
    return f"{process:06x}{os.urandom(4).hex()}"


def _process_tag() -> str:
    """Tells apart the calls of this process from those of any other, forked ones included."""
    return _tag_of(os.getpid())


_default: Runtime | None = None
_lock = threading.Lock()


def default_runtime() -> Runtime:
    """The runtime of models that were given none: made at first use, from `./thrift.toml` if there is one."""
    global _default  # noqa: PLW0603  one for the process, so that every model shares one cache and one ledger
    with _lock:
        if _default is None:
            _default = Runtime("thrift.toml") if Path("thrift.toml").is_file() else _by_default()
        return _default


def _by_default() -> Runtime:
    """With nothing configured, nothing may break the app: not a home that cannot be written, nor a damaged file there."""
    try:
        return Runtime()
    except (StoreError, OSError, RuntimeError) as error:
        logger.warning("answers and ledger are kept in memory only: %s", error)
        memory = Config(store="memory:")
        return Runtime(memory, standing=(f"store and ledger: in memory only ({type(error).__name__})",))


def chosen_runtime(runtime: Runtime | None, config: Config | str | Path | None) -> Runtime:
    """The runtime of a wrapped model: the one given, one of its own from a config, or the process's.

    Raises:
        ConfigError: both are given.
    """
    if runtime is not None and config is not None:
        raise ConfigError("give runtime= or config=, not both: a runtime has its settings already")
    if runtime is not None:
        return runtime
    return Runtime(config) if config is not None else default_runtime()
