"""Whether a cheap model is asked a second time, so that its answer stands only where both say the same.

Two cheap answers, and a strong one where they differ, must cost less than the strong one alone. How often they differ is
learnt for each feature from those that were asked for.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.forks import new_lock
from thrift_plugins.routing.conversations import RateCard, in_tool_loop
from thrift_plugins.tokens import compact, estimate
from thrift_plugins.types import Decision, Nano, Request, Tier, Usage

LEAST_HEAT: Final = 0.7
"""Temperature of a second answer, at least: at 0 a model says the same again, right or wrong."""

_LATEST: Final = 50  # pairs of a feature, of which the share that differs is expected next
_PRIOR: Final = (1, 2)  # pairs that differ, of so many, before any was seen
_OUTPUT: Final = 200  # tokens of an answer before any was seen
_AGAIN: Final = 20  # where pairs differ too often to pay, each so many-th is asked for, so that one learns if they do no more
_FEATURES: Final = 1_000


@dataclass(slots=True)
class _Feature:
    """The latest pairs of a feature.

    Attributes:
        agreed: whether each was alike.
        outputs: tokens of the answers.
        passed: requests since one was asked for, where it does not pay.
    """

    agreed: deque[bool] = field(default_factory=lambda: deque(maxlen=_LATEST))
    outputs: deque[int] = field(default_factory=lambda: deque(maxlen=_LATEST))
    passed: int = 0

    def differs(self) -> float:
        """The share of pairs that is expected to differ."""
        return (self.agreed.count(False) + _PRIOR[0]) / (len(self.agreed) + _PRIOR[1])

    def output(self) -> int:
        """Tokens that an answer is expected to have."""
        return sum(self.outputs) // len(self.outputs) if self.outputs else _OUTPUT


class Twice:
    """Plans second answers of cheap models. One object for an app; safe to use from several threads.

    What is learnt stays in this process.

    Args:
        prices: what models cost.
        wanted: whether a feature's cheap answers are to be asked for twice.
    """

    def __init__(self, prices: RateCard, wanted: Callable[[str], bool]) -> None:
        self._prices, self._wanted = prices, wanted
        self._features: OrderedDict[tuple[str, str], _Feature] = OrderedDict()
        self._lock = new_lock()

    def plan(self, request: Request, tiers: Sequence[Tier], decision: Decision) -> Decision:
        """The decision, to ask twice; or where that would not pay, to ask the strongest of its alternatives at once.

        Args:
            decision: of the router, and of what keeps a conversation where it is.
        """
        if not decision.alternatives or not self._wanted(request.scope.feature) or _several(request):
            return decision
        first, top = tiers[decision.tier], tiers[decision.alternatives[-1]]
        try:
            why = self._against(request, first, top)
        except UnknownModelPrice as unknown:
            why = f"not asked twice: no price for {unknown.model}"
        if why is None:
            return replace(decision, twice=True, reasons=(*decision.reasons, "asked twice"))
        if in_tool_loop(request):  # it stays with who has begun it
            return decision
        reasons = (why, *decision.reasons)
        return replace(
            decision, tier=decision.alternatives[-1], name=top.name, policy="twice", reasons=reasons, alternatives=(),
            propensity=None, verify=None,
        )  # fmt: skip

    def learn(self, request: Request, tier: Tier, usage: Usage, *, agreed: bool) -> None:
        """Remember whether two answers were alike, and what one of them has used."""
        with self._lock:
            feature = self._of(request.scope.feature, tier)
            feature.agreed.append(agreed)
            feature.outputs.append(usage.output_tokens)

    def _against(self, request: Request, first: Tier, top: Tier) -> str | None:
        """What speaks against a second answer, None where it is expected to pay."""
        size = sum(estimate(message.text) for message in request.messages)
        size += sum(estimate(compact(tool)) for tool in request.tools)
        with self._lock:
            # What is asked again in a batch run is to be asked of the same models, whatever was learnt meanwhile.
            feature = _Feature() if request.waits else self._of(request.scope.feature, first)
            usage, differs = Usage(size, feature.output()), feature.differs()
            cheap, strong = (self._cost(tier, request, usage) for tier in (first, top))
            if 2 * cheap >= strong:
                return f"two answers of {first.name} cost as much as one of {top.name}"
            if 2 * cheap + differs * strong < strong:
                return None
            feature.passed = (feature.passed + 1) % _AGAIN
            return f"two answers of {first.name} differ too often to pay" if feature.passed else None

    def _cost(self, tier: Tier, request: Request, usage: Usage) -> Nano:
        return self._prices.rates(tier.model, at=request.at, input_tokens=usage.input_tokens).cost(usage)

    def _of(self, feature: str, tier: Tier) -> _Feature:
        key = (feature, tier.name)
        found = self._features.setdefault(key, _Feature())
        self._features.move_to_end(key)
        if len(self._features) > _FEATURES:
            self._features.popitem(last=False)
        return found


def _several(request: Request) -> bool:
    """Whether one call asks for several answers, which nobody can compare with another's."""
    count = request.params.get("n")
    return isinstance(count, int) and count > 1
