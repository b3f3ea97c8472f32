"""Two reports side by side, and conditions on what has changed, for a check that can fail."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from thrift_plugins.errors import ConfigError
from thrift_plugins.ledger.flaws import KINDS
from thrift_plugins.report.tables import Row, Table
from thrift_plugins.report.wording import digits_of, money, percent, points
from thrift_plugins.types import Nano

Kind: TypeAlias = Literal["share", "money", "count"]
Figures: TypeAlias = Mapping[str, Any]
"""Of `thrift-plugins report --json` or `thrift-plugins replay --json`."""

MEASURES: Final[Mapping[str, Kind]] = {
    "saved": "share", "quality": "share", "before": "money", "paid": "money", "cost per call": "money", "calls": "count",
    "hits": "share", "cut": "share", "refused": "share", "failed": "share", "escalated": "share", "estimated": "share",
    "unpriced": "count", "lost": "count",
}  # fmt: skip
"""What can be compared. `quality` is the share of sound answers, or of a replay, the mean score of the answers."""

_CONDITION: Final = re.compile(
    r"(?P<measure>[a-z ]+?)(?: in (?P<feature>\"[^\"]*\"|'[^']*'|.+?))?(?: (?P<way>drop|rise))? *(?P<sign><=|>=|<|>) *(?P<limit>-?(?:\d+(?:\.\d+)?|\.\d+))(?P<percent> ?%)?"
)
_NANO: Final = 10**9


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that must not be.

    Attributes:
        text: as it was written.
        feature: whose; None for all.
        way: "drop" and "rise" compare both reports; "" looks at the second alone.
        relative: the change is a share of the first report's amount.
    """

    text: str
    measure: str
    feature: str | None
    way: str
    sign: str
    limit: float
    relative: bool

    @classmethod
    def read(cls, text: str) -> Condition:
        """A condition such as `saved < 0.5`, `quality drop > 0.005` or `paid in faq rise > 10%`.

        Raises:
            ConfigError: it cannot be read; says why.
        """
        found = _CONDITION.fullmatch(text.strip())
        if found is None:
            raise ConfigError(
                f"--fail-if {text!r} is no condition; write for example 'saved < 0.5', 'quality drop > 0.005' or 'paid in faq rise > 10%'"
            )
        measure, way, percents = found["measure"].strip(), found["way"] or "", found["percent"] is not None
        if measure not in MEASURES:
            raise ConfigError(f"--fail-if {text!r}: nothing is called {measure!r}; known: {', '.join(MEASURES)}")
        amount = MEASURES[measure] != "share"
        if percents and amount and not way:
            raise ConfigError(f"--fail-if {text!r}: a percentage of what? Write '{measure} rise > {found['limit']}%'")
        limit = float(found["limit"]) / (100 if percents else 1)
        feature = found["feature"]
        return cls(
            text, measure, _unquoted(feature), way, found["sign"], limit, relative=percents and amount
        )

    def value(self, first: Figures, second: Figures) -> float | None:
        """What is held against the limit; None where a report does not know."""
        after = measures(second, self.feature)[self.measure]
        if not self.way:
            return after
        before = measures(first, self.feature)[self.measure]
        if before is None or after is None or (self.relative and not before):
            return None
        change = (after - before if self.way == "rise" else before - after) / (before if self.relative else 1)
        return round(change, 12)  # 0.9 - 0.895 is no more than 0.005

    def holds(self, value: float) -> bool:
        """Whether it is so."""
        match self.sign:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case _:
                return value >= self.limit


def _unquoted(name: str | None) -> str | None:
    quoted = name is not None and len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    return name[1:-1] if name is not None and quoted else name


def measures(figures: Figures, feature: str | None = None) -> dict[str, float | None]:
    """Every measure of a report, None where it does not know. Money in US dollars.

    Args:
        feature: of its calls alone.
    """
    if "saved_fraction" in figures:
        return _of_replay(figures if feature is None else figures.get("by_feature", {}).get(feature, {}))
    line = figures["total"] if feature is None else figures.get("by_feature", {}).get(feature)
    quality = figures.get("quality") if feature is None else figures.get("quality_by_feature", {}).get(feature)
    return _of_report(line, quality)


