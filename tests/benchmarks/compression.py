"""What compression keeps, saves and costs: `python -m tests.benchmarks.compression --data DIR --json FILE`.

Evidence retention, not answers: whether what an answer needs is still in the prompt, with an interval of 95 %. The shipped
ranker was trained on the developers' half of these sets; on that half use `--cross`, which trains on one part of it and reports
the other, both ways. `--train` writes the shipped ranker anew. `--only nq20,json` runs a part.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks import compression_data as sets
from tests.benchmarks import compression_parts as parts
from tests.benchmarks import compression_peers as peers
from tests.benchmarks.compression_data import Question, interval
from thrift_plugins.compression.calibration import Calibration, margin_of
from thrift_plugins.compression.extraction import Excerpt, Extractor
from thrift_plugins.compression.features import FIRST, SECOND
from thrift_plugins.compression.limit import Limit
from thrift_plugins.compression.ranker import Ranker, Weights, shipped
from thrift_plugins.compression.training import train
from thrift_plugins.tokens.vocabulary import measure_for

RATIOS = (2, 4, 10)
MODEL = "gpt-4o"
TARGETS = {
    **{f"nq20_kept_{ratio}": goal for ratio, goal in zip(RATIOS, (0.995, 0.99, 0.95), strict=True)},
    **{f"hotpot_all_facts_kept_{ratio}": goal for ratio, goal in zip(RATIOS, (0.92, 0.80, 0.40), strict=True)},
    **{f"qmsum_span_kept_{ratio}": goal for ratio, goal in zip(RATIOS, (0.82, 0.65, 0.50), strict=True)},
    **{f"rgb_zh_kept_{ratio}": goal for ratio, goal in zip(RATIOS, (0.99, 0.97, 0.90), strict=True)},
    "nq20_risk02_ratio": 6.0, "json_saved_median": 0.5, "json_round_trips": 1.0, "fewshot_right": 0.92, "prefix_bytes_identical": 1.0,
}  # fmt: skip
AT_MOST = {
    "nq20_risk02_loss_low": 0.02, "protected_broken": 0.0, "condense_unnamed_lost": 0.0, "net_worse": 0.0, "fewshot_tokens_share": 2 / 3,
    "compress_x_tiktoken": 5.0,
}  # fmt: skip

measure = measure_for(MODEL)
Fold: TypeAlias = tuple[list[Question], Extractor]
Kept: TypeAlias = Callable[[Question, Extractor, float], float]


def texts_kept(question: Question, extractor: Extractor, ratio: float) -> tuple[list[Excerpt], int, int]:
    """The excerpts, and the tokens before and after, each with the titles of passages of which something stays."""
    passages = question.example.passages
    heads = [f"{one.title}\n" if one.title else "" for one in passages]
    made = extractor.extract(question.example.query, passages, Limit(ratio=ratio), measure, heads)
    return list(made.excerpts), made.tokens_before, made.tokens_after


def answer_kept(question: Question, extractor: Extractor, ratio: float) -> float:
    """Whether one of the answers is still there."""
    excerpts, before, after = texts_kept(question, extractor, ratio)
    alone = sum(len(excerpt.kept) for excerpt in excerpts if excerpt.text) == 1  # a sentence longer than the budget
    assert after <= before / ratio + 1 or alone, "a budget is a budget"
    said = "\n".join(
        f"{passage.title}\n{excerpt.text}" for passage, excerpt in zip(question.example.passages, excerpts, strict=True) if excerpt.text
    ).casefold()
    return float(any(answer.casefold() in said for answer in question.answers))


def needed_kept(question: Question, excerpts: Sequence[Excerpt]) -> list[tuple[bool, int]]:
    """Of each needed sentence whether it stays, and its letters."""
    found = []
    needed = iter(question.example.needed.tolist())
    for passage, excerpt in zip(question.example.passages, excerpts, strict=True):
        for a, b in passage.pieces():
            if next(needed):
                found.append((any(start <= a and b <= end for start, end in excerpt.kept) and bool(excerpt.text), b - a))
    return found


def all_kept(question: Question, extractor: Extractor, ratio: float) -> float:
    """Whether every needed sentence is."""
    return float(all(kept for kept, _ in needed_kept(question, texts_kept(question, extractor, ratio)[0])))


def share_kept(question: Question, extractor: Extractor, ratio: float) -> float:
    """The share of what is needed."""
    told = needed_kept(question, texts_kept(question, extractor, ratio)[0])
    return sum(size for kept, size in told if kept) / max(1, sum(size for _, size in told))


SETS: dict[str, tuple[Callable[[Path], list[Question]], Kept, str]] = {
    "nq20": (sets.nq20, answer_kept, "nq20_kept"),
    "hotpot": (sets.hotpot, all_kept, "hotpot_all_facts_kept"),
    "qmsum": (sets.qmsum, share_kept, "qmsum_span_kept"),
    "rgb_zh": (sets.rgb_zh, answer_kept, "rgb_zh_kept"),
}


def taught(data: dict[str, list[Question]], keep: Callable[[int], bool] = lambda _group: True, note: str = "") -> Ranker:
    """A ranker from a part of the sets; hotpot's few questions count twice. Chinese is not learnt from: it is not ours to ship."""
    prose = [one.example for one in data["nq20"] if keep(one.group) and one.example.needed.any()]
    hops = [one.example for one in data["hotpot"] if keep(one.group)]
    talks = [one.example for one in data.get("qmsum", ()) if keep(one.group)]
    nothing = Weights(np.zeros(1 + len(FIRST), np.float32), np.zeros(1 + len(FIRST) + len(SECOND), np.float32))
    return train(prose + hops * 2, talks, base=Ranker(nothing, nothing if talks else shipped().dialogue), note=note)


