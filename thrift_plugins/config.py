"""One frozen tree of settings, from code or from `thrift.toml`.

    store = "redis://cache.internal:6379/0"     # default: a SQLite file in the user's data directory

    [cache]
    ttl = 3600

    [routing]
    enabled = false

    [prices."my-model"]
    input = 0.2                                 # US dollars per million tokens
    output = 0.8

A key that nobody knows is an error with the nearest known one, never ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from thrift_plugins.errors import ConfigError

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Settings of the response cache.

    Attributes:
        ttl: seconds that an answer lives, more than 0.
        max_temperature: requests above it are never answered from the cache.
    """

    enabled: bool = True
    ttl: float = 86_400.0
    max_temperature: float = 0.1

    def __post_init__(self) -> None:
        if not self.ttl > 0:
            raise ConfigError(f"cache.ttl must be more than 0 seconds, not {self.ttl}; to switch the cache off, set cache.enabled = false")


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """Settings of routing by rules.

    Attributes:
        caution: near 0 sends cheap whatever may go, 1 nothing.
    """

    enabled: bool = True
    caution: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.caution <= 1:
            raise ConfigError(f"routing.caution must be above 0 and at most 1, not {self.caution}")


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """Settings of the ledger.

    Attributes:
        url: where events are kept: "sqlite:///path", "memory:", or "" for a file of its own beside the store's.
        capacity: events that may wait while that is down.
    """

    enabled: bool = True
    url: str = ""
    capacity: int = 20_000

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ConfigError(f"ledger.capacity must be 1 or more, not {self.capacity}")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set.

    Attributes:
        store: where answers are kept: "memory:", "sqlite:///path", "redis://...", or "" for the default file.
        prices: model to its rates in US dollars per million tokens; over the built-in ones.
    """

    store: str = ""
    cache: CacheConfig = field(default_factory=CacheConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def none(cls) -> Config:
        """Every tactic off; the ledger still counts."""
        return cls(cache=CacheConfig(enabled=False), routing=RoutingConfig(enabled=False))

    @classmethod
    def load(cls, path: str | Path) -> Config:
        """Settings from a TOML file.

        Raises:
            ConfigError: no such file, not TOML, an unknown key, or a value of the wrong type; says which.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            tree = tomllib.loads(text)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        return _section(cls, tree, str(path))


def _section(kind: type[Section], tree: Mapping[str, Any], where: str) -> Section:
    """Build a settings dataclass from a table of a file."""
    hints = get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind)}  # type: ignore[arg-type]  # it is a dataclass
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in known:
            raise ConfigError.unknown_key(key, known, where)
        values[key] = _value(known[key], value, f"{where}: {key}")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a table, not {type(value).__name__}")
        return _section(kind, value, where)
    if kind is float and type(value) is int:
        return float(value)
    plain = get_origin(kind) or kind
    wanted = dict if plain is Mapping else plain
    if type(value) is not wanted and not (isinstance(value, dict) and plain not in (bool, int, float, str)):
        raise ConfigError(f"{where} must be of type {getattr(kind, '__name__', kind)}, not {type(value).__name__}: {value!r}")
    return value
