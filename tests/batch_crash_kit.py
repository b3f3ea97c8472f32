"""One randomised run of the batch executor between crashes and faults, and what it cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

from tests.batch_crash_worker import app, question
from thrift_plugins.testing import Answer, WireRequest
from thrift_plugins.testing.batches import Ending, LoopbackBatches, Refusal
from thrift_plugins.testing.batches.server import BatchMoment

ROOT = Path(__file__).parents[1]
PROVIDERS = ("openai", "azure", "anthropic", "mistral")
GRACE = 2.0
SETTINGS = {
    "linger": 0.005, "poll": 0.02, "grace": GRACE, "external_cap": 2.0, "max_age": 5.0, "settling": 1.0, "line_retries": 6,
    "lease": 2.0,
}  # fmt: skip
STEPS = 2


def script(request: WireRequest) -> Answer:
    """An answer that only its own question has."""
    return Answer(f"the answer to ({request.last_user})")


def expected(number: int) -> str:
    """What the chain gives for an input."""
    first = f"the answer to ({question(1, number)})"
    return f"the answer to ({question(2, first)})"


class Zygote:
    """A process that forks workers."""

    def __init__(self, provider: LoopbackBatches, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.batch_crash_worker"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )  # fmt: skip
        provider.script(script)
        self._send(_spec(Scenario(0, "openai", 1, 2), provider, folder) | {"results": str(folder / "first")})
        assert self._told() == "ready"

    def start(self, spec: dict[str, Any]) -> int:
        """Fork a worker; gives its pid."""
        self._send(spec)
        return int(self._told())

    def _send(self, spec: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(spec) + "\n")
        self._process.stdin.flush()

    def ended(self) -> int:
        """Wait for it; gives how it ended, as `os.waitpid` tells it."""
        return int(self._told())

    def _told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@dataclass
class Scenario:
    """What one run goes through, drawn from a seed.

    Attributes:
        kills: of each life but the last: at a commit, at a request (the server kills), or at a time.
    """

    seed: int
    provider: str
    inputs: int
    lines: int
    faults: dict[str, Any] = field(default_factory=dict)
    kills: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def drawn(cls, seed: int) -> Scenario:
        """A scenario of one to four faults and up to three kills."""
        draw = Random(seed)
        inputs = draw.randint(3, 40)
        scenario = cls(seed, draw.choice(PROVIDERS), inputs, draw.randint(2, max(3, inputs)))
        for name in draw.sample(sorted(FAULTS), draw.randint(1, 4)):
            scenario.faults[name] = FAULTS[name](draw)
        scenario.kills = [_kill(draw) for _ in range(draw.choice((0, 1, 1, 1, 2, 2, 3)))]
        return scenario

    def apply(self, provider: LoopbackBatches) -> None:
        """Make the provider so."""
        faults = provider.batch_faults
        for name, value in self.faults.items():
            if name == "endings":
                faults.endings.extend(Ending(**one) if one else None for one in value)
            elif name.startswith("refuse_"):
                faults.refusals.extend(Refusal(**one) for one in value)
            else:
                setattr(faults, name, value)


def _kill(draw: Random) -> dict[str, Any]:
    where = draw.choice(("commit", "commit", "request", "request", "time"))
    if where == "time":
        return {"at": "time", "seconds": draw.uniform(0.02, 0.6)}
    if where == "commit":
        return {"at": draw.choice(("before", "after")), "number": draw.randint(1, 60)}
    return {"at": "request", "when": draw.choice(("before", "after")), "number": draw.randint(1, 16)}


def _endings(state: str, draw: Random) -> list[dict[str, Any] | None]:
    times = draw.randint(1, 3) if state != "failed" else 1
    return [{"state": state, "share": draw.choice((0.0, 0.3, 0.5, 0.9))} for _ in range(times)]


FAULTS: dict[str, Any] = {
    "resets_after_create": lambda draw: draw.randint(1, 3),
    "resets_before_create": lambda draw: draw.randint(1, 2),
    "list_lag": lambda draw: draw.uniform(0.02, 0.4) * GRACE,
    "endings": lambda draw: [one for state in draw.sample(("expired", "cancelled", "failed"), draw.randint(1, 2)) for one in _endings(state, draw)],
    "refuse_create": lambda draw: [{"step": "create", "status": draw.choice((429, 500, 503, 529)), "times": draw.randint(1, 3)}],
    "refuse_other": lambda draw: [
        {"step": step, "status": draw.choice((429, 500, 502)), "times": 1}
        for step in draw.sample(("retrieve", "list", "upload", "results", "cancel"), 2)
    ],
    "line_error": lambda draw: draw.choice((0.05, 0.3)),
    "drop": lambda draw: draw.choice((0.05, 0.2)),
    "double": lambda draw: draw.choice((0.2, 1.0)),
    "files_late": lambda draw: draw.uniform(0.02, 0.2),
    "error_file": lambda draw: draw.choice(("empty", "absent")),
    "results_slow": lambda draw: draw.uniform(0.02, 0.2),
    "results_cut": lambda _: 1,
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    scenario: Scenario
    twice: int
    lost: int
    swapped: int
    deaths: int
    paid: int
    lost_by_provider: int
    incidents: Sequence[dict[str, Any]]
    trouble: str = ""

    @property
    def bad(self) -> bool:
        """Whether anything is not as it must be."""
        return bool(self.twice or self.lost or self.swapped or self.trouble)


def run(
    scenario: Scenario,
    zygote: Zygote,
    provider: LoopbackBatches,
    folder: Path,
    *,
    stay: float = 0.0,
    fresh: bool = True,
    journal: str = "",
    store: str = "",
    **settings: float,
) -> Outcome:
    """One run: lives that end in a kill, and one that ends by itself, and then stays for some seconds.

    Args:
        journal: URL of one on a server, "" for a file.
        store: beside which a budget of a wrapped model is, which is to know of all that is paid after each life.
    """
    if fresh:
        provider.reset()
        provider.script(script)
        scenario.apply(provider)
    spec = _spec(scenario, provider, folder, **settings)
    spec |= {"journal": journal or spec["journal"], "store": store}
    deaths = 0
    for number, kill in enumerate([*scenario.kills, None]):
        results = folder / f"results-{number}"
        life = {**spec, "kill": kill, "results": str(results), "stay": 0.0 if kill else stay}
        status = _life(zygote, provider, life)
        if status == 0:
            break
        if not os.WIFSIGNALED(status):
            return Outcome(scenario, 0, 0, 0, deaths, 0, 0, (), (folder / "log").read_text()[-2000:])
        deaths += 1
        if store and (unknown := _unknown(provider, store)):
            return Outcome(scenario, 0, 0, 0, deaths, 0, 0, (), unknown)
    settled = provider.settle()
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    answers = {row["index"]: row["output"] for row in rows if row["error"] is None}
    paid = provider.paid
    return Outcome(
        scenario,
        twice=paid.twice,
        lost=sum(number not in answers for number in range(scenario.inputs)),
        swapped=sum(answer != expected(number) for number, answer in answers.items()),
        deaths=deaths,
        paid=len(paid.lines),
        lost_by_provider=sum(line.lost for line in paid.lines),
        incidents=json.loads(results.with_suffix(".incidents").read_text()),
        trouble="a batch never ended" if not settled else _unknown(provider, store, ended=True) if store else "",
    )


def _unknown(provider: LoopbackBatches, store: str, *, ended: bool = False) -> str:
    """What a budget does not know of all that the provider has charged; "" where it does."""
    runtime = app(store)
    [left] = runtime.budgets()
    runtime.close()
    lines = [line.usage for line in provider.paid.lines if not line.lost]
    paid = sum(usage.input_tokens + usage.output_tokens for usage in lines)
    if left.used + (0 if ended else left.held) < paid or (ended and left.held):
        return f"{paid} tokens were paid, {left.used} are used and {left.held} held"
    return ""


def _spec(scenario: Scenario, provider: LoopbackBatches, folder: Path, **settings: float) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "provider": scenario.provider, "root": provider.root_url, "lines": scenario.lines, "settings": {**SETTINGS, **settings},
        "journal": str(folder / "journal.db"), "inputs": list(range(scenario.inputs)), "log": str(folder / "log"),
    }  # fmt: skip


def _life(zygote: Zygote, provider: LoopbackBatches, spec: dict[str, Any]) -> int:
    """Start a worker and wait for its end; the provider kills it where the kill is at a request."""
    kill = spec["kill"]
    if not kill or kill["at"] != "request":
        zygote.start(spec)
        return zygote.ended()
    left, pid = [kill["number"]], [0]

    def watch(moment: BatchMoment) -> None:
        if moment.when == kill["when"]:
            left[0] -= 1
            if left[0] <= 0 and pid[0]:
                with suppress(ProcessLookupError):
                    os.kill(pid[0], signal.SIGKILL)

    provider.watch = watch
    try:
        pid[0] = zygote.start({**spec, "kill": None})
        return zygote.ended()
    finally:
        provider.watch = None
