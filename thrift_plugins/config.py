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

import os
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from thrift_plugins.budgeting import Budget, OutputMode, Target
from thrift_plugins.compression.limit import Limit
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices.files import over, read_prices
from thrift_plugins.prices.names import tidy

Section = TypeVar("Section")


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
        _settle(self, where)
        _lives(f"{where}ttl", self.ttl, f"to switch the cache off, set {where}enabled = false")
        _at_least_0(f"{where}stale", self.stale)
        _at_least_0(f"{where}max_temperature", self.max_temperature)


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
        _settle(self, "cache.semantic.")
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
        _settle(self, "cache.")
        object.__setattr__(self, "features", _features(self.features))
        object.__setattr__(self, "read_only_tools", _names("cache.read_only_tools", self.read_only_tools))
        _lives("cache.ttl", self.ttl, "to switch the cache off, set cache.enabled = false")
        _lives(
            "cache.ttl_time_sensitive",
            self.ttl_time_sensitive,
            "to treat them like the others, set cache.kinds = false",
        )
        _at_least_0("cache.max_temperature", self.max_temperature)
        _at_least_0("cache.stale", self.stale)
        _at_least_0("cache.flight_wait", self.flight_wait)
        if self.max_bytes < _SMALLEST_STORE:
            raise ConfigError(f"cache.max_bytes must be {_SMALLEST_STORE} or more, not {self.max_bytes}")


_SMALLEST_STORE = 2**20
"""Below this, a database file has hardly room for its own pages."""


_MOST_EXPLORED = 0.2
"""Of all requests: exploring is to cost little."""


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """Settings of routing.

    Attributes:
        caution: near 0 sends cheap whatever may go, 1 nothing.
        pin: whether a conversation stays with its model where that one's prompt cache is worth more than the change.
        router: file of a router that `thrift-plugins router train` has made, in the place of the rules; "" for the rules.
        explore: share of requests that go to a tier drawn by chance, so that one learns of it; 0 to 0.2.
        features: feature to the tier that it always goes to, by its name or its model's.
    """

    enabled: bool = True
    caution: float = 0.5
    pin: bool = True
    router: str = ""
    explore: float = 0.0
    features: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self, "routing.")
        if not 0 < self.caution <= 1:
            raise ConfigError(f"routing.caution must be above 0 and at most 1, not {self.caution}")
        if not 0 <= self.explore <= _MOST_EXPLORED:
            raise ConfigError(f"routing.explore must be 0 to {_MOST_EXPLORED}, not {self.explore}")
        if not all(isinstance(tier, str) for tier in self.features.values()):
            raise ConfigError("routing.features must map features to names of tiers")


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """Settings of output budgets: how long answers are to be.

    Attributes:
        mode: "off", "soft" (it is asked for in the prompt) or "hard" (and what is far longer than usual is cut).
        words: an answer's length in English words, or what says as much in another language.
        tokens: the same in tokens; give one of the two, or neither.
        form: a sentence on the form of an answer, asked for as it stands.
        temperature: the lowest and the highest, empty for the app's own.
        go_on: whether an answer that was cut is asked for its rest, once.
        features: feature to its own target, over that for all.
    """

    mode: OutputMode = "off"
    words: int | None = None
    tokens: int | None = None
    form: str = ""
    temperature: Sequence[float] = ()
    go_on: bool = False
    features: Mapping[str, Target] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self, "output.")
        object.__setattr__(self, "features", {name: _target(name, one) for name, one in self.features.items()})
        self.default()

    def default(self) -> Target:
        """The target of every feature that has none of its own."""
        low_high = tuple(self.temperature) or None
        return Target(self.words, self.tokens, self.mode, self.form, low_high, self.go_on)  # type: ignore[arg-type]  # it checks


