"""Settings of routing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from thrift_plugins.config.checks import names, settle
from thrift_plugins.errors import ConfigError

_MOST_EXPLORED: Final = 0.2
"""Of all requests: exploring is to cost little."""

_ROUTED_APART: Final = ("tier", "caution", "quality", "confidence", "twice")
"""Settings of routing that a feature may have of its own."""


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """Settings of routing.

    Attributes:
        caution: near 0 sends cheap whatever may go, 1 nothing.
        pin: whether a conversation stays with its model where that one's prompt cache is worth more than the change.
        router: file of a router that `thrift-plugins router train` has made, in the place of the rules; "" for the rules.
        quality: share of the baseline's quality that is asked of that router, above 0 and at most 1, and
        confidence: with which, 0.5 to below 1. It is trained for these, and where it promises less, the baseline answers.
            None: what it was trained for.
        explore: share of requests that go to a tier drawn by chance, so that one learns of it; 0 to 0.2.
        twice: whether a cheap tier is asked twice, and its answer stands only where both say the same. It costs a second answer,
            and is done where both and the strong answers that follow are expected to cost less than the strong ones alone.
        record: features whose questions and answers are written down, redacted, beside the store, to train a router on.
        shadow: share of those for which the other tiers are asked too, in the background; 0 to 0.2.
        features: feature to the tier that it always goes to, by its name or its model's; or to a table of its own `tier`,
            `caution`, `quality`, `confidence` and `twice`, over these.
    """

    enabled: bool = True
    caution: float = 0.5
    pin: bool = True
    router: str = ""
    quality: float | None = None
    confidence: float | None = None
    explore: float = 0.0
    twice: bool = False
    record: Sequence[str] = ()
    shadow: float = 0.0
    features: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle(self, "routing.")
        if not 0 < self.caution <= 1:
            raise ConfigError(f"routing.caution must be above 0 and at most 1, not {self.caution}")
        if not 0 <= self.explore <= _MOST_EXPLORED:
            raise ConfigError(f"routing.explore must be 0 to {_MOST_EXPLORED}, not {self.explore}")
        self._check_promise()
        self._check_features()
        object.__setattr__(self, "record", names("routing.record", self.record))
        if not 0 <= self.shadow <= _MOST_EXPLORED:
            raise ConfigError(f"routing.shadow must be 0 to {_MOST_EXPLORED}, not {self.shadow}")
        if self.shadow and not self.record:
            raise ConfigError("routing.shadow needs routing.record: the features whose questions may be written down")

    def _check_promise(self) -> None:
        if self.quality is not None and not 0 < self.quality <= 1:
            raise ConfigError(f"routing.quality must be above 0 and at most 1, not {self.quality}")
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ConfigError(f"routing.confidence must be 0.5 to below 1, not {self.confidence}")

    def _check_features(self) -> None:
        if "*" in self.features:
            raise ConfigError("routing.features has no '*': what holds for every feature stands in [routing] itself")
        for name, own in self.features.items():
            if not isinstance(own, str | Mapping):
                raise ConfigError(
                    f"routing.features.{name} must be the name of a tier or a table, not {type(own).__name__}"
                )
            for key in own if isinstance(own, Mapping) else ():
                if key not in _ROUTED_APART:
                    raise ConfigError.unknown_key(key, _ROUTED_APART, f"routing.features.{name}")
            if not isinstance(self.tier(name), str):
                raise ConfigError(f"routing.features.{name}.tier must be the name of a tier")
            self.of(name)

    def of(self, feature: str) -> RoutingConfig:
        """The settings of one feature."""
        own = self.features.get(feature, "")
        told = {name: value for name, value in own.items() if name != "tier"} if isinstance(own, Mapping) else {}
        try:
            return replace(self, features={}, **told)
        except ConfigError as error:
            raise ConfigError(f"routing.features.{feature}: {error}") from error

    def tier(self, feature: str) -> str:
        """The tier that a feature always goes to, "" where it is routed."""
        own = self.features.get(feature, "")
        return own if isinstance(own, str) else own.get("tier", "")
