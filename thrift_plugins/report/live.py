"""What an app does right now, for a terminal: the bill so far, its pace, and the last calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from thrift_plugins.ledger.leaks import Leaks
from thrift_plugins.ledger.summary import Line, is_call
from thrift_plugins.report.tables import bill
from thrift_plugins.report.terminal import drawn
from thrift_plugins.report.truth import to_look_into
from thrift_plugins.report.waterfall import waterfall
from thrift_plugins.report.wording import counted, digits_of, money, percent, shown
from thrift_plugins.types import Nano

_TICKS: Final = 60
_RECENT: Final = 50
_BARS: Final = " ▁▂▃▄▅▆▇█"
_FEATURES: Final = 6
_ROOM: Final = 12
"""Lines of a terminal that are not for tables."""


@dataclass(frozen=True, slots=True)
class _Call:
    at: float
    feature: str
    answered: str
    outcome: str
    saved: Nano
    actual: Nano


@dataclass(slots=True)
class Watched:
    """What was seen so far.

    Attributes:
        since: events that began before it are passed over.
        total: all calls.
        by_feature: the same by feature.
        leaks: what to look into.
        strange: records that are none of ours.
        trouble: why the ledger could not be read just now, or "".
    """

    since: float
    total: Line = field(default_factory=Line)
    by_feature: dict[str, Line] = field(default_factory=dict)
    leaks: Leaks = field(default_factory=Leaks)
    strange: int = 0
    trouble: str = ""
    _recent: deque[_Call] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _ticks: deque[int] = field(default_factory=lambda: deque([0], maxlen=_TICKS))

    def add(self, bodies: Iterable[str]) -> int:
        """Add ledger records, each as its JSON. Returns how many calls were among them."""
        calls = 0
        for body in bodies:
            entry = _entry(body)
            if entry is None:
                self.strange += 1
            elif entry["at"] >= self.since:
                calls += self._add(entry)
        self._ticks[-1] += calls
        return calls

    def tick(self) -> None:
        """A new interval begins."""
        self._ticks.append(0)

    def _add(self, entry: Mapping[str, Any]) -> bool:
        self.total.add(entry)
        self.by_feature.setdefault(entry["feature"], Line()).add(entry)
        self.leaks.add(entry)
        if not is_call(entry):
            return False
        paid = entry["bill"]
        answered = entry["served_model"] or ("(cache)" if entry["outcome"] == "hit" else entry["error"] or "(none)")
        self._recent.append(
            _Call(entry["at"], entry["feature"], answered, entry["outcome"], paid["baseline"] - paid["actual"], paid["actual"])
        )
        return True

    def sentence(self) -> str:
        """All of it in one line, for a log."""
        total, digits = self.total, digits_of(self.total.baseline)
        return (f"{counted(total.requests, 'call')}, {money(total.actual, digits)} paid instead of {money(total.baseline, digits)}, "
                f"{percent(total.saved_fraction)} saved")  # fmt: skip

    def drawn(self, height: int) -> RenderableType:
        """All of it, for a terminal of so many lines; at least the sums are shown."""
        parts: list[RenderableType] = [Text(self.sentence(), "bold"), self._pace()]
        if self.trouble:
            parts.append(Text(shown(self.trouble), "red"))
        if self.total.requests:
            table = bill(waterfall(self.total), digits_of(self.total.baseline))
            parts.append(drawn(table))
            left = height - _ROOM - len(table.rows)
            if left > _FEATURES + 4:
                parts.append(self._features())
                left -= min(_FEATURES, len(self.by_feature)) + 5
            if left > 5:
                parts.append(self._last(left - 5))
        parts += [Text(shown(told), "yellow") for told in to_look_into(self.leaks)]
        return Group(*parts)

    def _pace(self) -> Text:
        most = max(1, *self._ticks)
        bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in self._ticks)
        return Text(f"{bars:>{_TICKS}} {self._ticks[-1]:,} now, {most:,} at most", "cyan", no_wrap=True, overflow="crop")

    def _features(self) -> RichTable:
        table = RichTable(title="By feature", title_justify="left")
        for head in ("feature", "calls", "hits", "before", "after", "saved"):
            table.add_column(head, justify="left" if head == "feature" else "right")
        dearest = sorted(self.by_feature.items(), key=lambda item: (-item[1].baseline, item[0]))[:_FEATURES]
        digits = digits_of(self.total.baseline)
        for name, line in dearest:
            table.add_row(Text(shown(name), no_wrap=True, overflow="ellipsis"), f"{line.requests:,}", f"{line.outcomes['hit']:,}",
                          money(line.baseline, digits), money(line.actual, digits), percent(line.saved_fraction))  # fmt: skip
        return table

    def _last(self, most: int) -> RichTable:
        table = RichTable(title="Last calls", title_justify="left")
        for head in ("at (UTC)", "feature", "answered by", "how", "paid", "saved"):
            table.add_column(head, justify="right" if head in ("paid", "saved") else "left", no_wrap=True)
        for call in list(self._recent)[: -most - 1 : -1]:
            names = (f"{datetime.fromtimestamp(call.at, UTC):%H:%M:%S}", call.feature, call.answered, call.outcome)
            table.add_row(*(Text(shown(name), overflow="ellipsis") for name in names), money(call.actual, 6), money(call.saved, 6),
                          style="green" if call.saved > 0 else "red" if call.saved < 0 else "")  # fmt: skip
        return table




def _entry(body: str) -> dict[str, Any] | None:
    with suppress(orjson.JSONDecodeError):
        entry = orjson.loads(body)
        if isinstance(entry, dict) and {"at", "bill", "outcome", "feature"} <= entry.keys():
            return entry
    return None