@dataclass(frozen=True, slots=True)
class CompressionConfig:
    """Settings of prompt compression. Without a limit only the spelling of contexts changes, and nothing is left out.

    Attributes:
        max_tokens: tokens that the context of one message may have; give one of the three, or none.
        ratio: how many times fewer tokens it is to have, 1 or more.
        risk: the chance that what an answer needs is lost, above 0 and below 1; needs `calibration`.
        calibration: file that `thrift-plugins compress calibrate` has made.
        ranker: file that `thrift-plugins compress train` has made; "" for the shipped one.
        spelling: whether JSON, pages and white space of contexts and tool results are spelt more cheaply.
        duplicates: whether what contexts say twice is sent once.
        turns: calls of a conversation, on average: with 2 or more, nothing is made so short that a provider's prompt cache,
            which has a minimum, would save more on the calls to come.
        features: feature to its own `enabled`, `max_tokens`, `ratio`, `risk` and `calibration`, over these.
    """

    enabled: bool = False
    max_tokens: int | None = None
    ratio: float | None = None
    risk: float | None = None
    calibration: str = ""
    ranker: str = ""
    spelling: bool = True
    duplicates: bool = True
    turns: int = 1
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self, "compression.")
        if self.turns < 1:
            raise ConfigError(f"compression.turns must be 1 or more, not {self.turns}")
        for name, own in self.features.items():
            if not isinstance(own, Mapping):
                raise ConfigError(f"compression.features.{name} must be a table, not {type(own).__name__}")
            for key in own:
                if key not in _OF_FEATURES:
                    raise ConfigError.unknown_key(key, _OF_FEATURES, f"compression.features.{name}")
        for one in (self, *(self.of(name) for name in self.features)):
            given = [name for name in _LIMITS if getattr(one, name) is not None]
            if len(given) > 1:
                raise ConfigError(f"compression: give one of max_tokens, ratio and risk, not {' and '.join(given)}")
            if one.risk is None:
                Limit(one.max_tokens, one.ratio)
            elif not one.calibration:
                raise ConfigError(
                    "compression.risk needs compression.calibration: make one with 'thrift-plugins compress calibrate'"
                )

    def of(self, feature: str) -> CompressionConfig:
        """The settings of one feature: its own limit takes the place of the one for all."""
        own = dict(self.features.get(feature, {}))
        if any(name in own for name in _LIMITS):
            own = {**dict.fromkeys(_LIMITS), **own}
        return replace(self, features={}, **own)


_LIMITS: Final = ("max_tokens", "ratio", "risk")
_OF_FEATURES: Final = ("enabled", *_LIMITS, "calibration")


def _holdout() -> float:
    told = os.environ.get("THRIFT_HOLDOUT", "")
    try:
        return float(told) if told else _HOLDOUT
    except ValueError:
        raise ConfigError(f"THRIFT_HOLDOUT must be a number from 0 to 1, not {told!r}") from None


