"""Settings of the quality gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thrift_plugins.budgeting import Budget
from thrift_plugins.config.checks import settle
from thrift_plugins.errors import ConfigError


@dataclass(frozen=True, slots=True)
class QualityConfig:
    """Settings of the quality gate, which compares answers with what would have been answered without a tactic.

    Attributes:
        margin: the drop that is tolerated: the share of worse answers above that of better ones, above 0 and below 1.
        share: of the answers that a tactic has touched, those that are compared, above 0 and at most 1.
        usd: the most dollars that comparing may cost in a day, of UTC, above 0.
        judge: "auto" judges structured answers and short ones by what they say; "exact", "json" and "similarity" all that they
            can. A judge of prose goes to the runtime.
        rolls_back: whether a tactic that breaks the margin in a feature is taken off there.
    """

    enabled: bool = False
    margin: float = 0.02
    share: float = 0.05
    usd: float = 1.0
    judge: Literal["auto", "exact", "json", "similarity"] = "auto"
    rolls_back: bool = True

    def __post_init__(self) -> None:
        settle(self, "quality.")
        if not 0 < self.margin < 1:
            raise ConfigError(f"quality.margin must be above 0 and below 1, not {self.margin}")
        if not 0 < self.share <= 1:
            raise ConfigError(
                f"quality.share must be above 0 and at most 1, not {self.share}; to compare nothing, set quality.enabled = false"
            )
        self.budget()

    def budget(self) -> Budget:
        """The budget of what is compared."""
        return Budget.usd("the quality gate", self.usd, window="day", warn=())
