"""Routing without training: every sign of a hard request adds points, and a tier takes what its band allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.constraints import eligible, forced
from thrift_plugins.text.features import Features, features
from thrift_plugins.types import Decision, Json, Message, Request, Tier

Points: TypeAlias = Iterator[tuple[str, float]]
"""Signs with what each adds. One point halves the chance that a small model is good enough."""

_TOOL_TEXT_SHARE = 0.35  # filling in arguments takes less than solving: the tool does the sums
_EXAM = 4.0  # no less than all that `_of_sums` can add, so that the score never falls where an exam is recognised
_MORE_THAN_A_LOOKUP = 12  # words; "how many days are 3 weeks" has fewer
_LEANS = 8  # words; "yes, please" and "go on" ask for what was asked before
_EARLIER = 3  # user turns that a short one may lean on
_NAMED = 0.1  # smaller contributions are not worth a reason


@dataclass(frozen=True, slots=True)
class RuleRouter:
    """Sends a request to the cheapest eligible tier that its difficulty score allows; in doubt, to the baseline.

    The score is `1 - 2 ** -points` over the signs in `Features`: 0 for "hello", 0.5 at one point, near 1 for an exam
    question. Every sign only adds, so a request with one more sign never goes to a cheaper tier. The baseline takes
    every score from `1 - caution` on; cheaper tiers share what is below in equal bands.

    Attributes:
        caution: share of the scale that is the baseline's own: 0 < caution <= 1. At 1 everything goes there.
        cautions: feature to its own.
    """

    caution: float = 0.5
    cautions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for caution in (self.caution, *self.cautions.values()):
            if not 0 < caution <= 1:
                raise ConfigError(f"routing caution must be above 0 and at most 1, not {caution}")

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        """Choose a tier; see `Router.decide`."""
        insisted = forced(request, tiers)
        if insisted is not None:
            return insisted
        able = eligible(request, tiers)
        if len(able) == 1:
            reason = "only tier" if len(tiers) == 1 else "only tier that can serve it"
            return Decision(able[0], tiers[able[0]].name, "only", (reason,))
        ladder = ladder_of(able, baseline)
        score, reasons = difficulty(request)
        caution = self.cautions.get(request.scope.feature, self.caution)
        step = _step(score, len(ladder), 1 - caution)
        chosen = ladder[step]
        return Decision(chosen, tiers[chosen].name, "rules", reasons, ladder[step + 1 :], score)


def _step(score: float, steps: int, allowed: float) -> int:
    """Position on a ladder of `steps` tiers; the last one is the baseline, whose are all scores from `allowed` on."""
    if score >= allowed:
        return steps - 1
    return int(score / allowed * (steps - 1))


def difficulty(request: Request) -> tuple[float, tuple[str, ...]]:
    """How hard a request is, 0 to 1, and the signs of it, weightiest first.

    A turn of few words leans on the turns before it, so it is no easier than the hardest of the last few.
    """
    points = max((_points(request, found) for found in _turns(request.messages)), key=_total)
    named = sorted((item for item in points if item[1] >= _NAMED), key=lambda item: -item[1])
    return 1 - 2 ** -_total(points), tuple(name for name, _ in named) or ("short request",)


def _turns(messages: Sequence[Message]) -> Iterator[Features]:
    """The last user turn and, where it is short, the ones before it, as if each were asked at the end."""
    last = features(messages)
    yield last
    if last.words >= _LEANS or last.turns <= 1:
        return
    asked = [at for at, message in enumerate(messages) if message.role == "user"]
    for at in asked[-1 - _EARLIER : -1]:
        yield replace(features(messages[: at + 1]), context=last.context, turns=last.turns)


def _points(request: Request, found: Features) -> list[tuple[str, float]]:
    points = list(_of_size(found))
    if request.tools:
        points += [(name, _TOOL_TEXT_SHARE * value) for name, value in _of_text(found)]
        points += _of_tools(request.tools, found)
    else:
        points += _of_text(found)
    if request.schema is not None:
        points.append(("structured answer", 0.05 * _leaves(request.schema)))
    return points


def _total(points: Sequence[tuple[str, float]]) -> float:
    return sum(value for _, value in points)


def _of_size(found: Features) -> Points:
    """A long question hides more that matters; a long context is where small models lose the thread."""
    yield "long question", found.words / 100
    yield "long context", min(2.0, found.context / 4_000)
    yield "long conversation", min(0.6, 0.05 * max(0, found.turns - 1))
    yield "many labels", 1.0 if found.labels >= 10 else 0.06 * max(0, found.labels - 3)


def _of_text(found: Features) -> Points:
    """Signs of work that small models do worse, weighed by how much worse, not by how frequent they are."""
    if found.exam:
        yield "exam question", _EXAM + 0.1 * min(10, found.names)
    else:
        yield from _of_sums(found)
    if found.code_marks or found.code:
        yield "code", (1.0 if found.code_marks or found.writes else 0.5) + 0.3 * min(3, found.code)
    yield "reasoning", min(2.5, 1.0 * found.reason)
    yield "explanation", min(0.9, 0.3 * found.explain)
    yield "several steps", min(0.9, 0.2 * found.steps)
    yield "specialist terms", min(1.2, 0.3 * found.technical)
    yield "medicine or law", min(1.6, 0.6 * found.expert)
    yield "long answer", min(1.2, 0.5 * found.lengthy)
    yield "constraints", min(0.6, 0.12 * found.constraints)
    yield "negation", min(0.6, 0.12 * found.negation)
    yield "several questions", min(0.6, 0.2 * max(0, found.asks - 1))
    yield "hard instructions", min(1.0, 0.3 * found.instructed)
    if not found.familiar:
        yield "unfamiliar language", 1.0


def _of_sums(found: Features) -> Points:
    """Work with numbers. Where a letter must be picked at once there is no room for it, so an exam has none."""
    sums = found.numbers >= 2 and found.quantity + found.maths > 0
    if (
        sums
        or (found.numbers >= 4 and found.asks)
        or (found.quantity and found.numbers and found.words > _MORE_THAN_A_LOOKUP)
    ):
        yield "maths problem", 0.9 + 0.1 * min(9, found.numbers)
    yield "maths", min(1.5, 0.3 * found.maths)
    yield "numbers", min(0.6, 0.06 * found.numbers)


def _of_tools(tools: Sequence[Mapping[str, Json]], found: Features) -> Points:
    """Choosing among many tools and filling many or nested parameters; several questions need several calls."""
    yield "many tools", min(1.5, 0.08 * (len(tools) - 1))
    yield "many parameters", min(1.0, 0.04 * max(_leaves(_parameters(tool)) for tool in tools))
    yield "several calls", min(0.8, 0.2 * max(0, found.asks - 1) + 0.15 * found.steps)


def _parameters(tool: Mapping[str, Json]) -> Json:
    inner = tool.get("function")
    return (inner if isinstance(inner, Mapping) else tool).get("parameters")


def _leaves(schema: Json, depth: int = 6) -> int:
    """Values that a schema asks for; those inside nested objects count twice for each level."""
    if not isinstance(schema, Mapping) or depth == 0:
        return 1
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and properties:
        return sum(2 * _leaves(part, depth - 1) if _nested(part) else 1 for part in properties.values())
    items = schema.get("items")
    return _leaves(items, depth - 1) if isinstance(items, Mapping) else 1


def _nested(schema: Json) -> bool:
    return isinstance(schema, Mapping) and ("properties" in schema or "items" in schema)


def ladder_of(able: Sequence[int], baseline: int) -> tuple[int, ...]:
    """Tiers to choose from: those up to the baseline, or, where it cannot serve, up to the next that can."""
    above = [index for index in able if index >= baseline]
    below = [index for index in able if index < baseline]
    return (*below, *above[:1])
