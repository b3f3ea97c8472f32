"""The tables of a report, as texts: each is made once, and shown by the terminal, by Markdown and by the page as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeAlias

from thrift_plugins.ledger.flaws import KINDS
from thrift_plugins.ledger.holdout import Comparison, Holdout
from thrift_plugins.ledger.rollup import By
from thrift_plugins.ledger.summary import Line
from thrift_plugins.report.actions import Action
from thrift_plugins.report.soundness import Soundness
from thrift_plugins.report.story import Story
from thrift_plugins.report.waterfall import Step
from thrift_plugins.report.wording import money, percent, points

_ACTIONS: Final = 6
"""That are named: who has done them makes a new report."""

Tone: TypeAlias = Literal["", "good", "bad", "beside", "total"]


@dataclass(frozen=True, slots=True)
class Row:
    """Texts, and what they mean: something saved, lost, paid beside the answers, or a sum."""

    cells: tuple[str, ...]
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads.

    Attributes:
        name: a word without spaces, for links and machines.
        texts: how many of the first columns hold names, as an app gave them; the others hold numbers, or words of ours.
        words: whether the columns after those hold words too.
        foot: rows under a line.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: Sequence[Row]
    texts: int = 1
    words: bool = False
    foot: Sequence[Row] = ()


def tables(story: Story, most: int) -> list[Table]:
    """All tables of a report, in the order in which they are read; those that have no row are left out.

    Args:
        most: rows of each: those that cost most, and the last days.
    """
    found = [
        bill(story.steps, story.digits),
        next_actions(story),
        *(part(story, name, most) for name in story.rollup.by),
        answers(story, most),
        beside(story, most),
        verdicts(story, most),
        compared(story.rollup.holdout, most, story.digits),
    ]
    return [table for table in found if table.rows]


def bill(steps: Sequence[Step], digits: int = 4) -> Table:
    """The way from what the app alone would have paid to what was paid."""
    before = steps[0]
    measured = before.low is not None and before.high is not None
    rows = []
    for step in steps:
        cells = [step.name, money(step.amount, digits), percent(step.amount / before.amount if before.amount else 0.0)]
        if measured:
            cells.append(_between(step.low, step.high, digits))
        rows.append(Row(tuple(cells), _tone(step)))
    heads = ("", "US dollars", "of the bill", *(("95 %",) if measured else ()))
    return Table("bill", "The bill", heads, rows[:-1], foot=rows[-1:])


def part(story: Story, name: By, most: int) -> Table:
    """The bill by a column: those that cost most, or the last days, and the sum of the others."""
    lines, digits = {value: line for value, line in story.rollup.by[name].items() if _counts(line)}, story.digits
    sound = {one.feature: percent(one.sound, 2) for one in story.sound_by_feature}
    quality = name == "feature"
    ordered = _ordered(name, lines)
    rows = [
        Row((value, *_cells(line, digits), *([sound[value]] if quality else []))) for value, line in islice(ordered, most)
    ]
    foot = []
    if len(lines) > most:
        rest = Line()
        for _, line in ordered:
            rest.merge(line)
        foot = [Row((f"{len(lines) - most:,} more", *_cells(rest, digits), *(["-"] if quality else [])))]
    heads = (str(name), "calls", "hits", "before", "after", "saved", *(("sound",) if quality else ()))
    return Table(f"by-{name}", f"By {name}", heads, rows, foot=foot)


def answers(story: Story, most: int) -> Table:
    """How answers ended."""
    rows = [_answers(one, one.feature) for one in story.sound_by_feature[:most] if one.treated.calls or one.held.calls]
    heads = ("feature", "answers", "cut", "refused", "failed", "escalated", "sound")
    return Table("answers", "Sound answers", heads, rows, foot=[_answers(story.sound, "all")] if rows else [])


def beside(story: Story, most: int) -> Table:
    """How many answers were whole beside how many of those that were left alone; no row where none was."""
    rows = [_beside(one, one.feature) for one in story.sound_by_feature[:most] if one.held.answers]
    heads = ("feature", "with tactics", "left alone", "points", "from", "to")
    title = "Sound answers, with the tactics and left alone (95 %)"
    return Table("left-alone", title, heads, rows, foot=[_beside(story.sound, "all")] if rows else [])


def compared(holdout: Holdout, most: int, digits: int = 4) -> Table:
    """The ledger's claim beside the holdout's, for each feature and model and for all that are known; no row without one."""
    rows = [row for row in holdout.rows() if row.treated or row.held]
    if not any(row.held for row in rows):
        rows = []
    heads = ("feature", "model", "calls", "held out", "booked", "corrected", "measured", "from", "to")
    title = "Saved, as booked and as measured by the holdout (95 %)"
    each = [Row((row.feature, row.model, *_compared(row, digits))) for row in rows[:most]]
    whole = Row(("all that are known", "", *_compared(holdout.total(), digits)), "total")
    return Table("holdout", title, heads, each, texts=2, foot=[whole])


def next_actions(story: Story) -> Table:
    """What to do next, the dearest first."""
    rows = [Row((_worth(one, story.digits), one.what, one.why)) for one in story.actions[:_ACTIONS]]
    return Table("next", "What to do next", ("US dollars", "what", "why"), rows, texts=0, words=True)


def verdicts(story: Story, most: int) -> Table:
    """What the quality gate says."""
    tones: Mapping[str, Tone] = {"holds": "good", "broken": "bad"}
    rows = [
        Row((one.tactic, one.feature, one.state, one.evidence), tones.get(one.state, ""))
        for one in story.verdicts[:most]
    ]
    return Table("gate", "What the quality gate says", ("tactic", "feature", "verdict", "evidence"), rows, texts=2, words=True)


def _worth(one: Action, digits: int) -> str:
    if one.amount is None:
        return "not known"
    return f"{'about ' if one.basis == 'modelled' else ''}{money(one.amount, digits)}"


def _tone(step: Step) -> Tone:
    match step.kind:
        case "saved":
            return "good" if step.amount <= 0 else "bad"
        case "beside":
            return "beside"
        case "paid":
            return "total"
        case "before":
            return ""


def _between(low: int | None, high: int | None, digits: int) -> str:
    return "" if low is None or high is None else f"{money(low, digits)} to {money(high, digits)}"


def _ordered(name: By, lines: Mapping[str, Line]) -> Iterator[tuple[str, Line]]:
    if name == "day":
        return iter(sorted(lines.items(), reverse=True))
    return iter(sorted(lines.items(), key=lambda item: (-item[1].baseline, item[0])))


def _counts(line: Line) -> bool:
    """Not so one that has a line that stands for lost events, and nothing else."""
    return bool(line.requests or line.baseline or line.actual)


def _cells(line: Line, digits: int) -> tuple[str, ...]:
    counts = f"{line.requests:,}", f"{line.outcomes['hit']:,}"
    if line.unpriced.total() >= line.requests > 0 and not line.baseline and not line.actual:
        return (*counts, "-", "-", "-")  # which is not the same as nothing
    return (*counts, money(line.baseline, digits), money(line.actual, digits), percent(line.saved_fraction))


def _answers(one: Soundness, name: str) -> Row:
    flaws, escalated = one.treated.flaws + one.held.flaws, one.treated.escalated + one.held.escalated
    counts = (one.treated.answers + one.held.answers, *(flaws[kind] for kind in KINDS), escalated)
    return Row((name, *(f"{count:,}" for count in counts), percent(one.sound, 2)))


def _beside(one: Soundness, name: str) -> Row:
    change = one.change
    moved = [points(value, 2) for value in change] if change else ["-"] * 3
    worse = change is not None and change.high < 0
    return Row((name, percent(one.treated.sound, 2), percent(one.held.sound, 2), *moved), "bad" if worse else "")


def _compared(row: Comparison, digits: int) -> tuple[str, ...]:
    counts = (f"{row.treated:,}", f"{row.held:,}", money(row.booked, digits))
    if row.measured is None:
        return (*counts, "", row.unknown, "", "")
    return (*counts, *(money(round(amount), digits) for amount in (row.corrected, *row.measured)))
