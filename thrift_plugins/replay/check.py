"""How right an answer is, by the trace's own record."""

from __future__ import annotations

from dataclasses import dataclass

from thrift_plugins.replay.row import Row
from thrift_plugins.tokens import estimate


@dataclass(frozen=True, slots=True)
class Answer:
    """What the app got.

    Attributes:
        text: the words.
        model: the recorded model that they come from.
        topic: what the request was about for which they were first given, "" if that was this one or is unknown.
        sent: the text of all messages that went to the model, None where none did or they were unchanged.
    """

    text: str
    model: str
    topic: str = ""
    sent: str | None = None


def score(row: Row, answer: Answer) -> float:
    """How right an answer is, 0 to 1."""
    arm = row.arms.get(answer.model)
    recorded = arm.score if arm else 0.0
    match row.check.kind:
        case "label":
            return recorded if arm else float(answer.text.strip() == row.check.gold)
        case "same_topic":
            return recorded if not answer.topic or answer.topic == row.check.topic else 0.0
        case "evidence":
            found = answer.sent is None or any(text in answer.sent for text in row.check.any_of)
            return recorded if found else 0.0
        case "spans":
            return recorded * _share(row, answer.sent)
        case _:
            return recorded


def _share(row: Row, sent: str | None) -> float:
    """Share of the listed turns' tokens that is still in what was sent."""
    if sent is None:
        return 1.0
    sizes = {turn: estimate(turn) for turn in row.check.turns}
    whole = sum(sizes.values())
    return sum(size for turn, size in sizes.items() if turn in sent) / whole if whole else 1.0
