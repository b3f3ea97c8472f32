"""What kind of request a text is, by a small learnt model: some microseconds, in English, Chinese and other languages.

The model is `kinds.json`; `python -m tests.benchmarks.kinds --train` makes it again from `tests/data/cache_kinds.jsonl`.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal, TypeAlias, get_args

from thrift_plugins.caching.kinds_features import features
from thrift_plugins.learning.linear import LinearModel

Kind: TypeAlias = Literal["general", "time", "creative"]
"""An answer holds for a day (`general`), depends on when it is asked (`time`), or should differ each time (`creative`)."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_COSTS: Final = {"general": (0.0, 1.0, 1.0), "time": (1.5, 0.0, 1.5), "creative": (6.0, 6.0, 0.0)}
"""What each answer costs, in the order of `KINDS`, by the kind that it is: a creative request kept is the worst."""


def kind(text: str) -> Kind:
    """The kind of a request, given its last user turn: the one that costs least if the model is right about its doubt."""
    found = features(text)
    return decide(_model().probabilities(found)) if found else "general"


def decide(probabilities: list[float]) -> Kind:
    """The kind that costs least, given how likely each of `KINDS` is."""
    general, time, creative = probabilities
    costs = [
        general * _COSTS["general"][said] + time * _COSTS["time"][said] + creative * _COSTS["creative"][said]
        for said in range(len(KINDS))
    ]
    return KINDS[costs.index(min(costs))]


@lru_cache(maxsize=1)
def _model() -> LinearModel:
    model = LinearModel.load(files("thrift_plugins.caching").joinpath("kinds.json").read_text(encoding="utf-8"))
    if model.labels != KINDS:
        raise ValueError(f"kinds.json tells {model.labels} apart, not {KINDS}")
    return model
