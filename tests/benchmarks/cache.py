"""What a hit, a miss and a write of the cache cost, how that grows, and what answers take: `python -m tests.benchmarks.cache`.

Times are ratios over one raw Redis GET of a 1.2 kB answer in the same process, in turns with it; every case has prompts
of its own, so that none profits from what another has just worked out. `hit_*` are prompts that this process has asked before, as
it has when it stored the answer; `unseen_hit_*` are those that another process stored. `--entries` is the large store of the growth and
size figures (the small one has 1,000). The figures of the classifier (`kinds`), of a Redis in trouble (`faults`) and of the
semantic tier (`semantic`, `semantic_speed`) come from their own benchmarks, which `--all` runs as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import Case, interleaved, report
from tests.benchmarks.peers import Cache, running
from tests.redis_server import RedisServer

TARGETS = {
    "hit_x_get_memory": 0.4,
    "hit_x_get_sqlite": 0.6,
    "hit_x_get_redis": 1.35,
    "hit_growth_sqlite": 1.2,
    "hit_growth_redis": 1.2,
}
OTHERS = ("kinds", "faults", "semantic", "semantic_speed")
PROMPTS = 2_000
ROUNDS = 15
"""Distinct prompts a case, and rounds of at most 100 calls: so many that a case never comes to a prompt twice."""

FEW = 1_000
SECRET = "of the benchmark, and of nothing else"
ANSWER = "A stored answer of the length that a knowledge base gives. " * 20


def main() -> None:
    """Run all parts."""
    given = _arguments()
    figures: dict[str, float | int | str | None] = {"entries": given.entries}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with RedisServer(folder) as server:
            figures.update(operations(folder, server))
        figures.update(growth(folder, given.entries))
        for name in OTHERS if given.all else ():
            figures.update(_figures_of(f"tests.benchmarks.{name}", given.data, folder))
    report("cache", figures, TARGETS, given.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("THRIFT_DATA", "../shared/data")))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--entries", type=int, default=50_000, help="entries of the large store")
    parser.add_argument("--all", action="store_true", help="the figures of the other benchmarks of the cache too")
    return parser.parse_args()


def _figures_of(module: str, data: Path, folder: Path) -> dict[str, float]:
    """The figures of another benchmark, in a process of its own."""
    file = folder / "figures.json"
    subprocess.run([sys.executable, "-m", module, "--data", str(data), "--json", str(file)], check=True)
    figures: dict[str, float] = json.loads(file.read_text())
    return figures


def operations(folder: Path, server: RedisServer) -> dict[str, float]:
    """`hit_`, `miss_` and `write_x_get_*` of ours and of every peer that runs."""
    import redis

    caches: dict[str, Cache] = {**_ours(folder, server), **running(folder, server)}
    client = redis.Redis.from_url(server.url)
    for number in range(PROMPTS):
        client.set(f"raw:{number}", ANSWER)
    raw = itertools.cycle([f"raw:{number}" for number in range(PROMPTS)])
    figures: dict[str, float] = {}
    for what, case_of, calls in (
        ("hit", _hits, 100), ("unseen_hit", _unseen_hits, 100), ("miss", _misses, 100), ("write", _writes, 20),
    ):  # fmt: skip
        cases: dict[str, Case] = {name: case_of(cache, name) for name, cache in caches.items()}
        cases["raw"] = lambda: client.get(next(raw))
        times = interleaved(cases, rounds=ROUNDS, calls=calls)
        figures.update({f"{what}_x_get_{name}": times[name] / times["raw"] for name in caches})
        figures[f"raw_get_us_{what}"] = times["raw"] * 1e6
    client.close()
    return figures


def _ours(folder: Path, server: RedisServer) -> dict[str, Cache]:
    from thrift_plugins.langchain import ResponseCache
    from thrift_plugins.stores import MemoryStore, RedisStore, SQLiteStore

    return {
        "memory": ResponseCache(MemoryStore()),
        "sqlite": ResponseCache(SQLiteStore(folder / "ours.db")),
        "redis": ResponseCache(RedisStore(server.url, secret=SECRET)),
    }


def _prompt(name: str, number: int) -> str:
    from langchain_core.load import dumps
    from langchain_core.messages import HumanMessage, SystemMessage

    return dumps(
        [SystemMessage("You answer questions about a product."), HumanMessage(f"Where is part {number} of {name}?")]
    )


def _llm_string() -> str:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-4o-mini", temperature=0, api_key="none")._get_llm_string()


def _generations(text: str = ANSWER) -> list[Any]:
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration

    told = {"finish_reason": "stop", "model_name": "gpt-4o-mini"}
    return [ChatGeneration(message=AIMessage(text, response_metadata=told))]


def _hits(cache: Cache, name: str) -> Case:
    """Looks one prompt up after the other; every one must be there."""
    llm_string, prompts = _llm_string(), [_prompt(name, number) for number in range(PROMPTS)]
    for prompt in prompts:
        cache.update(prompt, llm_string, _generations())
    return _found(cache, prompts, llm_string)


def _unseen_hits(cache: Cache, name: str) -> Case:
    """The same through another object over the same store, which has worked no address out yet."""
    from thrift_plugins.langchain import ResponseCache

    other = ResponseCache(cache.store) if isinstance(cache, ResponseCache) else cache
    return _found(other, [_prompt(name, number) for number in range(PROMPTS)], _llm_string())


def _found(cache: Cache, prompts: Sequence[str], llm_string: str) -> Case:
    endless = itertools.cycle(prompts)

    def one() -> None:
        if not cache.lookup(next(endless), llm_string):
            raise AssertionError("a stored answer was not found")

    return one


def _misses(cache: Cache, name: str) -> Case:
    llm_string, prompts = _llm_string(), itertools.cycle([_prompt(f"no {name}", number) for number in range(PROMPTS)])

    def one() -> None:
        if cache.lookup(next(prompts), llm_string):
            raise AssertionError("an answer was found that nobody has stored")

    return one


def _writes(cache: Cache, name: str) -> Case:
    llm_string, prompts = _llm_string(), (_prompt(f"new {name}", number) for number in itertools.count())
    answer = _generations()
    return lambda: cache.update(next(prompts), llm_string, answer)


def growth(folder: Path, entries: int) -> dict[str, float]:
    """A hit with many entries over one with few, and the bytes that an answer of 1,000 takes in each store."""
    from thrift_plugins.langchain import ResponseCache
    from thrift_plugins.stores import RedisStore, SQLiteStore

    figures: dict[str, float] = {"bytes_per_answer_raw": 1_000.0}
    for size in (FEW, entries):
        (folder / str(size)).mkdir()
    with RedisServer(folder / str(FEW)) as small, RedisServer(folder / str(entries)) as large:
        pairs: dict[str, Callable[[int], Any]] = {
            "sqlite": lambda size: SQLiteStore(folder / str(size) / "growth.db"),
            # With patience: filling it must not fail where a server that grows its table is late for once.
            "redis": lambda size: RedisStore((small if size == FEW else large).url, secret=SECRET, timeout=5),
        }
        for kind, open_store in pairs.items():
            stores = {size: open_store(size) for size in (FEW, entries)}
            empty = _taken(kind, folder / str(entries), large)
            cases: dict[str, Case] = {}
            for size, store in stores.items():
                _fill(store, size)
                cases[str(size)] = _hits(ResponseCache(store), "growth")
            times = interleaved(cases, rounds=25, calls=100)
            figures[f"hit_growth_{kind}"] = times[str(entries)] / times[str(FEW)]
            for store in stores.values():
                store.close()  # which writes SQLite's log into its file
            taken = _taken(kind, folder / str(entries), large) - empty
            figures[f"bytes_per_answer_{kind}"] = taken / (entries + PROMPTS)
    return figures


def _fill(store: Any, entries: int) -> None:
    for key, text in _answers(entries):
        store.put(key, text, 86_400.0)


def _answers(count: int) -> Iterator[tuple[str, bytes]]:
    """Keys, and answers of 1,000 bytes in words of our own, none like another."""
    rng = random.Random(7)
    words = ["".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 10))) for _ in range(3_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]  # as words are in any language
    for number in range(count):
        text = " ".join(rng.choices(words, weights, k=260))[:1_000].encode()
        yield f"{{-}}:{sha256(str(number).encode()).hexdigest()}", text


def _taken(kind: str, folder: Path, server: RedisServer) -> int:
    """Bytes that a store takes now."""
    if kind == "sqlite":
        return sum(file.stat().st_size for file in folder.glob("growth.db*"))
    told = server.ask("INFO", "memory").decode()
    return int(told.split("used_memory:")[1].split()[0])


if __name__ == "__main__":
    main()
