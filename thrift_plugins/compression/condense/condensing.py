"""Tries shorter prompts on cases: some that a model writes, and some with whole segments left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from thrift_plugins.compression.condense.cases import Case
from thrift_plugins.compression.condense.coverage import Coverage, coverage, rules
from thrift_plugins.compression.condense.lock import Lock, digest
from thrift_plugins.compression.marks import marks
from thrift_plugins.errors import ConfigError
from thrift_plugins.tokens import count

Ask: TypeAlias = Callable[[str, str], str]
"""Answers a user under a system prompt: `ask(system, user)`."""

REWRITE: Final = """\
Condense these instructions to the minimum needed for correct execution. Keep every rule, exception, number, name, placeholder, tag, \
address and output format exactly; keep each "not", "never", "only" and "unless". Say nothing twice, explain nothing, add nothing. \
{how}Reply with the instructions alone.

{prompt}"""
"""What a rewriting model is asked."""

_WAYS: Final = ("", "Use short points, one rule each. ", "Use as few words as you can. ")
_GUARDED: Final = ("placeholder", "tag", "address", "fence", "code", "number", "negation")
_SEGMENT: Final = re.compile(r"\n(?=\s*\n|\s*[-*\u2022+] |\s*\d{1,3}[.)] |#+ )")


class Score(NamedTuple):
    """How a prompt did on the cases, beside the original, case by case.

    Attributes:
        losses: cases that only the original got right.
        wins: cases that only this one did.
    """

    cases: int
    losses: int
    wins: int

    @property
    def drop_at_most(self) -> float:
        """Of the share of right answers, with 95 % confidence; what was won is not set against it."""
        from thrift_plugins.learning.risk import upper_bound  # noqa: PLC0415  numpy, which `--help` must not load

        return upper_bound(self.losses, self.cases) if self.cases else 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A shorter prompt.

    Attributes:
        name: how it came about.
        tokens: that it has.
        score: on the cases.
        coverage: what became of each rule.
    """

    name: str
    text: str
    tokens: int
    score: Score
    coverage: Coverage

    def holds(self, margin: float) -> bool:
        """Whether the cases show that it is worse by no more than the margin."""
        return self.score.drop_at_most <= margin


@dataclass(frozen=True, slots=True)
class Condensed:
    """What came of condensing a prompt.

    Attributes:
        candidates: all that were tried, the original first.
        best: the shortest that holds and loses no rule, None where there is none but the original.
        margin: the drop that is tolerated.
        noise: cases in which the original prompt, asked twice, gave two answers that are not the same.
    """

    prompt: str
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    margin: float
    noise: int = 0

    def frontier(self) -> list[Candidate]:
        """The candidates that no other beats in both tokens and losses."""
        return [
            one
            for one in self.candidates
            if not any(
                (other.tokens, other.score.losses) != (one.tokens, one.score.losses)
                and other.tokens <= one.tokens
                and other.score.losses <= one.score.losses
                for other in self.candidates
            )
        ]

    def lock(self, candidate: Candidate, model: str) -> Lock:
        """The evidence for a candidate, for a file."""
        return Lock(
            digest(self.prompt),
            digest(candidate.text),
            self.candidates[0].tokens,
            candidate.tokens,
            model,
            candidate.score.cases,
            candidate.score.losses,
            candidate.score.wins,
            round(candidate.score.drop_at_most, 4),
            tuple(one.rule.text for one in candidate.coverage.of("changed")),
            tuple(one.rule.text for one in candidate.coverage.of("lost")),
        )


