"""How long a report takes, over a full scan of the same file, in how much memory, and how large its page is:
`python -m tests.benchmarks.report`. Its numbers are compared in the terminal, JSON, Markdown and on the page.

The size is that of THRIFT_BENCH_EVENTS, by default 1,000,000 events.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from rich.console import Console

from tests.benchmarks.harness import arguments, interleaved, report
from tests.ledger_kit import fill
from tests.report_kit import NOW
from tests.report_reading import outside, unequal
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.report.figures import figures, rows
from thrift_plugins.report.html import page
from thrift_plugins.report.markdown import markdown
from thrift_plugins.report.overview import print_overview
from thrift_plugins.report.story import tell
from thrift_plugins.stores import SQLiteEventLog

TARGETS = {"report_x_scan": 6.0, "page_x_scan": 10.0, "report_peak_mb": 300.0, "page_kb": 300.0, "page_outside_requests": 0.0,
           "numbers_unequal": 0.0}  # fmt: skip
MOST = 20
_PEAK = """
import sys
from pathlib import Path
from thrift_plugins.cli import app
app(["report", "--ledger", sys.argv[1], "--html", sys.argv[2], "--markdown", sys.argv[3]], standalone_mode=False)
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
sys.stderr.write(status["VmHWM"])
"""


def measure(path: Path, events: int, rounds: int) -> dict[str, float | int | str | None]:
    """The figures of a ledger of that size."""
    log = SQLiteEventLog(path)
    fill(log, events, tenants=max(events // 500, 1))
    with closing(log), closing(sqlite3.connect(path)) as plain:

        def scan() -> None:
            for _ in plain.execute("SELECT * FROM events"):
                pass

        def told() -> None:
            rollup = roll_up(log.bodies())
            print_overview(tell(rollup), most=MOST, console=Console(file=io.StringIO()))
            list(rows(rollup))

        def shown() -> None:
            story = tell(roll_up(log.bodies()))
            page(story, most=MOST, now=NOW)
            markdown(story, most=MOST)

        seconds = interleaved({"scan": scan, "report": told, "page": shown}, rounds=rounds, calls=1)
        story = tell(roll_up(log.bodies()))
    text = page(story, most=MOST, now=NOW)
    return {
        "events": events,
        "scan_s": seconds["scan"],
        "report_s": seconds["report"],
        "report_x_scan": seconds["report"] / seconds["scan"],
        "page_s": seconds["page"],
        "page_x_scan": seconds["page"] / seconds["scan"],
        "report_peak_mb": _peak(path),
        "page_kb": len(text.encode()) / 1000,
        "page_outside_requests": len(outside(text)),
        "numbers_unequal": len(unequal(story, json.loads(json.dumps(figures(story))), MOST)),
    }


def _peak(path: Path) -> float:
    """The most memory that the command takes, in MB. Not of `getrusage`, which knows its parent's too."""
    outputs = [str(path.with_suffix(suffix)) for suffix in (".html", ".md")]
    done = subprocess.run([sys.executable, "-c", _PEAK, str(path), *outputs], capture_output=True, text=True, check=True)
    return int(done.stderr.split()[0]) * 1024 / 1e6


def main() -> None:
    """Measure and report."""
    told = arguments(__doc__ or "")
    events = int(os.environ.get("THRIFT_BENCH_EVENTS", "1000000"))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder) / "events.db", events, rounds=5)
    report("report", found, TARGETS, told.json)


if __name__ == "__main__":
    main()
