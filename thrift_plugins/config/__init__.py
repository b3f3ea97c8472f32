"""One frozen tree of settings, from code or from `thrift.toml`.

    store = "redis://cache.internal:6379/0"     # default: a SQLite file in the user's data directory

    [cache]
    ttl = 3600

    [cache.features.checkout]
    enabled = false

    [routing]
    enabled = false

    [output.features.faq]
    words = 60

    [compression]
    enabled = true
    ratio = 2.0

    [[budgets]]
    name = "a tenant's day"
    usd = 5
    window = "day"
    per = ["tenant"]

    [prices."my-model"]
    input = 0.2                                 # US dollars per million tokens
    output = 0.8

A key that nobody knows is an error with the nearest known one, never ignored.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thrift_plugins.budgeting import Budget
from thrift_plugins.config.batching import BatchConfig, BatchFeature
from thrift_plugins.config.caching import CacheConfig, FeatureConfig, SemanticConfig
from thrift_plugins.config.checks import TOP, section, settle
from thrift_plugins.config.compression import CompressionConfig
from thrift_plugins.config.distillation import DistillationConfig
from thrift_plugins.config.ledger import LedgerConfig
from thrift_plugins.config.output import OutputConfig
from thrift_plugins.config.quality import QualityConfig
from thrift_plugins.config.routing import RoutingConfig
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices.files import over, read_prices
from thrift_plugins.prices.names import tidy

__all__ = [
    "BatchConfig",
    "BatchFeature",
    "CacheConfig",
    "CompressionConfig",
    "Config",
    "DistillationConfig",
    "FeatureConfig",
    "LedgerConfig",
    "OutputConfig",
    "QualityConfig",
    "RoutingConfig",
    "SemanticConfig",
]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set.

    Attributes:
        store: where answers are kept: "memory:", "sqlite:///path", "redis://...", or "" for the default file.
        prices: model to its rates in US dollars per million tokens; over those of the file, and the built-in ones.
        prices_file: a TOML or JSON file of such prices, which are then in `prices`; "" for none.
        output: how long answers are to be.
        compression: what of a prompt need not be sent.
        budgets: what may be spent, by whom, and in what time.
        budget_url: where the accounts of budgets are kept: as for `store`, or "" for beside the store.
        quality: the gate that watches what the tactics do to answers.
        distillation: local students of a costly model.
        batch: which calls may wait in a batch run.
    """

    store: str = field(default="", repr=False)  # it may hold a password
    cache: CacheConfig = field(default_factory=CacheConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    prices_file: str = ""
    output: OutputConfig = field(default_factory=OutputConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    budgets: Sequence[Budget] = ()
    budget_url: str = field(default="", repr=False)
    quality: QualityConfig = field(default_factory=QualityConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)

    def __post_init__(self) -> None:
        settle(self, "")
        object.__setattr__(self, "budgets", _budgets(self.budgets))
        _check_prices(self.prices)
        if self.prices_file:
            object.__setattr__(self, "prices", over(read_prices(self.prices_file), self.prices))

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
            return section(cls, tree, TOP)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


def _budgets(given: Sequence[Budget | Mapping[str, Any]]) -> tuple[Budget, ...]:
    """The budgets, which a file gives as tables."""
    made: list[Budget] = []
    for budget in given:
        if isinstance(budget, Mapping):
            made.append(Budget.parse(budget))
        elif isinstance(budget, Budget):
            made.append(budget)
        else:
            raise ConfigError(f"budgets must be a list of Budget, not of {type(budget).__name__}")
    for name, times in Counter(budget.name for budget in made).items():
        if times > 1:
            raise ConfigError(f"there are {times} budgets named {name!r}: the ledger needs a name of its own for each")
    return tuple(made)


def _check_prices(prices: Mapping[str, Mapping[str, float]]) -> None:
    """Each model's rates are checked where they are read; here, that there is one table of them for each model."""
    spelt: dict[str, str] = {}
    for model, rates in prices.items():
        if not isinstance(model, str) or not isinstance(rates, Mapping):
            raise ConfigError(f"prices[{model!r}] must be a table of a model's rates, not {type(rates).__name__}")
        first = spelt.setdefault(tidy(model), model)
        if first != model:
            raise ConfigError(f"prices has both {first!r} and {model!r}, which are one model: leave one of them")
