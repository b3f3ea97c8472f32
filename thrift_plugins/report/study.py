"""What a log tells, for people: the bill, what a cache would have answered of it, what could be routed, and what nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from thrift_plugins.learning.spread import monthly
from thrift_plugins.report.tables import bill
from thrift_plugins.report.terminal import by_feature, drawn
from thrift_plugins.report.truth import notes
from thrift_plugins.report.waterfall import waterfall
from thrift_plugins.report.wording import counted, digits_of, money, shown
from thrift_plugins.types import usd

if TYPE_CHECKING:
    from thrift_plugins.learning.survey import Estimate
    from thrift_plugins.replay.logs.asking import Asked
    from thrift_plugins.replay.logs.formats import Log
    from thrift_plugins.replay.logs.study import Study


def print_study(found: Study, log: Log, unknown: Sequence[str], console: Console) -> None:
    """Print what was found, and what cannot be known from it."""
    total = found.total
    between = f", {_day(found.start)} to {_day(found.end)}" if found.calls else ""
    console.print(Text(f"{shown(found.name)}: {found.format}, {counted(found.calls, 'call')}{between}\n"))
    digits = digits_of(total.baseline)
    console.print(drawn(bill(waterfall(total), digits)))
    console.print(by_feature(found.bill.by_feature, digits))
    for line in (*notes(total), *_remarks(found, log)):
        console.print(Text(shown(line)))
    console.print("\n[bold]Not to be known from this log[/bold]")
    for line in unknown:
        console.print(Text(f"- {shown(line)}."))


def _remarks(found: Study, log: Log) -> Iterator[str]:
    if log.unread:
        (problem, _), *_ = log.unread.most_common(1)
        yield f"{counted(log.unread.total(), 'record')} could not be read, the first is number {log.first_unread:,}: {problem}."
    if found.failed:
        yield f"{counted(found.failed.total(), 'call')} failed ({', '.join(f'{shown(why)}: {n:,}' for why, n in found.failed.most_common(3))})."
    if found.cached:
        yield f"{counted(found.cached, 'call')} answered by a cache that is there already: in no sum."
    if found.paid:
        apart = usd(found.priced) / found.paid - 1
        yield f"By the log itself ${found.paid:,.4f} was paid; by our prices {money(found.priced)}, {apart:+.1%}."
    month = monthly(whole_days(found))
    if month is not None:
        yield f"A cache would save {interval(month)} a month, if other months are like these days (95 %)."
    judged = found.compared.total()
    if judged:
        same = found.compared["same"] / judged
        yield f"Of the hits, {judged:,} could be set beside what the model said then instead: {same:.1%} say the same."
    if found.could.calls:
        could = found.could
        yield (
            f"The rules would send {counted(could.calls, 'call')}, at {money(could.bill)}, to {found.cheaper}: "
            f"{money(could.cheaper)} at as many tokens, if its answers are as good."
        )


def print_asked(done: Asked, console: Console) -> None:
    """Print what a live model answered to a sample."""
    told = Text(f"\nAsked {shown(done.model)}", "bold").append(f": {counted(done.asked, 'call')} for {money(done.spent)}", "not bold")
    console.print(told)
    if done.stopped:
        console.print("The budget had no room for more.")
    if done.failed:
        console.print(Text(f"Not answered: {', '.join(f'{name} ({count:,})' for name, count in done.failed.items())}."))
    cost = done.cost
    if cost is not None:
        console.print(
            f"They cost {cost.value:.1%} of what the log's cost ({max(0.0, cost.low):.1%} to {cost.high:.1%}, 95 %)."
        )
    standing = done.standing
    if standing is None or not standing.compared:
        console.print("None could be judged: --judge names a model that judges prose.")
        return
    console.print(
        f"Of {standing.compared:,} answers that could be judged {standing.worse:,} are worse and {standing.better:,} better: a drop of "
        f"{standing.drop:.1%} ({standing.low:.1%} to {standing.high:.1%}, 95 %). Whether it is below {done.margin:.1%}: "
        f"{ {'holds': 'yes', 'broken': 'no', 'not known yet': 'not known from so few'}[standing.verdict] }.",
        soft_wrap=True,
    )


def whole_days(found: Study) -> list[float]:
    """What was saved on each day, in US dollars, without the first and the last, which are cut off."""
    if not found.calls:
        return []
    first, last = int(found.start // 86_400), int(found.end // 86_400)
    return [usd(found.saved_by_day[day]) for day in range(first + 1, last)]


def interval(estimate: Estimate) -> str:
    """An amount in US dollars, with where it lies."""
    value, low, high = (money(round(dollars * 1e9), 2) for dollars in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
