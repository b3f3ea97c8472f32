"""Whether the ledger can be read, what is in it, and whether the models in it have prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from thrift_plugins.cli.checks.finding import Finding, State
from thrift_plugins.config import Config
from thrift_plugins.errors import ConfigError, StoreError
from thrift_plugins.prices import Prices
from thrift_plugins.stores import ledger_beside, open_event_log

_MODELS_SHOWN = 8


@dataclass(slots=True)
class _Seen:
    """What the ledger holds."""

    rows: int = 0
    last: float = 0.0
    models: Counter[str] = field(default_factory=Counter)


def ledger(config: Config) -> Iterator[Finding]:
    """The ledger and the prices of the models in it."""
    seen = _Seen()
    if config.ledger.enabled:
        try:
            seen = _read(config.ledger.url or ledger_beside(config.store))
            yield Finding("ledger", "events", _told(seen))
        except (ConfigError, StoreError) as error:
            yield Finding("ledger", "events", str(error), State.wrong)
    yield from _prices(config, seen.models)


def _read(url: str) -> _Seen:
    seen = _Seen()
    with closing(open_event_log(url)) as log:
        for _, at, body in log.rows():
            seen.rows, seen.last = seen.rows + 1, at
            entry = orjson.loads(body)
            seen.models.update({entry["requested_model"], entry["served_model"]} - {""})
    return seen


def _told(seen: _Seen) -> str:
    if not seen.rows:
        return "none yet"
    last = datetime.fromtimestamp(seen.last, UTC)
    return f"{seen.rows:,}, the last on {last:%Y-%m-%d at %H:%M} UTC"


def _prices(config: Config, used: Counter[str]) -> Iterator[Finding]:
    try:
        prices = Prices(config.prices)
    except ConfigError as error:
        yield Finding("prices", "overrides", str(error), State.wrong)
        return
    own = f"yours for {', '.join(sorted(config.prices))}" if config.prices else "none of yours"
    yield Finding("prices", "overrides", own)
    known = [model for model, _ in used.most_common() if prices.knows(model)]
    if known:
        more = f" and {len(known) - _MODELS_SHOWN} more" if len(known) > _MODELS_SHOWN else ""
        yield Finding("prices", "known", ", ".join(known[:_MODELS_SHOWN]) + more)
    for model in sorted(used.keys() - set(known)):
        told = f"{used[model]:,} calls of {model} are in no sum; give its price under [prices] in thrift.toml"
        yield Finding("prices", "unknown", told, State.note)
