"""What every benchmark shares: arguments, interleaved timing, a table for people and flat JSON for machines."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

Case = Callable[[], object]
"""One operation; it must not return the same work twice for free."""


def arguments(description: str, *, test: bool = False, parts: bool = False) -> argparse.Namespace:
    """`--data DIR --json FILE`, as every benchmark takes them.

    Args:
        test: also `--test DIR`, to score on what was not learnt from.
        parts: also `--only NAME ...`, to measure some of the parts.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("THRIFT_DATA", "../shared/data")))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    if test:
        parser.add_argument("--test", type=Path, help="another half of the data, to score on")
    if parts:
        parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these parts alone")
    return parser.parse_args()


def installed(python: str, module: str) -> bool:
    """Whether another Python, in which a peer may live, has a module."""
    asked = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", asked], check=False).returncode == 0


def interleaved(
    cases: Mapping[str, Case], *, rounds: int, calls: int, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """Median seconds of one call of each case. Cases take turns, so that a slow moment of the machine hits all.

    Args:
        clock: `time.process_time` for CPU.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        for _ in range(min(calls, 20)):
            case()
    gc.collect()
    for _ in range(rounds):
        for name, case in cases.items():
            started = clock()
            for _ in range(calls):
                case()
            seconds[name].append((clock() - started) / calls)
    return {name: median(times) for name, times in seconds.items()}


def rss() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def report(title: str, figures: Mapping[str, float | int | str | None], targets: Mapping[str, float], path: Path | None) -> None:
    """Print the figures beside their targets, and write them as flat JSON."""
    table = Table("figure", "value", "target", title=title, title_justify="left")
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, value in figures.items():
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        target = targets.get(name)
        missed = target is not None and isinstance(value, float) and value > target
        table.add_row(name, shown, "" if target is None else f"<= {target}", style="red" if missed else "")
    Console(width=110).print(table)
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