_HOLDOUT: Final = 0.02


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """Settings of the ledger.

    Attributes:
        url: where events are kept: "sqlite:///path", "memory:", or "" for a file of its own beside the store's.
        capacity: events that may wait while that is down.
        holdout: share of conversations that no tactic touches, so that it can be measured what they are worth; 0 to 1.
            By default 0.02, or what `THRIFT_HOLDOUT` in the environment says: 0 for an app's own tests.
        otel: whether OpenTelemetry is told of every call (extra `otel`), with the app's own SDK.
    """

    enabled: bool = True
    url: str = field(default="", repr=False)  # it may hold a password
    capacity: int = 20_000
    holdout: float = field(default_factory=_holdout)
    otel: bool = False

    def __post_init__(self) -> None:
        _settle(self, "ledger.")
        if self.capacity < 1:
            raise ConfigError(f"ledger.capacity must be 1 or more, not {self.capacity}")
        if not 0 <= self.holdout <= 1:
            raise ConfigError(f"ledger.holdout must be 0 to 1, not {self.holdout}")


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
        _settle(self, "quality.")
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


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """Settings of distilled students, each of which answers for a task: a feature of the app.

    Attributes:
        enabled: whether students answer. What they may do is found out first: they begin in the shadow.
        folder: where recorded answers and students are; "" for one beside the store's file.
        tasks: the features that have a student; none for all that there are in the folder.
        record: the features whose answers are written down to learn from, with addresses, numbers and keys taken out.
        tenants: those whose calls are recorded and answered by students; none for all. All of them share a feature's student.
        agreement: share of all requests whose answer is to be one that the teacher would give, above 0.5 and below 1.
        audit: share of requests that the teacher answers too, above 0 and at most 1.
        canary: share of requests that a new student may answer, likewise.
        canary_for: comparisons with the teacher before it may answer more, 1 or more.
        shadow: comparisons before it may answer any, 100 or more.
        confirms: whether a cheaper tier is asked where a student is not sure, and believed where both agree.
        promotes: whether students go up by themselves; else `thrift-plugins distill promote` does it.
    """

    enabled: bool = False
    folder: str = ""
    tasks: Sequence[str] = ()
    record: Sequence[str] = ()
    tenants: Sequence[str] = ()
    agreement: float = 0.96
    audit: float = 0.02
    canary: float = 0.2
    canary_for: int = 200
    shadow: int = 400
    confirms: bool = True
    promotes: bool = True

    def __post_init__(self) -> None:
        _settle(self, "distillation.")
        for name in ("tasks", "record", "tenants"):
            object.__setattr__(self, name, _names(f"distillation.{name}", getattr(self, name)))
        if not 0.5 < self.agreement < 1:
            raise ConfigError(f"distillation.agreement must be above 0.5 and below 1, not {self.agreement}")
        for name in ("audit", "canary"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"distillation.{name} must be above 0 and at most 1, not {getattr(self, name)}")
        for name, least in (("shadow", 100), ("canary_for", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"distillation.{name} must be {least} or more, not {getattr(self, name)}")


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
        _settle(self, "batch.features.*.")
        _lives("batch.features.*.within", self.within, "to ask at once, set batch.features.*.waits = false")


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
        _settle(self, "batch.")
        named = {name: _batch_feature(name, one) for name, one in self.features.items()}
        object.__setattr__(self, "features", named)

    def of(self, feature: str) -> BatchFeature:
        """The settings that hold for a feature."""
        return self.features.get(feature) or BatchFeature(self.waits)


def _batch_feature(name: str, given: BatchFeature | Mapping[str, Any]) -> BatchFeature:
    return given if isinstance(given, BatchFeature) else _section(BatchFeature, given, f"batch.features.{name}")


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
        _settle(self, "")
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
            return _section(cls, tree, _TOP)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


_TOP = "the top level"


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
            values[key] = _section(kinds[key], value, key if name == _TOP else f"{name}.{key}")
    return kind(**values)


def _settle(settings: object, prefix: str) -> None:
    """Check that every setting is of its type, whether it comes from code or from a file."""
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if get_origin(hint) is Literal:
            _one_of(f"{prefix}{name}", value, get_args(hint))
            continue
        *kinds, last = get_args(hint) if get_origin(hint) is UnionType else (hint,)
        if not (value is None and last is NoneType):
            kind = kinds[0] if kinds else last
            object.__setattr__(settings, name, _value(get_origin(kind) or kind, value, f"{prefix}{name}"))


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


def _lives(name: str, ttl: float | None, instead: str) -> None:
    if ttl is not None and not ttl > 0:
        raise ConfigError(f"{name} must be more than 0 seconds, not {ttl}; {instead}")


def _at_least_0(name: str, number: float | None) -> None:
    if number is not None and not number >= 0:
        raise ConfigError(f"{name} must be 0 or more, not {number}")


def _one_of(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def _names(name: str, given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise ConfigError(f"{name} must be a list of strings, not {given!r}")
    return tuple(given)


def _features(given: Mapping[str, FeatureConfig | Mapping[str, Any]]) -> Mapping[str, FeatureConfig]:
    """Each feature's settings, which a file gives as a table."""
    made: dict[str, FeatureConfig] = {}
    for name, settings in given.items():
        if isinstance(settings, Mapping):
            made[name] = _section(FeatureConfig, settings, f"cache.features.{name}")
        elif isinstance(settings, FeatureConfig):
            made[name] = settings
        else:
            raise ConfigError(f"cache.features.{name} must be a table, not {type(settings).__name__}")
    return made


def _target(feature: str, given: Target | Mapping[str, Any]) -> Target:
    """A feature's target, which a file gives as a table."""
    if isinstance(given, Target):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"output.features.{feature} must be a table, not {type(given).__name__}")
    known = ("mode", "words", "tokens", "form", "temperature", "go_on")
    for key in given:
        if key not in known:
            raise ConfigError.unknown_key(key, known, f"output.features.{feature}")
    return Target(**given)


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