def condense(
    prompt: str,
    cases: Sequence[Case],
    ask: Ask,
    *,
    rewrite: Callable[[str], str] | None = None,
    model: str = "gpt-4o",
    margin: float = 0.02,
    ablate: bool = True,
    passes: Callable[[Case, str, str], bool] | None = None,
    progress: Callable[[str], None] = lambda _what: None,
) -> Condensed:
    """Try shorter prompts.

    Args:
        ask: the model that the prompt is for.
        rewrite: a model that writes shorter prompts; None: only segments are left out.
        model: whose tokens are counted.
        margin: the drop in the share of right answers that is tolerated. To show one of 2 % takes 149 cases without a loss.
        ablate: whether segments are left out. Those with a number, a negation, a placeholder, a tag, an address or code never are.
        passes: whether an answer to a case is right, beside the original's; by default what the case says.
        progress: told what is tried.

    Raises:
        ConfigError: the prompt is empty, the margin is not above 0 and below 1, there are no cases, or it gets none of them right: then nothing could be lost.
    """
    if not prompt.strip() or not cases:
        raise ConfigError("condensing needs a prompt, and cases to try it on")
    if not 0 < margin < 1:
        raise ConfigError(f"margin must be above 0 and below 1, not {margin}: it is a share of the answers")
    trial = _Trial(prompt, cases, ask, passes or Case.passes, model)
    if not trial.right:
        raise ConfigError("the prompt gets none of the cases right, so that they can show nothing: see what they expect")
    progress("the original")
    tried = [trial.original()]
    noise = trial.noise()
    for name, text in _rewritten(prompt, rewrite, progress) if rewrite else ():
        tried.append(trial.of(name, text))
    if ablate:
        tried += _ablated(trial, [tried[0], *(one for one in tried[1:] if one.holds(margin))][-1], margin, progress)
    holding = [
        one for one in tried[1:] if one.holds(margin) and not one.coverage.of("lost") and one.tokens < tried[0].tokens
    ]
    best = min(holding, key=lambda one: one.tokens, default=None)
    return Condensed(prompt, tuple(tried), best, margin, noise)


class _Trial:
    """Answers every case under a prompt, and sets it beside the original's answer."""

    def __init__(
        self, prompt: str, cases: Sequence[Case], ask: Ask, passes: Callable[[Case, str, str], bool], model: str
    ) -> None:
        self.prompt, self._cases, self._ask, self._passes, self.model = prompt, cases, ask, passes, model
        self._originals = [ask(prompt, case.input) for case in cases]
        self._right = [passes(case, answer, answer) for case, answer in zip(cases, self._originals, strict=True)]

    @property
    def right(self) -> int:
        """Cases that the original gets right."""
        return sum(self._right)

    def original(self) -> Candidate:
        return Candidate(
            "original",
            self.prompt,
            count(self.prompt, self.model),
            Score(len(self._cases), 0, 0),
            coverage(self.prompt, self.prompt),
        )

    def noise(self) -> int:
        """How many answers differ when the same is asked again: what no shorter prompt can be better than."""
        again = [self._ask(self.prompt, case.input) for case in self._cases]
        return sum(
            not Case(case.input).passes(answer, original)
            for case, answer, original in zip(self._cases, again, self._originals, strict=True)
        )

    def of(self, name: str, text: str) -> Candidate:
        losses = wins = 0
        for case, original, right in zip(self._cases, self._originals, self._right, strict=True):
            now = self._passes(case, self._ask(text, case.input), original)
            losses += right and not now
            wins += now and not right
        return Candidate(
            name, text, count(text, self.model), Score(len(self._cases), losses, wins), coverage(self.prompt, text)
        )


def _rewritten(prompt: str, rewrite: Callable[[str], str], progress: Callable[[str], None]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for number, how in enumerate(_WAYS, 1):
        progress(f"rewriting {number} of {len(_WAYS)}")
        text = rewrite(REWRITE.format(how=how, prompt=prompt)).strip()
        if text and text not in found.values() and len(text) < len(prompt):
            found[f"rewriting {number}"] = text
    return list(found.items())


def _ablated(trial: _Trial, start: Candidate, margin: float, progress: Callable[[str], None]) -> list[Candidate]:
    """Leave out one segment after the other, and keep it out where the cases lose nothing."""
    segments = _segments(start.text)
    out: set[int] = set()
    tried: list[Candidate] = []
    for place, segment in enumerate(segments):
        if not segment.strip() or marks(segment, _GUARDED) or not rules(segment):
            continue
        progress(f"without segment {place + 1} of {len(segments)}")
        text = "".join(one for at, one in enumerate(segments) if at not in out and at != place)
        if not text.strip():
            continue
        candidate = trial.of(f"{start.name} without {len(out) + 1} segments", text)
        if candidate.score.losses <= start.score.losses and (candidate.holds(margin) or not start.holds(margin)):
            out.add(place)
            tried.append(candidate)
    return tried[-1:]


def _segments(prompt: str) -> list[str]:
    """Paragraphs, headings and points of lists; joined they are the prompt again."""
    ends = [match.start() for match in _SEGMENT.finditer(prompt)]
    return [prompt[a:b] for a, b in zip([0, *ends], [*ends, len(prompt)], strict=True)]
