"""How long a report takes, over a full scan of the same file, and in how much memory: `python -m tests.benchmarks.report`.

The size is that of THRIFT_BENCH_EVENTS, by default 1,000,000 events.
"""

from __future__ import annotations

import io
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
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.report.figures import rows
from thrift_plugins.report.overview import print_overview
from thrift_plugins.stores import SQLiteEventLog

TARGETS = {"report_x_scan": 6.0, "report_peak_mb": 300.0}
_PEAK = """
import sys
from pathlib import Path
from thrift_plugins.cli import app
app(["report", "--ledger", sys.argv[1]], standalone_mode=False)
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
            print_overview(rollup, most=20, console=Console(file=io.StringIO()))
            list(rows(rollup))

        seconds = interleaved({"scan": scan, "report": told}, rounds=rounds, calls=1)
    return {
        "events": events,
        "scan_s": seconds["scan"],
        "report_s": seconds["report"],
        "report_x_scan": seconds["report"] / seconds["scan"],
        "report_peak_mb": _peak(path),
    }


def _peak(path: Path) -> float:
    """The most memory that the command takes, in MB. Not of `getrusage`, which knows its parent's too."""
    done = subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True)
    return int(done.stderr.split()[0]) * 1024 / 1e6


def main() -> None:
    """Measure and report."""
    told = arguments(__doc__ or "")
    events = int(os.environ.get("THRIFT_BENCH_EVENTS", "1000000"))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder) / "events.db", events, rounds=5)
    report("report", figures, TARGETS, told.json)


if __name__ == "__main__":
    main()
