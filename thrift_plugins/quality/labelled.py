"""Tries a judge on pairs whose truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from thrift_plugins.quality.calibration import Calibration, calibrated
from thrift_plugins.quality.judge import LOSS, Judge, Judgement, Judging
from thrift_plugins.types import Message, Reply, Request, Usage


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question, and how the first compares with the second as people see it."""

    question: str
    served: str
    other: str
    truth: Judgement


def calibrate(judge: Judge, pairs: Iterable[Pair]) -> Calibration:
    """How far a judge can be trusted, from labelled pairs. Asks its model, at your cost.

    Args:
        pairs: at least 20 in which one answer is better; with as many equal ones it is also known what the judge makes of those.

    Raises:
        ConfigError: too few pairs that it could judge.
    """
    counts = Counter[tuple[float, float]]()
    for pair in pairs:
        request = Request("calibration", 0.0, "", (Message("user", pair.question),))
        said = settled(judge.judge(request, _reply(pair.served), _reply(pair.other)))
        if said is not None:
            counts[LOSS[pair.truth], LOSS[said]] += 1
    return calibrated(counts)


def _reply(text: str) -> Reply:
    return Reply(text, Usage(), finish_reason="stop")


def settled(judging: Judging) -> Judgement | None:
    """A judgement, with the judge's model asked here and now."""
    told: Reply | None = None
    while True:
        try:
            consult = judging.send(told)  # type: ignore[arg-type]  # the first is None
        except StopIteration as end:
            judgement: Judgement | None = end.value
            return judgement
        told = consult.asker.ask(consult.prompt)
