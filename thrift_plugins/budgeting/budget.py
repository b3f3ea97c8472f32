"""What may be spent, by whom, and in what time. Pure: who keeps the books is a store of accounts.

A budget is split into accounts by `per`: one for each tenant, for each user of each feature, and so on. Where a call lacks
one of these names, it has the account of those without a name, so that nobody spends unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any, Literal, Self, TypeAlias, get_args

from thrift_plugins.errors import ConfigError
from thrift_plugins.types import Nano, Request, Scope

Unit: TypeAlias = Literal["usd", "tokens"]
Window: TypeAlias = Literal["call", "run", "hour", "day", "month", "total"]
"""When a budget starts anew: with each call, with each run of the app's, by the clock in UTC, or never."""

Usd: TypeAlias = int | str | float | Decimal
"""US dollars. A float is read as it prints: 0.1 is ten cents."""

Mode: TypeAlias = Literal["hard", "soft"]
OnOutage: TypeAlias = Literal["refuse", "local", "allow"]
Orphans: TypeAlias = Literal["charge", "estimate", "release"]

_NAMES = ("tenant", "user", "feature", "session")
_NANO = Decimal(1_000_000_000)
_MOST = 2**53
"""Larger sums do not survive a store's scripting language."""

_LONGEST = 10 * 366 * 86_400
"""Seconds of a rolling window at most. Shorter than one, its slices could not be numbered; longer, use "total"."""

_SETTINGS = ("window", "rolling", "per", "match", "mode", "warn", "on_outage", "orphans")

_ALL: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on spending. Made by `usd` or `tokens`.

    Attributes:
        name: how the ledger and errors call it; one of a kind in an app.
        limit: nano-dollars, or tokens of input and output together, hidden reasoning included.
        unit: which of the two.
        window: when it starts anew; see `Window`.
        rolling: instead of a window, seconds over which spending is added up at any moment, 1 or more; 0 for none.
        per: what splits it into accounts: "tenant", "user", "feature", "session", or "key:NAME" for a wall of the app's.
        match: only calls whose scope has these names, or this "tag", fall under it.
        mode: "hard" refuses a call that does not fit, before it is paid; "soft" says so and lets it go.
        warn: shares of the limit at which a warning is given.
        on_outage: what happens while the accounts are down: "refuse", "allow", or "local": each process
            goes on with its share of what was left.
        orphans: what a call is charged whose process died: all that was reserved ("charge"), its input ("estimate"), or
            nothing ("release"). A hard budget with "charge" also charges a call in full whose answer was lost on its way,
            or that was cancelled while it waited for one: the provider may have made it all the same. So it does a
            stream that broke off, or was left, of a model that reasons in hiding.
    """

    name: str
    limit: int
    unit: Unit = "usd"
    window: Window = "month"
    rolling: float = 0.0
    per: tuple[str, ...] = ()
    match: Mapping[str, str] = field(default_factory=lambda: _ALL)
    mode: Mode = "hard"
    warn: tuple[float, ...] = (0.8,)
    on_outage: OnOutage | None = None
    orphans: Orphans = "charge"

    def __post_init__(self) -> None:
        where = f"budget {self.name!r}"
        if not self.name or not isinstance(self.name, str):
            raise ConfigError("a budget needs a name: budgets=[Budget.usd('day', 5, window='day')]")
        _check_limit(where, self.limit, self.unit)
        _one_of(f"window of {where}", self.window, get_args(Window))
        _one_of(f"mode of {where}", self.mode, get_args(Mode))
        _one_of(f"orphans of {where}", self.orphans, get_args(Orphans))
        if self.on_outage is not None:
            _one_of(f"on_outage of {where}", self.on_outage, get_args(OnOutage))
        if not _is_number(self.rolling) or (self.rolling != 0 and not 1 <= self.rolling <= _LONGEST):
            raise ConfigError(
                f"rolling of {where} must be a number of seconds from 1 to {_LONGEST:,}, or 0 for none, not {self.rolling!r}"
            )
        _check_scope(where, self.per, self.match)
        _check_warn(where, self.warn)

    @classmethod
    def usd(cls, name: str, limit: Usd, *, window: Window = "month", **settings: object) -> Self:
        """A budget in US dollars.

        Args:
            limit: as many digits as you like down to a billionth.
            settings: the further attributes.

        Raises:
            ConfigError: a limit that is not above 0 or is finer than a nano-dollar, or another setting that cannot work.
        """
        return cls(name, _nano(name, limit), "usd", window, **_made(settings))  # type: ignore[arg-type]

    @classmethod
    def tokens(cls, name: str, limit: int, *, window: Window = "month", **settings: object) -> Self:
        """A budget in tokens, of input and output together.

        Raises:
            ConfigError: a limit that is no whole number above 0, or another setting that cannot work.
        """
        return cls(name, limit, "tokens", window, **_made(settings))  # type: ignore[arg-type]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """A budget from a table of a file: `name`, `usd` or `tokens`, and the further attributes.

        Raises:
            ConfigError: a key that nobody knows, no limit or two, or a setting that cannot work.
        """
        settings = dict(table)
        name = settings.pop("name", "")
        limits = {unit: settings.pop(unit) for unit in get_args(Unit) if unit in settings}
        for key in settings:
            if key not in _SETTINGS:
                raise ConfigError.unknown_key(key, ("name", *get_args(Unit), *_SETTINGS), f"budget {name!r}")
        if len(limits) != 1:
            raise ConfigError(f"budget {name!r} needs one limit: usd = 5.00 or tokens = 100_000")
        [(unit, limit)] = limits.items()
        make = cls.usd if unit == "usd" else cls.tokens
        return make(name, limit, **settings)

    @property
    def outage(self) -> OnOutage:
        """What happens while the accounts are down."""
        return self.on_outage or ("refuse" if self.mode == "hard" else "allow")

    def covers(self, scope: Scope) -> bool:
        """Whether calls of this scope fall under it."""
        return all(
            wanted in scope.tags if name == "tag" else _value(scope, name) == wanted
            for name, wanted in self.match.items()
        )

    def account(self, request: Request) -> str:
        """The account that a request is charged to.

        Accounts of one tenant begin alike, in braces, so that a Redis Cluster keeps them together.
        """
        scope = request.scope
        tenant = _digest(scope.tenant) if "tenant" in self.per else "-"
        values = [_value(scope, name) for name in self.per]
        if self.window == "run":
            values.append(request.run or request.id)
        elif self.window == "call":
            values.append(request.id)
        return f"{{{tenant}}}:budget:{_digest(self.name, self.unit, self.window, str(self.rolling), *values)}"


def _made(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as they are kept: a list from a file is a tuple."""
    return {
        name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in settings.items()
    }


