"""What an app's wrapped models share: policies, store, ledger, prices and clock, built once from a `Config`."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thrift_plugins.background import Background
from thrift_plugins.batching.session import current
from thrift_plugins.caching import CachePolicy
from thrift_plugins.config import BatchFeature, Config
from thrift_plugins.engine import Engine
from thrift_plugins.errors import ConfigError, StoreError
from thrift_plugins.finalizing import catch_up
from thrift_plugins.forgetting import Forgetting
from thrift_plugins.gating import open_gate, shared
from thrift_plugins.ledger import Ledger, remarks
from thrift_plugins.parts import (
    accounts_of,
    cache_policy,
    compression_policy,
    holdout_of,
    open_learnt,
    open_recorder,
    open_telemetry,
    output_policy,
)
from thrift_plugins.prices import Prices
from thrift_plugins.purse import Purse, Remaining
from thrift_plugins.routed import fixed, open_lessons, open_router, open_twice
from thrift_plugins.routing import Conversations, Router
from thrift_plugins.scope import current_recording, current_route, current_run, current_scope, wants_fresh
from thrift_plugins.stores import LocalSlices, ledger_beside, open_event_log, open_store
from thrift_plugins.stores.accounts import Accounts
from thrift_plugins.stores.base import Clock, EventLog, Store
from thrift_plugins.tokens import Bounds
from thrift_plugins.types import Json, Message, Request, Scope

if TYPE_CHECKING:
    from thrift_plugins.quality import Gate, Judge
    from thrift_plugins.semantic import SemanticCache
    from thrift_plugins.teaching import School
    from thrift_plugins.text.embed import Embedder

_AT_ONCE: Final = BatchFeature(waits=False)


class Runtime:
    """The shared half of every wrapped model.

    Args:
        config: settings, the path of a `thrift.toml`, or None for the defaults.
        store: an open store, over `config.store`.
        router: a policy of the app's own, over the rules.
        event_log: an open log for the ledger, over `config.ledger.url`.
        accounts: an open store for the accounts of budgets, over `config.budget_url`.
        embedder: what reads questions for the semantic tier, over `config.cache.semantic.embedder`; for one of your framework's
            see `LangChainEmbedder` and `LlamaIndexEmbedder`.
        judge: compares answers for the quality gate, over `config.quality.judge`.
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
        accounts: Accounts | None = None,
        embedder: Embedder | None = None,
        judge: Judge | None = None,
        prices: Mapping[str, Mapping[str, float]] | None = None,
        clock: Clock = time.time,
        standing: tuple[str, ...] = (),
    ) -> None:
        settings = config if isinstance(config, Config) else Config.load(config) if config else Config()
        self.config = settings
        self.clock = clock
        self.prices = Prices({**settings.prices, **(prices or {})}, clock=clock)
        self.prices.load()
        self.store = (
            store if store is not None else open_store(settings.store, clock=clock, max_bytes=settings.cache.max_bytes)
        )
        policy = cache_policy(settings.cache) if settings.cache.enabled else None
        self.semantic = self._open_semantic(policy, embedder)
        self.local_accounts: LocalSlices | None = None
        self.accounts = self._open_accounts(accounts)
        bounds, output = Bounds(), output_policy(settings.output)
        self.purse = Purse(tuple(settings.budgets), self.prices, bounds) if settings.budgets else None
        audits = open_gate(settings, judge, embedder, prices=self.prices, bounds=bounds)
        self.gate: Gate | None = audits.gate if audits else None
        self.school = self._open_school(embedder)
        self.engine = Engine(
            cache=policy,
            router=(router or open_router(settings.routing)) if settings.routing.enabled else None,
            standing=standing,
            patience=settings.cache.flight_wait if settings.cache.single_flight else None,
            semantic=self.semantic is not None,
            purse=self.purse,
            output=output,
            compression=compression_policy(settings.compression, self.prices),
            holdout=holdout_of(settings),
            fixed=fixed(settings.routing),
            lessons=open_lessons(settings, self.prices),
            twice=open_twice(settings.routing, self.prices),
            conversations=Conversations(self.prices) if settings.routing.enabled and settings.routing.pin else None,
            audits=audits,
            pupils=self.school.students if self.school else None,
            recorder=open_recorder(settings),
        )
        self.background = Background()
        self.learnt = open_learnt(self.store, bounds if self.purse else None, output.lengths if output else None)
        self._verdicts = shared(self.store, self.gate) if self.gate else None
        self.ledger = self._open_ledger(event_log)

    def _open_ledger(self, event_log: EventLog | None) -> Ledger | None:
        if not self.config.ledger.enabled:
            return None
        url = self.config.ledger.url or ledger_beside(self.config.store)
        log = event_log if event_log is not None else open_event_log(url)
        observer = open_telemetry(self.clock) if self.config.ledger.otel else None
        return Ledger(log, self.prices, capacity=self.config.ledger.capacity, observer=observer)

    def _open_accounts(self, accounts: Accounts | None) -> Accounts | None:
        settings = self.config
        if not settings.budgets and not settings.quality.enabled:
            return accounts
        if accounts is None:
            accounts = accounts_of(settings, self.clock)
        if all(budget.outage != "local" for budget in settings.budgets):
            return accounts
        self.local_accounts = LocalSlices(clock=self.clock)
        return self.local_accounts.watching(accounts)

    def _open_semantic(self, policy: CachePolicy | None, embedder: Embedder | None) -> SemanticCache | None:
        settings = self.config.cache.semantic
        if policy is None or not settings.enabled:
            return None
        from thrift_plugins.semantic import open_semantic  # noqa: PLC0415  numpy is for those who use it

        return open_semantic(self.store, policy, settings, embedder, clock=self.clock)

    def _open_school(self, embedder: Embedder | None) -> School | None:
        if not self.config.distillation.enabled:
            return None
        from thrift_plugins.teaching import open_school  # noqa: PLC0415  numpy is for those who use it

        return open_school(self.config, self.store, embedder, self.clock)

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
        run: str = "",
    ) -> Request:
        """A request of this runtime: now, with an id of its own, or with that of the recorded call being replayed.

        Args:
            identities: for each tier a digest of its settings, None where they have no canonical form.
            forced: tier that the call insists on; without one, that of the block it is in.
            run: the app's run that it is part of; that of the block goes before it.
        """
        recording = current_recording()
        now = self.clock()
        batched, said = self._batched(scope), tuple(messages)
        if self.learnt is not None and self.learnt.due():
            self.background.submit("learnt", self.learnt.exchange)
        if self._verdicts is not None and self._verdicts.due():
            self.background.submit(f"verdicts {next(_exchanges)}", self._verdicts.exchange)
        if self.school is not None and self.school.due():
            self.background.submit(f"students {next(_exchanges)}", self.school.exchange)
        return Request(
            id=recording.request_id if recording else f"{int(now * 1_000_000):014x}{_process_tag()}{next(_calls):08x}",
            at=now,
            model=model,
            messages=said,
            tools=tools,
            schema=schema,
            params=params,
            identity=" ".join([dialect, *map(str, identities)]),
            scope=scope,
            cacheable=cacheable and None not in identities,
            fresh=wants_fresh(),
            forced=forced or current_route(),
            baseline_usage=recording.baseline_usage if recording else None,
            run=current_run() or run,
            waits=batched.waits,
            within=batched.within,
            drawn_as=_lot(scope, said) if batched.waits else "",
        )

    def _batched(self, scope: Scope) -> BatchFeature:
        """Whether a call may wait: in a batch run, where its feature does not say otherwise."""
        return _AT_ONCE if current() is None else self.config.batch.of(scope.feature)

    def budgets(self, *, scope: Scope | None = None, run: str = "") -> list[Remaining]:
        """What is left of every budget that covers a scope, and when it starts anew.

        Args:
            scope: whose; by default that of the block.
            run: the run whose budgets are meant; by default that of the block.

        Raises:
            StoreUnavailable: the accounts are down.
        """
        if self.purse is None or self.accounts is None:
            return []
        return self.purse.remaining(self.accounts, scope or current_scope(), run or current_run())

    def forget(
        self, *, key: str | None = None, tag: str | None = None, feature: str | None = None, tenant: str | None = None
    ) -> int | None:
        """Forget stored answers: one by its key, or all with a tag, of a feature, of a tenant; a tenant narrows the others.

        An answer that is on its way meanwhile is not kept either.

        Returns:
            How many there were; None for a key, and where all of a tenant's were forgotten, which are not counted.

        Raises:
            ConfigError: nothing is given, or what cannot be combined.
            StoreUnavailable: the store is down; nobody should believe that they are gone.
        """
        return Forgetting(key=key, tag=tag, feature=feature, tenant=tenant).apply(self.store)

    async def aforget(
        self, *, key: str | None = None, tag: str | None = None, feature: str | None = None, tenant: str | None = None
    ) -> int | None:
        """`forget` without blocking the event loop."""
        return await Forgetting(key=key, tag=tag, feature=feature, tenant=tenant).aapply(self.store)

    def feedback(self, request_id: str, *, good: bool) -> None:
        """Tell what a reader thinks of an answer: it is booked, and the quality gate counts it.

        Whose call it was is known for five minutes in the process that made it, and there only; name the feature with
        `scope(feature=...)` where that may be another one, or later.

        Args:
            request_id: that of the call, which is on its answer: `response_metadata["thrift"]["request_id"]` in LangChain,
                `additional_kwargs["thrift"]["request_id"]` in LlamaIndex.
        """
        now, scope = self.clock(), current_scope()
        feature = self.gate.feedback(request_id, now, good=good) if self.gate else None
        if self.ledger:
            known = scope if feature is None else replace(scope, feature=feature)
            self.ledger.append(remarks.feedback(request_id, now, known, good=good))

    def close(self) -> None:
        """Write the ledger out and let go of files and connections. Idempotent."""
        self.background.close()
        catch_up()
        for learnt in (self.learnt, self._verdicts, self.school):
            if learnt:
                learnt.exchange(last=True)
        if self.semantic:
            self.semantic.close()
        if self.ledger:
            self.ledger.close()
        if self.accounts:
            self.accounts.close()
        self.store.close()


