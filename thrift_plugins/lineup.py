"""The app's models in a row, cheapest first: named, told apart, and one of them the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from thrift_plugins.errors import ConfigError
from thrift_plugins.types import Tier


class HasFacts(Protocol):
    """An adapter's tier."""

    facts: Tier


Model = TypeVar("Model")
AnyTier = TypeVar("AnyTier", bound=HasFacts)


def lineup(
    models: Sequence[Model],
    names: Sequence[str] | None,
    baseline: int | str,
    make: Callable[[Model, str | None], AnyTier],
) -> tuple[tuple[AnyTier, ...], int]:
    """Tiers of models, and the index of the baseline.

    Args:
        names: a name for each model, None for the models' own.
        baseline: index or name of the model that the app would use without us.
        make: an adapter's tier from a model and its name.

    Raises:
        ConfigError: no models, two of one name, or an unknown baseline.
    """
    if not models:
        raise ConfigError("at least one tier is needed: tiers=[your_model]")
    if names is not None and len(names) != len(models):
        raise ConfigError(f"{len(models)} tiers but {len(names)} names: give a name for each tier, or none")
    given: Sequence[str | None] = names if names is not None else [None] * len(models)
    tiers = tuple(make(model, name) for model, name in zip(models, given, strict=True))
    called = [tier.facts.name for tier in tiers]
    for name in called:
        if called.count(name) > 1:
            raise ConfigError(f"two tiers are called {name!r}: tell them apart with names=[...]")
    return tiers, _index(baseline, called)


def _index(baseline: int | str, names: Sequence[str]) -> int:
    if isinstance(baseline, str):
        if baseline not in names:
            raise ConfigError(f"baseline {baseline!r} is not a tier; the tiers are {', '.join(names)}")
        return names.index(baseline)
    if not -len(names) <= baseline < len(names):
        raise ConfigError(f"baseline {baseline} is out of range: there are {len(names)} tiers")
    return baseline % len(names)
