"""Settings of prompt compression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from thrift_plugins.compression.limit import Limit
from thrift_plugins.config.checks import settle
from thrift_plugins.errors import ConfigError

_LIMITS: Final = ("max_tokens", "ratio", "risk")
_OF_FEATURES: Final = ("enabled", *_LIMITS, "calibration", "max_history", "cache_control")


@dataclass(frozen=True, slots=True)
class CompressionConfig:
    """Settings of prompt compression. Without a limit only the spelling of contexts changes, and nothing is left out.

    Attributes:
        max_tokens: tokens that the context of one message may have; give one of the three, or none.
        ratio: how many times fewer tokens it is to have, 1 or more.
        risk: the chance that what an answer needs is lost, above 0 and below 1; needs `calibration`.
        calibration: file that `thrift-plugins compress calibrate` has made.
        ranker: file that `thrift-plugins compress train` has made; "" for the shipped one.
        encoder: folder of a sentence encoder in ONNX form, such as all-MiniLM-L6-v2, to compare sentences with (extra
            `encoder`; milliseconds a sentence); "" for word vectors.
        spelling: whether JSON, pages and white space of contexts and tool results are spelt more cheaply.
        duplicates: whether what contexts say twice is sent once.
        max_history: tokens of a prompt from which on the oldest turns of a conversation are left out, whole, tool calls with
            their results, 1 or more; None: none ever is. While the provider has the conversation in its prompt cache,
            only where that is cheaper over the `turns` to come.
        cache_control: whether to mark, for Anthropic's models, what their prompt cache is to keep, where that is likely to be
            sent again: the instructions, and the whole prompt of a conversation that goes on.
        turns: calls of a conversation, on average: with 2 or more, nothing is made so short that a provider's prompt cache,
            which has a minimum, would save more on the calls to come.
        features: feature to its own `enabled`, `max_tokens`, `ratio`, `risk`, `calibration`, `max_history` and
            `cache_control`, over these.
    """

    enabled: bool = False
    max_tokens: int | None = None
    ratio: float | None = None
    risk: float | None = None
    calibration: str = ""
    ranker: str = ""
    encoder: str = ""
    spelling: bool = True
    duplicates: bool = True
    max_history: int | None = None
    cache_control: bool = False
    turns: int = 1
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle(self, "compression.")
        if self.turns < 1:
            raise ConfigError(f"compression.turns must be 1 or more, not {self.turns}")
        for name, own in self.features.items():
            if not isinstance(own, Mapping):
                raise ConfigError(f"compression.features.{name} must be a table, not {type(own).__name__}")
            for key in own:
                if key not in _OF_FEATURES:
                    raise ConfigError.unknown_key(key, _OF_FEATURES, f"compression.features.{name}")
        for one in (self, *(self.of(name) for name in self.features)):
            _check_limits(one)

    def of(self, feature: str) -> CompressionConfig:
        """The settings of one feature: its own limit takes the place of the one for all."""
        own = dict(self.features.get(feature, {}))
        if any(name in own for name in _LIMITS):
            own = {**dict.fromkeys(_LIMITS), **own}
        return replace(self, features={}, **own)


def _check_limits(settings: CompressionConfig) -> None:
    """Raises ConfigError where the limits of a feature cannot work."""
    given = [name for name in _LIMITS if getattr(settings, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"compression: give one of max_tokens, ratio and risk, not {' and '.join(given)}")
    if settings.max_history is not None and settings.max_history < 1:
        raise ConfigError(f"compression.max_history must be 1 or more, not {settings.max_history}")
    if settings.risk is None:
        Limit(settings.max_tokens, settings.ratio)
    elif not settings.calibration:
        raise ConfigError(
            "compression.risk needs compression.calibration: make one with 'thrift-plugins compress calibrate'"
        )
