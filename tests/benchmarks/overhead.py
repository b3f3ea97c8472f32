"""What the plugin adds to a call, an import and a month: `python -m tests.benchmarks.overhead`.

Every figure is a ratio against something run in the same process, or in processes started in turns.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from tests.benchmarks.harness import arguments, interleaved, report, rss

TARGETS = {
    "miss_overhead_x": 2.0,
    "import_x": 0.2,
    "replay_x_bare_langchain": 3.0,
    "replay_x_bare_llama_index": 3.0,
}


def chain_miss(folder: Path) -> dict[str, float]:
    """A chain `prompt | model | parser` on a fake model, every question new: all on over nothing of ours."""
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    from thrift_plugins import Config, Runtime
    from thrift_plugins.langchain import ThriftChatModel

    prompt = ChatPromptTemplate.from_messages(
        [("system", "You answer questions about a product."), ("user", "{question}")]
    )
    numbers = itertools.count()

    def fake() -> Any:
        return FakeListChatModel(responses=["It is in the box, beside the cable."])

    runtime = Runtime(Config(store=str(folder / "miss.db")))
    wrapped = ThriftChatModel(tiers=[fake(), fake()], names=["cheap", "strong"], runtime=runtime)
    bare_chain = prompt | fake() | StrOutputParser()
    chain = prompt | wrapped | StrOutputParser()
    times = interleaved(
        {
            "bare": lambda: bare_chain.invoke({"question": f"Where do I find part {next(numbers)} of it?"}),
            "thrift": lambda: chain.invoke({"question": f"Where do I find part {next(numbers)} of it?"}),
        },
        rounds=25,
        calls=100,
    )
    runtime.close()
    return {"miss_overhead_x": times["thrift"] / times["bare"], "bare_chain_us": times["bare"] * 1e6}


def imports() -> dict[str, float | str]:
    """`import thrift_plugins` over `import langchain_core.runnables`, and what each import loads."""
    names = ("thrift_plugins", "langchain_core.runnables")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(9):
        for name in names:
            seconds[name].append(_import_seconds(name))
    loaded = {
        name: _frameworks(name) for name in ("thrift_plugins", "thrift_plugins.langchain", "thrift_plugins.llama_index")
    }
    figures: dict[str, float | str] = {"import_x": median(seconds[names[0]]) / median(seconds[names[1]])}
    figures.update({f"{name.replace('.', '_')}_loads": ", ".join(found) or "none" for name, found in loaded.items()})
    return figures


def _import_seconds(name: str) -> float:
    code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
    return float(_python(code))


def _frameworks(name: str) -> list[str]:
    code = f"import sys, json; import {name}; print(json.dumps([m for m in ('langchain_core', 'llama_index.core') if m in sys.modules]))"
    found: list[str] = json.loads(_python(code))
    return found


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def months(trace: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """The month through each adapter, all on, over the same trace through the bare recorded models."""
    from thrift_plugins import Config
    from thrift_plugins.replay import Trace, replay

    for framework in ("langchain", "llama_index"):
        bare, thrift, memory = [], [], []
        for turn in range(3):
            started = perf_counter()
            bare_month(Trace(trace), framework)
            bare.append(perf_counter() - started)
            place = folder / f"{framework}{turn}"
            place.mkdir()
            sizes: list[float] = []
            rows = itertools.count(1)

            def sample(sizes: list[float] = sizes, rows: Iterator[int] = rows) -> None:
                if next(rows) % 800 == 0:
                    sizes.append(rss())

            started = perf_counter()
            replay(Trace(trace), framework, Config(), place, progress=sample)
            thrift.append(perf_counter() - started)
            memory.append(sizes[-1] - sizes[len(sizes) // 2])
        yield f"replay_x_bare_{framework}", median(thrift) / median(bare)
        yield f"replay_growth_mb_{framework}", median(memory)


def bare_month(trace: Any, framework: str) -> None:
    """The same rows through the bare recorded models: the app as it is without us, judged the same way."""
    from thrift_plugins.prices import Prices
    from thrift_plugins.replay.apps import app_of, cheapness, replies
    from thrift_plugins.replay.check import score
    from thrift_plugins.tape import Tape

    tape = Tape()
    app = app_of(framework)(tape, cheapness(Prices(trace.prices)))
    for row in trace:
        tape.load(replies(row))
        score(row, app.ask(row))


def main() -> None:
    """Run all parts; the month only where the data is."""
    given = arguments(__doc__ or "")
    figures: dict[str, float | int | str | None] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures.update(chain_miss(folder))
        figures.update(imports())
        trace = given.data / "traces" / "kb_month.jsonl.gz"
        if trace.is_file():
            figures.update(months(trace, folder))
        else:
            sys.stderr.write(f"no trace at {trace}: the month is left out; give --data DIR\n")
    report("overhead", figures, TARGETS, given.json)


if __name__ == "__main__":
    main()
