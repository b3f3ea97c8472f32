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
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from thrift_plugins.errors import ConfigError
from thrift_plugins.prices.names import tidy

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
        _settle(self, "cache.")
        if not self.ttl > 0:
            off = "to switch the cache off, set cache.enabled = false"
            raise ConfigError(f"cache.ttl must be more than 0 seconds, not {self.ttl}; {off}")


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """Settings of routing by rules.

    Attributes:
        caution: near 0 sends cheap whatever may go, 1 nothing.
    """

    enabled: bool = True
    caution: float = 0.5

    def __post_init__(self) -> None:
        _settle(self, "routing.")
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
    url: str = field(default="", repr=False)  # it may hold a password
    capacity: int = 20_000

    def __post_init__(self) -> None:
        _settle(self, "ledger.")
        if self.capacity < 1:
            raise ConfigError(f"ledger.capacity must be 1 or more, not {self.capacity}")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set.

    Attributes:
        store: where answers are kept: "memory:", "sqlite:///path", "redis://...", or "" for the default file.
        prices: model to its rates in US dollars per million tokens; over the built-in ones.
    """

    store: str = field(default="", repr=False)  # it may hold a password
    cache: CacheConfig = field(default_factory=CacheConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self, "")
        _check_prices(self.prices)

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
            tree = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            return _section(cls, tree, "the top level")
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


def _section(kind: type[Section], tree: Mapping[str, Any], name: str) -> Section:
    """Build a settings dataclass from a table of a file."""
    kinds = get_type_hints(kind)
    values = dict(tree)
    for key, value in tree.items():
        if key not in kinds:
            raise ConfigError.unknown_key(key, kinds, name)
        if is_dataclass(kinds[key]):
            if not isinstance(value, dict):
                raise ConfigError(f"{key} must be a table, not {type(value).__name__}")
            values[key] = _section(kinds[key], value, key)
    return kind(**values)


def _settle(settings: object, prefix: str) -> None:
    """Check that every setting is of its type, whether it comes from code or from a file."""
    for name, hint in get_type_hints(type(settings)).items():
        value = _value(get_origin(hint) or hint, getattr(settings, name), f"{prefix}{name}")
        object.__setattr__(settings, name, value)


def _value(kind: type, value: object, name: str) -> object:
    match value:
        case bool():  # which Python takes for a number
            fits = kind is bool
        case int() if kind is float:
            return float(value)
        case Path() if kind is str:
            return str(value)
        case _:
            fits = isinstance(value, kind)
    if not fits:
        raise ConfigError(f"{name} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def _check_prices(prices: Mapping[str, Mapping[str, float]]) -> None:
    """Each model's rates are checked where they are read; here, that there is one table of them for each model."""
    spelt: dict[str, str] = {}
    for model, rates in prices.items():
        if not isinstance(model, str) or not isinstance(rates, Mapping):
            raise ConfigError(f"prices[{model!r}] must be a table of a model's rates, not {type(rates).__name__}")
        first = spelt.setdefault(tidy(model), model)
        if first != model:
            raise ConfigError(f"prices has both {first!r} and {model!r}, which are one model: leave one of them")
