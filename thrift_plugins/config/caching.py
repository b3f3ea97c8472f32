"""Settings of the response cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from thrift_plugins.config.checks import at_least_0, lives, names, section, settle
from thrift_plugins.errors import ConfigError

_SMALLEST_STORE: Final = 2**20
"""Below this, a database file has hardly room for its own pages."""


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """Settings of the response cache for the calls of one feature, over those for all.

    Attributes:
        enabled: whether its calls are answered from the cache.
        ttl: seconds that an answer lives, more than 0.
        stale: seconds after that in which the old answer is shown while a new one is fetched.
        kind: "general", "time" or "creative" for everything it asks; "" asks the classifier.
        tool_calls: which answers that call tools are kept: "read" those whose tools only read, "all", or "none".
        max_temperature: requests above it are never answered from the cache.
    """

    enabled: bool = True
    ttl: float | None = None
    stale: float | None = None
    kind: Literal["", "general", "time", "creative"] = ""
    tool_calls: Literal["read", "all", "none"] = "read"
    max_temperature: float | None = None

    def __post_init__(self) -> None:
        where = "cache.features.*."
        settle(self, where)
        lives(f"{where}ttl", self.ttl, f"to switch the cache off, set {where}enabled = false")
        at_least_0(f"{where}stale", self.stale)
        at_least_0(f"{where}max_temperature", self.max_temperature)


@dataclass(frozen=True, slots=True)
class SemanticConfig:
    """Settings of the semantic tier of the response cache: answers to other questions that mean the same.

    Attributes:
        max_errors: the most wrong answers over all lookups that it may give, above 0 and below 1.
        shadow: share of its hits that are asked of the model all the same, to know how many are wrong, 0 to 1.
        embedder: what reads a question: "static" needs no download. An embedder of the app's own goes to the runtime.
    """

    enabled: bool = False
    max_errors: float = 0.02
    shadow: float = 0.05
    embedder: Literal["static"] = "static"

    def __post_init__(self) -> None:
        settle(self, "cache.semantic.")
        if not 0 < self.max_errors < 1:
            raise ConfigError(f"cache.semantic.max_errors must be above 0 and below 1, not {self.max_errors}")
        if not 0 <= self.shadow <= 1:
            raise ConfigError(f"cache.semantic.shadow must be 0 to 1, not {self.shadow}")


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Settings of the response cache.

    Attributes:
        ttl: seconds that an answer lives, more than 0.
        ttl_time_sensitive: the same for what depends on the time of asking.
        stale: seconds after that in which the old answer is shown while a new one is fetched; not for such questions.
        max_temperature: requests above it are never answered from the cache.
        kinds: whether a classifier tells creative and time-sensitive requests from the others.
        fold: whether spellings of a user's plain question that cannot change its meaning share an answer.
        single_flight: whether identical calls at once are paid once.
        flight_wait: seconds that a call waits for another one's answer before it asks for itself.
        read_only_tools: names of tools that only read; an answer that calls one that may act is not kept.
        features: feature to its own settings.
        max_bytes: size of a store of our own, above which the least used answers are dropped.
        semantic: answers to other questions that mean the same; off unless it is switched on.
    """

    enabled: bool = True
    ttl: float = 86_400.0
    max_temperature: float = 0.1
    ttl_time_sensitive: float = 3_600.0
    stale: float = 0.0
    kinds: bool = True
    fold: bool = True
    single_flight: bool = True
    flight_wait: float = 60.0
    read_only_tools: Sequence[str] = ()
    features: Mapping[str, FeatureConfig] = field(default_factory=dict)
    max_bytes: int = 2**30
    semantic: SemanticConfig = field(default_factory=SemanticConfig)

    def __post_init__(self) -> None:
        settle(self, "cache.")
        object.__setattr__(self, "features", _features(self.features))
        object.__setattr__(self, "read_only_tools", names("cache.read_only_tools", self.read_only_tools))
        lives("cache.ttl", self.ttl, "to switch the cache off, set cache.enabled = false")
        lives(
            "cache.ttl_time_sensitive",
            self.ttl_time_sensitive,
            "to treat them like the others, set cache.kinds = false",
        )
        at_least_0("cache.max_temperature", self.max_temperature)
        at_least_0("cache.stale", self.stale)
        at_least_0("cache.flight_wait", self.flight_wait)
        if self.max_bytes < _SMALLEST_STORE:
            raise ConfigError(f"cache.max_bytes must be {_SMALLEST_STORE} or more, not {self.max_bytes}")


def _features(given: Mapping[str, FeatureConfig | Mapping[str, Any]]) -> Mapping[str, FeatureConfig]:
    """Each feature's settings, which a file gives as a table."""
    made: dict[str, FeatureConfig] = {}
    for name, settings in given.items():
        if isinstance(settings, Mapping):
            made[name] = section(FeatureConfig, settings, f"cache.features.{name}")
        elif isinstance(settings, FeatureConfig):
            made[name] = settings
        else:
            raise ConfigError(f"cache.features.{name} must be a table, not {type(settings).__name__}")
    return made
