"""What to turn on next: for each tactic that an app does not use, what it would be worth on the calls of its ledger.

A ledger tells tokens and prices, so it can tell what shorter prompts, shorter answers and batch prices are worth, each by
itself. It holds no question, so what a cache, a router or a student would find there, only a replay of the app's own log tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from thrift_plugins.ledger.bill import Priced
from thrift_plugins.ledger.summary import is_call
from thrift_plugins.ledger.whatif import WhatIf, simulate
from thrift_plugins.types import Nano

_DAY: Final = 86_400.0
_ENOUGH: Final = 30
"""Calls of a feature, below which nothing is said of it."""
_MOST: Final = 8
"""Features that are looked at, the dearest."""
_SMALL: Final = 100
"""A share of one in so many of the bill is not worth a change."""


@dataclass(slots=True)
class Asked:
    """How a feature asks.

    Attributes:
        input_tokens: of all its calls that were paid; so with `output_tokens`.
        tactics: that have done something there.
    """

    calls: int = 0
    paid: Nano = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tactics: set[str] = field(default_factory=set)

    @property
    def prompt(self) -> float:
        """Tokens of a prompt, on average."""
        return self.input_tokens / self.calls if self.calls else 0.0

    @property
    def answer(self) -> float:
        """Tokens of an answer, on average."""
        return self.output_tokens / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Idea:
    """What a tactic may be worth where it does nothing yet.

    Attributes:
        fits: whether a feature asks in a way that it is for.
        what: the change, for a feature.
        told: an instruction, with a place for the feature.
        why: what it rests on, with a place for the feature's numbers.
    """

    fits: Callable[[Asked], bool]
    what: Callable[[str], WhatIf]
    told: str
    why: str


IDEAS: Final[Mapping[str, Idea]] = {
    "budget": Idea(
        lambda asked: asked.answer >= 100,
        lambda feature: WhatIf("output", feature, share=0.7),
        "ask for shorter answers in {}: [output.features.{}]",
        "if they get 30 % shorter than the {0.answer:,.0f} tokens of now",
    ),
    "compression": Idea(
        lambda asked: asked.prompt >= 1_000,
        lambda feature: WhatIf("input", feature, share=0.5),
        "compress the context of {}",
        "if its prompts get half as long as the {0.prompt:,.0f} tokens of now",
    ),
    "batch": Idea(
        lambda asked: asked.calls >= _ENOUGH,
        lambda feature: WhatIf("batch", feature),
        "send {} as a batch",
        "if nobody waits for its answers",
    ),
}
"""Tactic to what it may be worth."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to turn on.

    Attributes:
        amount: nano-dollars a month, on what is paid now.
    """

    tactic: str
    feature: str
    amount: Nano
    told: str
    why: str


def asked_by_feature(entries: Iterable[Mapping[str, Any]]) -> dict[str, Asked]:
    """How each feature asks, from ledger records (see `Ledger.records`)."""
    found: dict[str, Asked] = {}
    for entry in entries:
        asked = found.setdefault(entry["feature"], Asked())
        asked.paid += entry["bill"]["actual"]
        asked.tactics.update(entry["bill"]["rows"])
        if entry["outcome"] == "answered" and is_call(entry):
            asked.calls += 1
            asked.input_tokens += entry["usage"].get("input_tokens", 0)
            asked.output_tokens += entry["usage"].get("output_tokens", 0)
    return found


def advice(read: Callable[[], Iterable[Mapping[str, Any]]], prices: Priced, *, at: float) -> list[Advice]:
    """What to turn on, the dearest first: for each feature the best of what fits it, as they would act on the same calls.

    Args:
        read: gives the ledger's records, twice.
        at: whose prices, in seconds since the epoch.
    """
    asked = asked_by_feature(read())
    ideas = list(_fitting(asked))
    if not ideas:
        return []
    found = simulate(read(), [idea.what(feature) for _, idea, feature in ideas], prices, at=at)
    months = max(1.0, (found.end - found.start) / _DAY) / 30.0
    best: dict[str, Advice] = {}
    for (tactic, idea, feature), result in zip(ideas, found.results, strict=True):
        amount = round(result.saved / months)
        if amount * _SMALL * months < found.repriced or amount <= 0:
            continue
        if feature not in best or amount > best[feature].amount:
            named = f"\N{LEFT DOUBLE QUOTATION MARK}{feature}\N{RIGHT DOUBLE QUOTATION MARK}"
            told = idea.told.replace("{}", named, 1).replace("{}", feature)
            best[feature] = Advice(tactic, feature, amount, told, idea.why.format(asked[feature]))
    return sorted(best.values(), key=lambda each: (-each.amount, each.feature))


def _fitting(asked: Mapping[str, Asked]) -> Iterator[tuple[str, Idea, str]]:
    dearest = sorted(asked, key=lambda name: -asked[name].paid)[:_MOST]
    for feature in dearest:
        mine = asked[feature]
        for tactic, idea in IDEAS.items():
            if feature and mine.calls >= _ENOUGH and tactic not in mine.tactics and idea.fits(mine):
                yield tactic, idea, feature