def check_figures(figures: object, name: str) -> Figures:
    """Those that can be compared.

    Raises:
        ConfigError: they are those of something else.
    """
    if isinstance(figures, dict) and ("saved_fraction" in figures or "total" in figures):
        with suppress(LookupError, TypeError, AttributeError):
            features = figures.get("by_feature", {})
            found = [measures(figures, feature) for feature in (None, *features)]
            if all(value is None or isinstance(value, int | float) for each in found for value in each.values()):
                return figures
    raise ConfigError(f"{name} is no report: write one with 'thrift-plugins report --json FILE', or give a ledger")


def compared(first: Figures, second: Figures) -> Table:
    """All measures that one of the two knows."""
    old, new = measures(first), measures(second)
    rows = [
        Row((name, _told(kind, old[name]), _told(kind, new[name]), _change(kind, old[name], new[name])))
        for name, kind in MEASURES.items()
        if old[name] is not None or new[name] is not None
    ]
    return Table("compared", "Before and after", ("", "A", "B", "change"), rows)


def by_feature(first: Figures, second: Figures, most: int) -> Table:
    """Money and quality of each feature, those that pay most in B first."""
    names = {*first.get("by_feature", {}), *second.get("by_feature", {})}
    found = {name: (measures(first, name), measures(second, name)) for name in names}
    both = {name: pair for name, pair in found.items() if any(each["calls"] or each["paid"] for each in pair)}
    dearest = max((each["paid"] or 0.0 for pair in both.values() for each in pair), default=0.0)
    ordered = sorted(both, key=lambda name: (-(both[name][1]["paid"] or 0.0), name))
    rows = [Row((name, *_feature_cells(*both[name], dearest))) for name in ordered[:most]]
    heads = ("feature", "paid: A", "B", "saved: A", "B", "quality: A", "B")
    return Table("compared-features", "By feature", heads, rows)


def verdict(condition: Condition, value: float | None) -> str:
    """What has become of a condition, for people."""
    if value is None:
        return f"not known: {condition.text}"
    told = percent(value, 2) if condition.relative or MEASURES[condition.measure] == "share" else f"{value:,.6g}"
    return f"{'FAILS' if condition.holds(value) else 'well'}: {condition.text} (it is {told})"


def _of_report(line: Figures | None, quality: Figures | None) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(MEASURES)
    if line is not None:
        calls: int = line["calls"]
        found |= {
            "saved": line["saved_fraction"] if line["baseline_nano"] else None,
            "before": line["baseline_nano"] / _NANO,
            "paid": line["actual_nano"] / _NANO,
            "calls": calls,
            "cost per call": line["actual_nano"] / _NANO / calls if calls else None,
            "hits": line["outcomes"].get("hit", 0) / calls if calls else None,
            "estimated": line["estimated"] / calls if calls else None,
            "unpriced": sum(line["unpriced"].values()),
            "lost": line["lost"],
        }
    if quality is not None:
        arms = quality["treated"], quality["left_alone"]
        answers = sum(arm["answers"] for arm in arms)
        found["quality"] = quality["sound"]
        for kind in (*KINDS, "escalated"):
            found[kind] = sum(arm[kind] for arm in arms) / answers if answers else None
    return found


def _of_replay(figures: Figures) -> dict[str, float | None]:
    calls, paid = figures.get("requests"), figures.get("actual_usd")
    return dict.fromkeys(MEASURES) | {
        "saved": figures.get("saved_fraction"),
        "quality": figures.get("quality_actual"),
        "before": figures.get("baseline_usd"),
        "paid": paid,
        "calls": calls,
        "cost per call": paid / calls if calls and paid is not None else None,
    }


def _feature_cells(
    old: Mapping[str, float | None], new: Mapping[str, float | None], dearest: float
) -> Iterator[str]:
    yield from ("-" if each["paid"] is None else _money(each["paid"], dearest) for each in (old, new))
    for name in ("saved", "quality"):
        yield from (_told(MEASURES[name], each[name]) for each in (old, new))


def _told(kind: Kind, value: float | None) -> str:
    if value is None:
        return "-"
    if kind == "share":
        return percent(value, 2)
    return f"{value:,.0f}" if kind == "count" else _money(value, value)


def _change(kind: Kind, old: float | None, new: float | None) -> str:
    if old is None or new is None:
        return "-"
    if kind == "share":
        return f"{points(new - old, 2)} points"
    told = f"{new - old:+,.0f}" if kind == "count" else f"{'+' if new >= old else ''}{_money(new - old, max(old, new))}"
    return f"{told} ({(new - old) / old:+.1%})" if old else told


def _money(dollars: float, of: float) -> str:
    amount: Nano = round(dollars * _NANO)
    return money(amount, digits_of(round(of * _NANO)))
