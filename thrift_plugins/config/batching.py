"""Settings of calls that may wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thrift_plugins.config.checks import lives, section, settle


@dataclass(frozen=True, slots=True)
class BatchFeature:
    """Settings of one feature's calls in a batch run, over those for all.

    Attributes:
        waits: whether they may wait for a batch; False asks them at once.
        within: seconds in which each must be answered, more than 0; None for as long as the run may take.
    """

    waits: bool = True
    within: float | None = None

    def __post_init__(self) -> None:
        settle(self, "batch.features.*.")
        lives("batch.features.*.within", self.within, "to ask at once, set batch.features.*.waits = false")


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """Settings of calls that are made in a batch run (`BatchExecutor`); outside of one, nothing waits.

    Attributes:
        waits: whether calls may wait for a batch, where their feature does not say otherwise.
        features: feature to its own settings.
    """

    waits: bool = True
    features: Mapping[str, BatchFeature] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle(self, "batch.")
        named = {name: _batch_feature(name, one) for name, one in self.features.items()}
        object.__setattr__(self, "features", named)

    def of(self, feature: str) -> BatchFeature:
        """The settings that hold for a feature."""
        return self.features.get(feature) or BatchFeature(self.waits)


def _batch_feature(name: str, given: BatchFeature | Mapping[str, Any]) -> BatchFeature:
    return given if isinstance(given, BatchFeature) else section(BatchFeature, given, f"batch.features.{name}")
