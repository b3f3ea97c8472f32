"""`thrift-plugins diff`: two reports side by side, and conditions that end a check."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import report_kit
from tests.cli_kit import command, stranger
from thrift_plugins.errors import ConfigError
from thrift_plugins.report.compare import MEASURES, Condition, measures
from thrift_plugins.stores import SQLiteEventLog


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("ledgers")
    paths = folder / "a.db", folder / "b.db"
    for seed, path in enumerate(paths):
        with closing(SQLiteEventLog(path)) as log:
            report_kit.fill(log, 1_500, seed=seed)
    return str(paths[0]), str(paths[1])


def line(baseline: int, actual: int, calls: int = 100) -> dict[str, Any]:
    return {"calls": calls, "outcomes": {"hit": 10}, "baseline_nano": baseline, "actual_nano": actual, "estimated": 0, "lost": 0,
            "saved_fraction": (baseline - actual) / baseline if baseline else 0.0, "unpriced": {"m": 3}}  # fmt: skip


def arm(answers: int, bad: int) -> dict[str, Any]:
    return {"answers": answers, "sound": None, "cut": bad, "refused": 0, "failed": 0, "escalated": 5}


def report(baseline: int, actual: int, sound: float, **features: dict[str, Any]) -> dict[str, Any]:
    quality = {"sound": sound, "treated": arm(90, 9), "left_alone": arm(10, 1)}
    return {"total": line(baseline, actual), "quality": quality, "by_feature": features,
            "quality_by_feature": dict.fromkeys(features, quality)}  # fmt: skip


OLD = report(10**9, 4 * 10**8, 0.9, faq=line(10, 4), **{"long name": line(10, 8), "in a drop": line(0, 0)})
NEW = report(10**9, 6 * 10**8, 0.895, faq=line(10, 5), **{"long name": line(10, 7), "in a drop": line(0, 0)})


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("saved < 0.5", 0.4, True),
        ("saved<0.4", 0.4, False),
        ("saved <= 40%", 0.4, True),
        ("  saved   >= 0.4 ", 0.4, True),
        ("saved drop > 0.1", 0.2, True),
        ("saved drop > 30%", 0.2, False),
        ("quality drop > 0.005", 0.005, False),
        ("quality drop >= 0.005", 0.005, True),
        ("quality rise < -0.1%", -0.005, True),
        ("paid > 0.5", 0.6, True),
        ("paid rise > 49%", 0.5, True),
        ("paid rise > 0.19", 0.2, True),
        ("cost per call rise > 10%", 0.5, True),
        ("calls < 101", 100, True),
        ("hits < 10%", 0.1, False),
        ("hits < .2", 0.1, True),
        ("cut > 5%", 0.1, True),
        ("escalated > 0.09", 0.1, True),
        ("unpriced > 2", 3, True),
        ("lost rise > 0", 0, False),
        ("saved in faq < 0.6", 0.5, True),
        ("saved in 'faq' drop > 0.05", 0.1, True),
        ('paid in "long name" rise > 10%', -0.125, False),
        ("saved in long name drop > 0", -0.1, False),
        ('calls in "in a drop" < 1', 100, False),
        ("saved in 'in a drop' < 1", None, None),
        ("saved in nowhere < 1", None, None),
        ('paid in "in a drop" rise > 1%', None, None),
    ],
)
def test_conditions(text: str, value: float | None, holds: bool | None):
    condition = Condition.read(text)
    found = condition.value(OLD, NEW)
    assert found == (value if value is None else pytest.approx(value))
    if found is not None:
        assert condition.holds(found) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no condition"),
        ("saved", "is no condition"),
        ("saved = 0.5", "is no condition"),
        ("saved < a lot", "is no condition"),
        ("saved < nan", "is no condition"),
        ("saved < 0.5; calls < 1", "is no condition"),
        ("savings < 0.5", "nothing is called 'savings'"),
        ("drop > 1", "nothing is called 'drop'"),
        ("paid > 10%", "a percentage of what? Write 'paid rise > 10%'"),
    ],
)
def test_what_is_no_condition(text: str, why: str):
    with pytest.raises(ConfigError, match="--fail-if") as caught:
        Condition.read(text)
    assert why in str(caught.value)


def test_two_ledgers_and_their_reports_are_the_same(ledgers: tuple[str, str]):
    for name, path in zip("ab", ledgers, strict=True):
        assert command("report", "--ledger", path, "--json", f"{name}.json").exit_code == 0
    assert command("diff", *ledgers, "--json", "1.json").exit_code == 0
    assert command("diff", "a.json", "b.json", "--json", "2.json").exit_code == 0
    assert command("diff", "a.json", ledgers[1], "--json", "3.json").exit_code == 0
    first, *others = (json.loads(Path(f"{number}.json").read_text()) for number in (1, 2, 3))
    assert all(other == first for other in others)
    told = json.loads(Path("a.json").read_text())
    assert first["a"] == measures(told)
    assert first["a"].keys() == MEASURES.keys()
    assert None not in first["a"].values()
    assert first["a"]["paid"] == told["total"]["actual_nano"] / 1e9


def test_exit_codes_and_markdown(ledgers: tuple[str, str]):
    well = command("diff", *ledgers, "--fail-if", "saved < 0.01", "--fail-if", "quality < 0.5")
    assert (well.exit_code, well.stdout.count("well: ")) == (0, 2)
    bad = command("diff", *ledgers, "--fail-if", "saved < 0.01", "--fail-if", "saved < 99%", "--markdown", "d.md", "--json", "d.json")
    assert bad.exit_code == 1
    assert "FAILS: saved < 99% (it is " in bad.stdout
    text = Path("d.md").read_text(encoding="utf-8")
    assert "| quality | 9" in text
    assert r"- FAILS: saved \< 99%" in text
    told = json.loads(Path("d.json").read_text())["conditions"]
    assert [(each["condition"], each["holds"]) for each in told] == [("saved < 0.01", False), ("saved < 99%", True)]
    dark = command("diff", *ledgers, "--fail-if", "saved in nowhere < 1")
    assert dark.exit_code == 2
    assert "not known: saved in nowhere < 1" in dark.stdout


def test_a_replay_s_figures_are_compared_too():
    replayed = {"requests": 10, "baseline_usd": 2.0, "actual_usd": 1.0, "saved_fraction": 0.5, "quality_baseline": 0.9,
                "quality_actual": 0.89, "by_tactic": {}, "overheads_usd": 0.0}  # fmt: skip
    Path("a.json").write_text(json.dumps({**replayed, "by_feature": {"faq": replayed}}))
    Path("b.json").write_text(json.dumps({**replayed, "quality_actual": 0.88, "by_feature": {"faq": replayed}}))
    done = command("diff", "a.json", "b.json", "--fail-if", "quality drop > 0.005", "--fail-if", "saved in faq < 0.5")
    assert done.exit_code == 1
    assert "FAILS: quality drop > 0.005 (it is 1.00%)" in done.stdout
    assert "well: saved in faq < 0.5" in done.stdout


def test_a_report_from_before_quality_was_told(ledgers: tuple[str, str]):
    assert command("report", "--ledger", ledgers[0], "--json", "a.json").exit_code == 0
    told = json.loads(Path("a.json").read_text())
    for name in ("quality", "quality_by_feature", "check", "next", "waterfall"):
        del told[name]
    Path("old.json").write_text(json.dumps(told))
    assert command("diff", "old.json", "a.json", "--fail-if", "saved drop > 0").exit_code == 0
    assert command("diff", "old.json", "a.json", "--fail-if", "quality drop > 0").exit_code == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [("{}", "is no report"), ("[1]", "is no report"), ('{"total": 3}', "is no report"), ("{", "is not JSON"),
     ("", "is not JSON"), ('{"total": {"calls": 3}}', "is no report"), ('{"saved_fraction": "x"}', "is no report"),
     ('{"saved_fraction": 0.5, "by_feature": [1]}', "is no report")],
)  # fmt: skip
def test_what_cannot_be_compared(text: str, why: str, ledgers: tuple[str, str]):
    Path("odd.json").write_text(text)
    failed = command("diff", "odd.json", ledgers[0])
    assert isinstance(failed.exception, ConfigError)
    assert why in str(failed.exception)
    assert "there is no ledger at" in str(command("diff", ledgers[0], "nowhere.db").exception)
    assert Path("odd.json").read_text() == text


def test_a_file_that_cannot_be_written_is_known_before_the_work(ledgers: tuple[str, str]):
    for words in (["diff", *ledgers, "--markdown", "no/x.md"], ["report", "--ledger", ledgers[0], "--html", "no/x.html"],
                  ["report", "--ledger", ledgers[0], "--html", ""]):  # fmt: skip
        failed = command(*words)
        assert isinstance(failed.exception, ConfigError), failed.stdout
        assert failed.stdout == ""
