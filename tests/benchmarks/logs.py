"""Memory and time of a replay of a log larger than memory: `python -m tests.benchmarks.logs --json FILE`.

It writes a log of 2 GB, or of `THRIFT_TEST_SCALE` times that, to a temporary folder, and replays it with the command, as a
process of its own. Prompts are of some kilobytes, and one in three comes again.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson

from tests.benchmarks.harness import arguments, report

SIZE = int(2e9 * float(os.environ.get("THRIFT_TEST_SCALE", "1")))
START = 1_760_000_000.0
TARGETS = {"peak_mb": 500.0, "peak_mb_latest_first": 500.0}


def record(number: int, chance: random.Random) -> dict[str, Any]:
    """A call whose prompt has a page of text in it."""
    topic = number if chance.random() < 0.67 else chance.randrange(number + 1)
    words = random.Random(topic)
    page = " ".join(words.choices(WORDS, k=700))
    messages = [{"role": "system", "content": page}, {"role": "user", "content": f"What is item {topic}?"}]
    answer = " ".join(words.choices(WORDS, k=60))
    choices = [{"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 800, "completion_tokens": 70}
    request = {"model": "gpt-4o", "messages": messages, "temperature": 0}
    scope = {"user": f"u{number % 999}", "feature": f"f{topic % 7}"}
    return {
        "id": str(number),
        "at": START + number,
        "metadata": scope,
        "request": request,
        "response": {"choices": choices, "usage": usage},
    }


WORDS = [
    f"{a}{b}"
    for a in ("re", "in", "con", "de", "pro", "sub")
    for b in ("fund", "vest", "tract", "bit", "ject", "mit", "vide", "sist")
]


def write(path: Path, size: int, *, latest_first: bool) -> int:
    """Write a log of about this size. Returns its calls."""
    chance = random.Random(1)
    sample = len(orjson.dumps(record(10**6, chance)))
    count = size // sample
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(count, 0, -1) if latest_first else range(count):
            file.write(orjson.dumps(record(number, chance), option=orjson.OPT_APPEND_NEWLINE))
    return count


def replayed(path: Path, figures: Path) -> tuple[float, float]:
    """Seconds, and the most memory in MB, of a replay in a process of its own."""
    started = perf_counter()
    child = [sys.executable, "-c", MEASURED, str(path), str(figures)]
    out = subprocess.run(child, check=True, capture_output=True, text=True)
    return perf_counter() - started, float(out.stdout.splitlines()[-1])


MEASURED = """
import resource, sys
from thrift_plugins.cli import app
app(["replay", sys.argv[1], "--json", sys.argv[2]], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def main() -> None:
    told = arguments(__doc__ or "")
    figures: dict[str, float | int | str | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, results = Path(folder) / "log.jsonl", Path(folder) / "figures.json"
        for name, size, latest_first in (("", SIZE, False), ("_latest_first", SIZE // 8, True)):
            figures[f"calls{name}"] = write(path, size, latest_first=latest_first)
            figures[f"log_gb{name}"] = path.stat().st_size / 1e9
            figures[f"seconds{name}"], figures[f"peak_mb{name}"] = replayed(path, results)
            found = orjson.loads(results.read_bytes())
            figures[f"saved_fraction{name}"] = found["saved_by_cache_usd"] / found["bill_usd"]
    report("Replay of a log larger than memory", figures, TARGETS, told.json)


if __name__ == "__main__":
    main()