def _value(scope: Scope, name: str) -> str:
    if name.startswith("key:"):
        return dict(scope.keys).get(name[4:], "")
    value: str = getattr(scope, name)
    return value


def _digest(*parts: str) -> str:
    told = b"".join(len(part).to_bytes(4, "big") + part for part in (text.encode("utf-8", "replace") for text in parts))
    return blake2b(told, digest_size=12).hexdigest()


def _nano(name: str, limit: Usd) -> Nano:
    try:
        amount = Decimal(str(limit)) * _NANO
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(limit, bool) or not amount.is_finite() or amount <= 0:
        raise ConfigError(
            f"budget {name!r} must be a number of US dollars above 0, not {limit!r}; to spend nothing, do not call"
        )
    if amount != amount.to_integral_value():
        raise ConfigError(f"budget {name!r} is finer than a billionth of a dollar: {limit!r}")
    return int(amount)


def _check_limit(where: str, limit: int, unit: Unit) -> None:
    _one_of(f"unit of {where}", unit, get_args(Unit))
    if isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0:
        raise ConfigError(
            f"{where} must be a whole number of {unit if unit == 'tokens' else 'nano-dollars'} above 0, not {limit!r}"
        )
    if limit > _MOST:
        raise ConfigError(f"{where} is larger than can be counted exactly ({limit}); {_MOST} is the most")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_scope(where: str, per: Sequence[str], match: Mapping[str, str]) -> None:
    _check_words(f"per of {where}", per)
    if not isinstance(match, Mapping):
        raise ConfigError(f"match of {where} must be a table like {{'feature': 'chat'}}, not {match!r}")
    _check_words(f"match of {where}", tuple(match.values()))
    for name in per:
        if name not in _NAMES and not name.startswith("key:"):
            raise ConfigError(f"per of {where} may have {', '.join(_NAMES)} or 'key:NAME', not {name!r}")
    for name in match:
        if name not in (*_NAMES, "tag") and not name.startswith("key:"):
            raise ConfigError(f"match of {where} may have {', '.join(_NAMES)}, tag or 'key:NAME', not {name!r}")


def _check_warn(where: str, warn: object) -> None:
    if not isinstance(warn, tuple | list):
        raise ConfigError(f"warn of {where} must be a list like [0.8], not {warn!r}")
    for share in warn:
        if not _is_number(share) or not 0 < share <= 1:
            raise ConfigError(f"warn of {where} must be shares above 0 and at most 1, not {share!r}")


def _check_words(what: str, words: object) -> None:
    if not isinstance(words, tuple | list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{what} must be a list of strings, not {words!r}")


def _one_of(what: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"the {what} must be one of {', '.join(map(repr, choices))}, not {value!r}")
