"""A replay, start to end: every row through an app, on the trace's clock, judged as it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from thrift_plugins.config import Config, QualityConfig
from thrift_plugins.errors import ConfigError, StoreError
from thrift_plugins.ledger import Line, Summary, summarise
from thrift_plugins.replay.apps import RecordedApp, app_of, cheapness, heard, replies
from thrift_plugins.replay.check import score
from thrift_plugins.replay.row import Row
from thrift_plugins.replay.switches import Setup
from thrift_plugins.replay.trace import Trace
from thrift_plugins.runtime import Runtime
from thrift_plugins.scope import Recording, replaying, scope
from thrift_plugins.stores import ledger_beside, open_event_log, open_store
from thrift_plugins.tape import Tape
from thrift_plugins.types import usd

Framework: TypeAlias = Literal["langchain", "llama_index"]


@dataclass(slots=True)
class Quality:
    """Mean correctness, of the baseline and of what was served."""

    requests: int = 0
    before: float = 0.0
    after: float = 0.0

    def add(self, before: float, after: float) -> None:
        """Judge one more request."""
        self.requests += 1
        self.before += before
        self.after += after

    @property
    def baseline(self) -> float:
        """Mean score of the baseline's own answers."""
        return self.before / self.requests if self.requests else 0.0

    @property
    def actual(self) -> float:
        """Mean score of the answers that were served."""
        return self.after / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Outcome:
    """What a replay found.

    Attributes:
        summary: the bill, whole and by feature.
        quality: correctness by feature.
        ledger_sha256: digest of every event and bill; the same for both frameworks.
    """

    name: str
    summary: Summary
    ledger_sha256: str
    quality: Quality = field(default_factory=Quality)
    quality_by_feature: dict[str, Quality] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """All figures as JSON: money in US dollars, quality from 0 to 1."""
        by_feature = {
            feature: _figures(line, self.quality_by_feature[feature])
            for feature, line in sorted(self.summary.by_feature.items())
        }
        whole = _figures(self.summary.total, self.quality)
        return {**whole, "by_feature": by_feature, "ledger_sha256": self.ledger_sha256}


def _figures(line: Line, quality: Quality) -> dict[str, Any]:
    return {
        "requests": line.requests,
        "baseline_usd": usd(line.baseline),
        "actual_usd": usd(line.actual),
        "saved_fraction": line.saved_fraction,
        "quality_baseline": quality.baseline,
        "quality_actual": quality.actual,
        "by_tactic": {tactic: usd(amount) for tactic, amount in sorted(line.by_tactic.items())},
        "overheads_usd": usd(sum(line.overheads.values())),
    }


def replay(
    trace: Trace,
    framework: Framework,
    config: Config | Setup,
    folder: Path,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run every row of a trace through the real adapter over recorded models. None is left alone: each is its own holdout.

    Nor is any asked once more to compare answers: how right each is, the trace says.

    Args:
        trace: the recorded month.
        framework: whose adapter.
        config: what is on, or that with what was learnt before. The store and the ledger that it names are the app's own and
            are left alone.
        folder: an empty folder for those of the replay.
        progress: called after each row.

    Raises:
        TraceError: a row cannot be replayed; says which.
        StoreError: the ledger did not keep every call, so that there is no bill.
    """
    setup = config if isinstance(config, Setup) else Setup(config)
    clock, config = _Clock(trace.start), setup.config
    prices = {**trace.prices, **config.prices}
    file = str(folder / "replay.db")
    runtime = Runtime(
        replace(
            config,
            ledger=replace(config.ledger, holdout=0.0),
            quality=QualityConfig(),
            # What was asked then is no news.
            routing=replace(config.routing, record=(), shadow=0.0),
            distillation=replace(config.distillation, record=()),
        ),
        store=open_store(file, clock=clock),
        event_log=open_event_log(ledger_beside(file)),
        prices=prices,
        clock=clock,
        **setup.parts,
    )
    try:
        for begin in setup.begins:
            begin(runtime)
        return _run(trace, framework, runtime, clock, progress, setup)
    finally:
        runtime.close()


class _Clock:
    """The trace's clock: seconds since the epoch, set by the row that is asked."""

    def __init__(self, start: float) -> None:
        self.start = self.now = start

    def __call__(self) -> float:
        return self.now


def _run(
    trace: Trace,
    framework: Framework,
    runtime: Runtime,
    clock: _Clock,
    progress: Callable[[], None],
    setup: Setup,
) -> Outcome:
    ledger = runtime.ledger
    if ledger is None:
        raise ConfigError("a replay is a bill, and a bill needs the ledger: leave ledger.enabled on")
    tape = Tape()
    app = app_of(framework)(tape, cheapness(runtime.prices), runtime)
    quality, by_feature = Quality(), dict[str, Quality]()
    for row in trace:
        clock.now = clock.start + row.t
        if ledger.waiting >= runtime.config.ledger.capacity:
            ledger.flush()  # an app must not wait for its log; a replay can
        tape.load(replies(row), heard(row, waits=setup.waits))
        before, after = row.arms[row.baseline].score, _ask(app, row, "" if row.feature in setup.shared else row.tenant)
        quality.add(before, after)
        by_feature.setdefault(row.feature, Quality()).add(before, after)
        progress()
    summary = summarise(ledger.records())
    if ledger.dropped or summary.total.requests != quality.requests:
        kept = f"{summary.total.requests} of {quality.requests} calls, and {ledger.dropped} events were dropped"
        raise StoreError(f"the replay's ledger kept {kept}, so its bill would be wrong")
    return Outcome(trace.name, summary, ledger.digest(), quality, by_feature)


def _ask(app: RecordedApp, row: Row, tenant: str) -> float:
    """The score of the app's answer to a row."""
    known = Recording(row.id, row.arms[row.baseline].usage)
    with scope(tenant=tenant, user=row.user, feature=row.feature), replaying(known):
        return score(row, app.ask(row))