def open_budgets(config: Config | str | Path | None, scope: Scope, run: str = "") -> list[Remaining]:
    """How the budgets of an app stand, for somebody who makes no call.

    Args:
        config: the app's settings, the path of its `thrift.toml`, or None for the defaults.
        scope: whose budgets.
        run: which run's.

    Raises:
        ConfigError: a setting that cannot work.
        StoreUnavailable: the accounts are down.
    """
    settings = config if isinstance(config, Config) else Config.load(config) if config else Config()
    if not settings.budgets:
        return []
    accounts = accounts_of(settings)
    try:
        return Purse(tuple(settings.budgets), Prices(settings.prices), Bounds()).remaining(accounts, scope, run)
    finally:
        accounts.close()


logger = logging.getLogger("thrift_plugins")

_calls = itertools.count()
_exchanges = itertools.count()


@functools.lru_cache(maxsize=1)
def _tag_of(process: int) -> str:
    return f"{process:06x}{os.urandom(4).hex()}"


def _lot(scope: Scope, messages: Sequence[Message]) -> str:
    """What chance draws a call of a batch run by, which is asked again later, in other processes."""
    words = (word for message in messages for word in (message.role, message.text))
    told = "\0".join([scope.tenant, scope.user, scope.session, scope.feature, *words])
    return blake2b(told.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


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


def feedback(request_id: str, *, good: bool, runtime: Runtime | None = None) -> None:
    """Tell what a reader thinks of an answer; see `Runtime.feedback`.

    Args:
        runtime: the one of the model that answered; by default that of models that were given none.
    """
    (runtime or default_runtime()).feedback(request_id, good=good)


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
