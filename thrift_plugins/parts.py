"""The parts of a runtime, each as the settings have it: None for those that are off."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from thrift_plugins.budgeting import Lengths, OutputPolicy
from thrift_plugins.caching import CachePolicy, Rule
from thrift_plugins.config import CacheConfig, CompressionConfig, Config, OutputConfig
from thrift_plugins.errors import ConfigError
from thrift_plugins.learnt import Learner, Learnt
from thrift_plugins.ledger import Observer
from thrift_plugins.ledger.holdout import in_holdout
from thrift_plugins.prices import Prices
from thrift_plugins.stores import accounts_beside, open_accounts
from thrift_plugins.stores.accounts import Accounts
from thrift_plugins.stores.base import Clock, Store
from thrift_plugins.tokens import Bounds
from thrift_plugins.types import Request

if TYPE_CHECKING:
    from thrift_plugins.compression.policy import CompressionPolicy
    from thrift_plugins.distilled import Recording


def open_recorder(settings: Config) -> Recording | None:
    """Who writes down what students learn from."""
    if not settings.distillation.record:
        return None
    from thrift_plugins import teaching  # noqa: PLC0415  for those who use it

    return teaching.open_recorder(settings)


def open_telemetry(clock: Clock) -> Observer:
    """Who tells OpenTelemetry. Raises ConfigError where it is not installed."""
    try:
        from thrift_plugins.ledger.otel import Telemetry  # noqa: PLC0415  for those who have it
    except ModuleNotFoundError as error:
        raise ConfigError("ledger.otel needs OpenTelemetry's API: pip install 'thrift-plugins[otel]'") from error
    return Telemetry(clock)


def holdout_of(settings: Config) -> Callable[[Request], bool] | None:
    """Who is left alone, to measure by. Drawn alike in all processes of an app: they share a store."""
    share, secret = settings.ledger.holdout, settings.store.encode()
    return (lambda request: in_holdout(request, share, secret)) if share and settings.ledger.enabled else None


def open_learnt(store: Store, bounds: Bounds | None, lengths: Lengths | None) -> Learnt | None:
    """What outlives a process, if anything learns, and if the store outlives it too."""
    learners: dict[str, Learner] = {}
    if bounds is not None:
        learners["bounds"] = bounds
    if lengths is not None:
        learners["lengths"] = lengths
    return Learnt(store, learners) if learners and store.kind != "memory" else None


def output_policy(settings: OutputConfig) -> OutputPolicy | None:
    """How long answers may be."""
    targets = (settings.default(), *settings.features.values())
    if all(target.mode == "off" for target in targets):
        return None
    return OutputPolicy(settings.features, settings.default())


def compression_policy(settings: CompressionConfig, prices: Prices) -> CompressionPolicy | None:
    """What shortens prompts."""
    known = {name: settings.of(name) for name in ("", *settings.features)}
    if not any(own.enabled for own in known.values()):
        return None
    from thrift_plugins.compression.opened import Settings, opened  # noqa: PLC0415  numpy is for those who use it

    return opened(
        {
            name: Settings(*(getattr(own, field) for field in Settings._fields)) if own.enabled else None
            for name, own in known.items()
        },
        prices,
        ranker=settings.ranker,
        encoder=settings.encoder,
        spelling=settings.spelling,
        duplicates=settings.duplicates,
        turns=settings.turns,
    )


def accounts_of(settings: Config, clock: Clock = time.time) -> Accounts:
    """The accounts of budgets."""
    return open_accounts(settings.budget_url or accounts_beside(settings.store), clock=clock)


def cache_policy(settings: CacheConfig) -> CachePolicy:
    """What may be cached, and for how long."""
    return CachePolicy(
        settings.ttl,
        settings.max_temperature,
        ttl_time_sensitive=settings.ttl_time_sensitive,
        stale=settings.stale,
        kinds=settings.kinds,
        fold=settings.fold,
        read_only_tools=frozenset(settings.read_only_tools),
        features={
            name: Rule(
                own.enabled,
                own.ttl,
                own.stale,
                own.kind or None,
                own.tool_calls,
                own.max_temperature,
            )
            for name, own in settings.features.items()
        },
    )