def folds(data: dict[str, list[Question]], *, cross: bool) -> Iterator[tuple[Callable[[int], bool], Extractor]]:
    """Which questions to report, by group, with an extractor that has not learnt from them."""
    if not cross:
        yield (lambda _group: True), Extractor()
        return
    for part in (0, 1):
        yield (lambda group, part=part: group % 2 == part), Extractor(ranker=taught(data, lambda group, part=part: group % 2 != part))


def retention(data: dict[str, list[Question]], chosen: Sequence[Fold], only: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (_, kept, key) in SETS.items():
        if only and name not in only:
            continue
        for ratio in RATIOS:
            values = [kept(one, extractor, ratio) for keep, extractor in chosen for one in data[name] if keep(one.group)]
            low, high = interval(values)
            found |= {f"{key}_{ratio}": mean(values), f"{key}_{ratio}_low": low, f"{key}_{ratio}_high": high, f"{key}_{ratio}_n": len(values)}
    return found


def risk(data: dict[str, list[Question]], chosen: Sequence[Fold]) -> dict[str, Any]:
    """Calibrated on one half of the questions, reported on the other, and the other way round."""
    lost = asked = before = after = 0
    ends: list[tuple[float, float]] = []
    for keep, extractor in chosen:
        own = [one for one in data["nq20"] if keep(one.group) and one.example.needed.any()]
        for half in (0, 1):
            learn, report = own[half::2], own[1 - half :: 2]
            margins = []
            for one in learn:
                _, scores = extractor.read(one.example.query, one.example.passages)
                margins.append(margin_of(scores.tolist(), one.example.needed.tolist(), every=False))
            calibration = Calibration(tuple(margins), extractor.name)
            promise = calibration.promise(0.02)
            ends.append((promise.low, promise.high))
            limit = Limit(risk=0.02, calibration=calibration)
            for one in report:
                passages = one.example.passages
                heads = [f"{passage.title}\n" for passage in passages]
                made = extractor.extract(one.example.query, passages, limit, measure, heads)
                said = "\n".join(excerpt.text for excerpt in made.excerpts).casefold()
                lost += not any(answer.casefold() in said for answer in one.answers)
                asked, before, after = asked + 1, before + made.tokens_before, after + made.tokens_after
    loss = lost / asked
    low, high = interval([1.0] * lost + [0.0] * (asked - lost))
    return {
        "nq20_risk02_ratio": before / after,
        "nq20_risk02_loss": loss,
        "nq20_risk02_loss_low": low,
        "nq20_risk02_loss_high": high,
        "nq20_risk02_stated_low": min(one for one, _ in ends),
        "nq20_risk02_stated_high": max(one for _, one in ends),
        "nq20_risk02_inside": float(min(one for one, _ in ends) <= loss <= max(one for _, one in ends) or loss <= 0.02),
    }


def show(figures: dict[str, Any], path: Path | None) -> None:
    """The figures beside their targets, for people and as flat JSON."""
    table = Table("figure", "value", "95 %", "target", title="What compression keeps, saves and costs", title_justify="left")
    for name, value in figures.items():
        if name.endswith(("_low", "_high", "_n")) and name.rpartition("_")[0] in figures:
            continue
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        ends = f"{figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f}" if f"{name}_low" in figures else ""
        goal, most = TARGETS.get(name), AT_MOST.get(name)
        missed = (goal is not None and value < goal) or (most is not None and value > most)
        target = f">= {goal}" if goal is not None else f"<= {most:.3g}" if most is not None else ""
        table.add_row(name, shown, ends, target, style="red" if missed else "")
    Console(width=110).print(table)
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("THRIFT_DATA", "../shared/data")))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--cross", action="store_true", help="train on one part of DIR and report the other, both ways")
    parser.add_argument("--train", type=Path, help="write a ranker that has learnt from all of DIR to this file, and stop")
    parser.add_argument("--only", default="", help="names of parts, with commas between")
    told = parser.parse_args()
    if not (told.data / "compression").is_dir():
        raise SystemExit(f"no evaluation data in {told.data}: give its folder with --data")
    only = set(filter(None, told.only.split(",")))
    needed = only & SETS.keys() if only and not told.train else SETS.keys()
    needed = {*needed, "nq20"} if only & {"risk", "peers"} else needed
    needed = {*needed, "nq20", "hotpot"} if told.cross and needed else needed
    data = {name: SETS[name][0](told.data) for name in needed}
    if told.train:
        note = "NaturalQuestions and HotpotQA questions for prose, QMSum queries for dialogue"
        told.train.write_text(taught(data, note=note).dump())
        return
    chosen = list(folds(data, cross=told.cross)) if data or not only else []
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "retention": lambda: retention(data, chosen, only & SETS.keys()) if data else {},
        "risk": lambda: risk(data, chosen) if "nq20" in data else {},
        "json": partial(parts.json_forms, told.data, measure),
        "protection": partial(parts.protection, told.data),
        "condense": partial(parts.condensing, told.data),
        "cache": parts.net_dollars,
        "fewshot": partial(parts.fewshot, told.data, measure),
        "speed": partial(parts.speed, told.data, measure),
        "peers": lambda: peers.retention(data["nq20"], RATIOS, measure) if "nq20" in data else {},
    }
    figures: dict[str, Any] = {}
    for name, step in steps.items():
        if not only or name in only or (name == "retention" and only & SETS.keys()):
            figures |= step()
    figures = {name: float(value) if isinstance(value, np.floating) else value for name, value in figures.items()}
    show(figures, told.json)


if __name__ == "__main__":
    main()
