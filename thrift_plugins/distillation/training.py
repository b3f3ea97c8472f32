"""From recorded answers to a student, and what may be expected of one before it is trained or paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Final

import numpy as np

from thrift_plugins.distillation.certificate import Certificate, certifiable, certify
from thrift_plugins.distillation.dataset import Example, one_teacher
from thrift_plugins.distillation.forms import Class, Form, outside
from thrift_plugins.distillation.heads import MOST, Bools, Judged, Mind, learn
from thrift_plugins.distillation.life import usual_of
from thrift_plugins.distillation.prompts import Frame
from thrift_plugins.distillation.student import Student
from thrift_plugins.errors import NotDistillable
from thrift_plugins.text.embed import Embedder
from thrift_plugins.types import Json

LEAST: Final = 200
"""Examples below which nothing can be promised that is worth having."""

WORTH: Final = 0.25
"""Coverage below which a student is not worth its keep: its audits and its first examples are paid for too."""

AGREEMENT: Final = 0.96
"""What is promised unless the app says otherwise."""


@dataclass(frozen=True, slots=True)
class Material:
    """Examples of one teacher and one prompt, all of one form.

    Attributes:
        texts: what changes, without the prompt around it.
        parts: for each part of an answer, what it is for each text.
        drawn: (n,), those that say how sure to be: the ones that chance has chosen.
        strays: texts of those that chance has chosen too, whose answer no student can give.
        left_out: examples that no student can give.
        routed: how many of `drawn` a router has chosen, where chance has not chosen enough; else 0.
    """

    examples: tuple[Example, ...]
    form: Form
    frame: Frame
    texts: tuple[str, ...]
    parts: Mapping[str, tuple[Class, ...]]
    drawn: Bools
    strays: tuple[str, ...]
    left_out: int
    routed: int = 0

    @classmethod
    def of(
        cls,
        examples: Sequence[Example],
        *,
        teacher: str = "",
        schema: Mapping[str, Json] | None = None,
    ) -> Material:
        """Make material of what was recorded: at most `MOST` examples, those that chance has chosen first, then the latest.

        Args:
            schema: JSON schema of the answers; those that it does not allow are left out.

        Raises:
            NotDistillable: too few, too many teachers, one class only, or answers that are no classes; says which.
        """
        own = one_teacher(examples, teacher=teacher)
        if len(own) < LEAST:
            raise NotDistillable(
                f"{len(own)} examples are too few: record {LEAST - len(own)} more, at least; {5 * LEAST} are a good start"
            )
        if len(own) > MOST:
            ranked = sorted(range(len(own)), key=lambda at: (own[at].how == "random", at))
            own = [own[at] for at in sorted(ranked[-MOST:])]
        form = Form.of([example.answer for example in own], schema)
        frame = Frame.of([example.text for example in own])
        found = [(example, form.parts(example.answer), frame.inside(example.text)) for example in own]
        kept = [
            (example, parts, text)
            for example, parts, text in found
            if text is not None and parts is not None and not outside(parts, schema)
        ]
        if len(kept) < LEAST:
            raise NotDistillable(f"{len(kept)} of {len(own)} answers have the form of the rest: {LEAST} are needed")
        names = kept[0][1].keys()
        columns = {name: tuple(parts[name] for _, parts, _ in kept) for name in names}
        if all(len(set(column)) < 2 for column in columns.values()):
            raise NotDistillable(
                "the teacher gives the same answer every time: there is nothing to learn, or a mistake"
            )
        drawn = np.array([example.how == "random" for example, _, _ in kept], np.bool_)
        routed = 0
        if drawn.sum() < LEAST:  # what a router has chosen says nothing of what it sends elsewhere
            routed = sum(example.how == "routed" for example, _, _ in kept)
            drawn = np.array([example.how != "deferred" for example, _, _ in kept], np.bool_)
        known = {example.key for example, _, _ in kept}
        fair = {"random", "routed"} if routed else {"random"}
        strays = tuple(text for one, _, text in found if text is not None and one.key not in known and one.how in fair)
        return cls(
            tuple(example for example, _, _ in kept), form, frame, tuple(text for _, _, text in kept), columns, drawn, strays,
            len(own) - len(kept), routed,
        )  # fmt: skip

    def learn(self, embedder: Embedder | None) -> tuple[Mind, Judged]:
        """Learn, and judge: each of the examples that chance has chosen by all others, and what nobody can learn as wrong."""
        if self.drawn.sum() < LEAST:
            raise NotDistillable(
                f"chance has chosen {int(self.drawn.sum())} of the examples, and {LEAST} are needed to promise anything:"
                " those that a student has deferred are the hard ones. Let it audit longer"
            )
        mind, judged = learn(self.texts, self.parts, embedder, drawn=self.drawn)
        odd = [mind.answer(text, embedder) for text in self.strays]
        return mind, judged.of(self.drawn).and_wrong(
            np.array([one.chance for one in odd], np.float64), np.array([one.familiar for one in odd], np.float64)
        )

    @property
    def tokens(self) -> tuple[float, float]:
        """Mean input and output tokens of an answer, where they were counted."""
        counted = [example.tokens for example in self.examples if example.tokens[0]]
        if not counted:
            return 0.0, 0.0
        return sum(one for one, _ in counted) / len(counted), sum(one for _, one in counted) / len(counted)


def train(
    task: str,
    material: Material,
    embedder: Embedder | None,
    *,
    agreement: float = AGREEMENT,
    confidence: float = 0.95,
) -> Student:
    """Train a student. Its certificate says whether there is anything that it may answer."""
    mind, judged = material.learn(embedder)
    first = material.examples[-1]
    return Student(
        task,
        first.teacher,
        first.prompt,
        material.form,
        material.frame,
        mind,
        certify(judged, agreement, confidence=confidence),
        material.tokens,
        embedder,
        about_of(material, judged),
    )


def about_of(material: Material, judged: Judged) -> dict[str, Any]:
    """How a student was trained."""
    return {
        "examples": len(material.texts),
        "drawn": int(material.drawn.sum()),
        "left_out": material.left_out,
        "routed": material.routed,
        "classes": {name: len(set(column)) for name, column in material.parts.items()},
        "agrees": round(float(judged.right.mean()), 4),
        "from": min(example.at for example in material.examples),
        "until": max(example.at for example in material.examples),
        "usual": None if judged.familiar is None else list(usual_of(judged.familiar.tolist())),
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a student could do, from the examples at hand.

    Attributes:
        agrees: share of examples on which a student agrees with the teacher, each learnt from the others.
        possible: coverage that no way of telling sure answers from others can exceed.
        choices: agreement to what could be promised.
        agreement: the one that was asked for.
        why: why it is refused, "" where it is not.
        break_even: requests after which the examples and audits are paid for, infinite where never.
        saving: share of the teacher's calls that would not be made, after audits.
    """

    examples: int
    agrees: float
    possible: float
    choices: Mapping[float, Certificate]
    agreement: float
    why: str
    break_even: float
    saving: float

    @property
    def forecast(self) -> float:
        """Share of requests that the student would answer."""
        return self.choices[self.agreement].coverage


