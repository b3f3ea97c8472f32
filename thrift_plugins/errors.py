"""Every error that this package raises on purpose.

    ThriftError
    ├── ConfigError            a setting that cannot work; says which, and what would
    ├── UnknownModelPrice      no price for a model; says how to give one
    ├── UnsupportedByTier      no tier can serve the request; says what each one lacks
    ├── BudgetExceeded         a hard budget has no room for a call, which was not made; says what is left, and until when
    ├── NotDistillable         no student can be promised from these examples; says why, and what would help
    ├── TraceError             a line of a trace that cannot be replayed; says which line and field
    └── StoreError             a store did not do what was asked
        ├── StoreUnavailable   down, slow, frozen, full, or switched off by its breaker
        └── StoreCorrupt       a store file that is not ours or is damaged

A `StoreError` never reaches an app through a cache: the call is made, and the ledger shows the fallback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import isfinite


class ThriftError(Exception):
    """Base of every error that thrift-plugins raises on purpose."""


class ConfigError(ThriftError):
    """A setting that cannot work."""

    @classmethod
    def unknown_key(cls, key: str, known: Iterable[str], where: str) -> ConfigError:
        """The error for a key nobody knows, with the nearest known one."""
        from difflib import get_close_matches  # noqa: PLC0415  it takes long to load, and most apps never mistype

        choices = sorted(known)
        near = get_close_matches(key, choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known keys: {', '.join(choices)}."
        return cls(f"{where} has no setting {key!r}.{hint}")


class UnknownModelPrice(ThriftError, LookupError):
    """No price is known for a model.

    Attributes:
        model: the name that was looked up.
    """

    def __init__(self, model: str, source: str) -> None:
        super().__init__(
            f"no price for model {model!r} in {source}; give one with "
            f"prices={{{model!r}: {{'input': USD, 'output': USD}}}} (USD per million tokens)"
            " or in thrift.toml under [prices]"
        )
        self.model = model


class UnsupportedByTier(ThriftError):
    """No tier can serve a request.

    Attributes:
        lacking: tier name to what it lacks.
    """

    def __init__(self, lacking: Mapping[str, str]) -> None:
        listed = "; ".join(f"{tier}: {what}" for tier, what in lacking.items())
        super().__init__(f"no tier can serve this request ({listed}); add a tier that can, or drop the need")
        self.lacking = dict(lacking)


class BudgetExceeded(ThriftError):
    """A hard budget has no room for a call. Nothing was paid for it. To retry before `resets` is useless.

    Attributes:
        budget: its name.
        needed: what the call may cost at most, in nano-dollars or tokens; None where nobody can know.
        left: what is left.
        limit: of how much.
        unit: "usd" or "tokens".
        resets: when it starts anew, in seconds since the epoch, infinite where it does not.
    """

    def __init__(
        self,
        budget: str,
        needed: int | None,
        left: int,
        limit: int,
        unit: str,
        resets: float,
        why: str = "",
        advice: str = "",
    ) -> None:
        told = f"{_amount(left, unit)} of {_amount(limit, unit)} left"
        wanted = "" if needed is None else f", and the call may need {_amount(needed, unit)}"
        until = f"; it starts anew at {datetime.fromtimestamp(resets, UTC):%Y-%m-%d %H:%M:%S} UTC" if isfinite(resets) else ""
        super().__init__(f"budget {budget!r} refuses the call: {why or told + wanted}{until}{advice and '; '}{advice}")
        self.budget, self.needed, self.left, self.limit = budget, needed, left, limit
        self.unit, self.resets = unit, resets

    def __reduce__(self) -> tuple[type[BudgetExceeded], tuple[object, ...]]:
        return type(self), (self.budget, self.needed, self.left, self.limit, self.unit, self.resets)


def _amount(amount: int, unit: str) -> str:
    return f"{amount:,} tokens" if unit == "tokens" else f"${amount / 1e9:,.6f}"


class NotDistillable(ThriftError, ValueError):
    """No student can be made, or promised, from what there is."""


class TraceError(ThriftError, ValueError):
    """A trace line that cannot be replayed.

    Attributes:
        line: its number, from 1.
    """

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}")
        self.line = line


class StoreError(ThriftError):
    """A store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store is down, slow, frozen, full, or its breaker is open."""


class StoreCorrupt(StoreError):
    """A store file that is not ours or is damaged."""


class StreamClosed(BaseException):
    """The app closed a stream early. Stands in a flow for `GeneratorExit`, after which a generator may not yield again."""