_CHOICES: Final = (0.98, 0.96, 0.94, 0.92)


def plan(
    judged: Judged,
    *,
    examples: int,
    agreement: float = AGREEMENT,
    confidence: float = 0.95,
    audit: float = 0.02,
    shadow: int = 400,
) -> Plan:
    """Forecast what a student would do.

    Args:
        judged: as `Material.learn` gives it.
        examples: how many answers of the teacher were paid for, to no other use: 0 where the app needed them anyway.
        audit: share of requests whose answer is asked of the teacher too.
        shadow: requests that the teacher answers before a student is promoted.
    """
    wanted = sorted({*_CHOICES, agreement}, reverse=True)
    choices = {level: certify(judged, level, confidence=confidence) for level in wanted}
    own = choices[agreement]
    saving = own.coverage * (1 - audit)
    why = _refusal(judged, own)
    return Plan(
        len(judged.chance),
        own.agrees,
        certifiable(own.agrees, agreement),
        choices,
        agreement,
        why,
        ceil((examples + shadow) / saving) if saving > 0 else inf,
        saving,
    )


def _refusal(judged: Judged, own: Certificate) -> str:
    if not own.holds:
        return (
            f"{own.agreement:.0%} agreement cannot be promised for any answer: the student agrees with the teacher on"
            f" {own.agrees:.0%} of {len(judged.chance)} examples. Record more, or leave the task to the teacher"
        )
    if own.coverage < WORTH:
        return (
            f"not distillable: {own.agreement:.0%} agreement can be promised for {own.coverage:.0%} of requests only, and"
            f" {WORTH:.0%} are worth it. More examples may help; for sentiment and the like a larger model is needed"
        )
    return ""


def held_back(material: Material, embedder: Embedder | None, agreement: float = AGREEMENT) -> dict[str, float]:
    """How a student that has learnt from the training split only does on the test split: nothing of that chose anything.

    Returns:
        examples: how many there were; coverage: answered; differ: answered otherwise than the teacher; agrees: the
        share on which it agrees, answered or not. Empty where either split is too small.
    """
    test = np.array([example.split == "test" for example in material.examples], np.bool_) & material.drawn
    rest = np.array([example.split == "train" for example in material.examples], np.bool_)
    if test.sum() < _FEW or (rest & material.drawn).sum() < _FEW:
        return {}
    texts = [material.texts[at] for at in np.flatnonzero(rest)]
    parts = {name: [column[at] for at in np.flatnonzero(rest)] for name, column in material.parts.items()}
    drawn = material.drawn[rest]
    mind, judged = learn(texts, parts, embedder, drawn=drawn)
    own = certify(judged.of(drawn), agreement)
    opinions = [mind.answer(material.texts[at], embedder) for at in np.flatnonzero(test)]
    answers = [{name: column[at] for name, column in material.parts.items()} for at in np.flatnonzero(test)]
    right = np.array([opinion.values == answer for opinion, answer in zip(opinions, answers, strict=True)])
    served = np.array([opinion.chance >= own.threshold for opinion in opinions])
    return {
        "examples": int(test.sum()),
        "coverage": round(float(served.mean()), 4),
        "differ": round(float((served & ~right).mean()), 4),
        "agrees": round(float(right.mean()), 4),
    }


_FEW: Final = 40
