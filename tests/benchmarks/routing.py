"""Routing, untrained and trained, on recorded answers of real models: `python -m tests.benchmarks.routing --data DIR`.

APGR is RouteLLM's: the share of the gap between two models that is recovered, averaged over every share of calls to the
stronger one, by the trapezoid rule over tenths; a router that draws lots has 0.5. Ties are broken at random, in three draws.

A promise is kept where the quality on a half that was neither learnt from nor calibrated on is at least the target less half
a point. The ridge and the weight of numbers were chosen on draws 0 to 4 of one half of MMLU; the figures are the mean of 10
draws of whatever half is given, so on that half they have seen rows that they were chosen on.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.harness import arguments, installed, interleaved, report
from thrift_plugins.prices import Prices
from thrift_plugins.routing import LearnedRouter, RuleRouter, checking, rejects, training
from thrift_plugins.routing.answers import answer_traits
from thrift_plugins.routing.learned import Goal, Promise
from thrift_plugins.routing.rules import difficulty
from thrift_plugins.types import Json, Message, Reply, Request, Tier, ToolCall, Usage

TARGETS = {"chinese_cheapest_share": 0.10, "decision_x_rules": 10.0}
PROMISED = (0.95, 0.98, 0.99, 1.0)
Scores = NDArray[np.float64]

BENCHED = ("zero-one-ai/Yi-34B-Chat", "gpt-4-1106-preview")
WEAK, STRONG = "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"
TIERS = (Tier("cheap", "gpt-4o-mini"), Tier("mid", "gpt-4.1-mini"), Tier("strong", "gpt-4o"))
AT = 1_780_000_000.0
DRAWS = 3

_TECHNICAL = re.compile(
    r"\b(?:api|algorithm|code|function|database|server|debug|error|python|javascript|sql|regex|compile|architecture|"
    r"integral|derivative|matrix|theorem|equation|protein|enzyme|molecule|quantum|statute|diagnosis)\w*", re.IGNORECASE
)  # fmt: skip
_STRUCTURED = re.compile(
    r"^\s*(?:list|extract|classify|convert|translate|summari[sz]e|format|what|who|when|where|which|how)\b",
    re.IGNORECASE,
)


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a file."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def asked(text: str, tools: Sequence[Mapping[str, Json]] = (), **params: Json) -> Request:
    """A request of one turn."""
    return Request("1", AT, STRONG, (Message("user", text),), tuple(tools), params=params)


def seed_tier(text: str) -> int:
    """The tier by the rules of a well-known post: words between spaces, technical terms, and the form of a question."""
    words = len(text.split())
    if words < 15 and not _TECHNICAL.search(text):
        return 0
    return 1 if words < 100 and _STRUCTURED.search(text) else 2


def apgr(scores: Sequence[float], weak: Sequence[float], strong: Sequence[float]) -> float:
    """Of scores that are higher for what should go to the stronger model."""
    found = []
    for draw in range(DRAWS):
        chance = random.Random(draw)
        order = sorted(range(len(scores)), key=lambda at: (-scores[at], chance.random()))
        low, high, points = fmean(weak), fmean(strong), []
        for tenth in range(11):
            sent = set(order[: round(tenth * len(order) / 10)])
            quality = fmean(strong[at] if at in sent else weak[at] for at in range(len(order)))
            points.append((quality - low) / (high - low))
        found.append(fmean((before + after) / 2 for before, after in pairwise(points)))
    return fmean(found)


def mmlu(data: Path) -> dict[str, float]:
    """How well the rules tell questions that a weaker model cannot answer."""
    records = list(rows(data / "routing" / "mmlu.jsonl.gz"))
    weak, strong = ([float(record[name]) for record in records] for name in ("weak_ok", "strong_ok"))
    ours = [difficulty(asked(record["prompt"]))[0] for record in records]
    seed = [float(seed_tier(record["prompt"])) for record in records]
    return {"mmlu_rules_apgr": apgr(ours, weak, strong), "mmlu_seed_rules_apgr": apgr(seed, weak, strong)}


def litellm(data: Path) -> dict[str, float]:
    """LiteLLM's heuristics on the same questions, untrained, where the Python of `THRIFT_PEERS_PYTHON` has it."""
    python = os.environ.get("THRIFT_PEERS_PYTHON", sys.executable)
    if not installed(python, "litellm"):
        sys.stderr.write(f"litellm is not installed for {python}: THRIFT_PEERS_PYTHON names another\n")
        return {}
    figures: dict[str, float] = {}
    for task in ("mmlu", "gsm8k"):
        requests, scores = pairs(data, task)
        told = _litellm(python, [request.messages[0].text for request in requests])
        for kind in ("heuristic", "heuristic_v2"):
            hard = [float(each[kind]) for each in told]
            figures[f"peer_litellm_{kind}_{task}_apgr"] = apgr(hard, scores[:, 0].tolist(), scores[:, 1].tolist())
    exam = _litellm(python, [record["prompt"] for record in rows(data / "routing" / "chinese_exam.jsonl.gz")])
    return {**figures, "peer_litellm_chinese_cheapest_share": fmean(each["cheapest"] for each in exam)}


def _litellm(python: str, prompts: Sequence[str]) -> list[dict[str, Any]]:
    command = [python, str(Path(__file__).with_name("routing_peer.py"))]
    given = "".join(json.dumps(prompt) + "\n" for prompt in prompts)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"heuristic"')]


def pairs(data: Path, task: str) -> tuple[list[Request], Scores]:
    """Requests, and (n, 2) how good a weaker and a stronger model's answers were."""
    requests, scores = [], []
    for record in rows(data / "routing" / f"{task}.jsonl.gz"):
        if task == "bfcl":
            functions = record["functions"] if isinstance(record["functions"], list) else [record["functions"]]
            words = record["category"] in ("java", "javascript")
            requests.append(asked(str(record["question"]), [as_sent(each, words=words) for each in functions]))
            scores.append([record["models"][f"{name}-FC"]["ok"] for name in (WEAK, STRONG)])
        elif task == "routerbench":
            pair = [record["models"][name]["score"] for name in BENCHED]
            if None not in pair:
                requests.append(asked(record["prompt"]))
                scores.append(pair)
        else:
            requests.append(asked(record["prompt"]))
            scores.append([record["weak_ok"], record["strong_ok"]])
    return requests, np.array(scores, dtype=float)


def trained(data: Path, draws: int) -> dict[str, float]:
    """How well what is learnt from 1,500 answers, or from folds of all, tells the rest apart."""
    figures: dict[str, float] = {}
    requests, scores = pairs(data, "mmlu")
    kernel = training._read(requests).kernel()
    found = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(scores))
        seen, others = order[:1_500], order[1_500:]
        found.append(_apgr(_predicted(kernel, scores, seen, others), scores[others]))
    figures["mmlu_apgr_1500"] = fmean(found)
    figures["mmlu_apgr_all"] = _apgr(training._learnt(kernel, scores)[1], scores)
    domains = np.array([record["domain"] for record in rows(data / "routing" / "mmlu.jsonl.gz")])
    unseen = np.zeros_like(scores)
    for fold in np.array_split(np.random.default_rng(0).permutation(np.unique(domains)), 5):
        out = np.isin(domains, fold)
        unseen[out] = _predicted(kernel, scores, np.flatnonzero(~out), np.flatnonzero(out))
    figures["mmlu_unseen_apgr"] = _apgr(unseen, scores)
    requests, scores = pairs(data, "gsm8k")
    kernel = training._read(requests).kernel()
    figures["gsm8k_apgr"] = _apgr(training._learnt(kernel, scores)[1], scores)
    return figures


def _predicted(kernel: Scores, scores: Scores, seen: Any, others: Any) -> Scores:
    weights, _ = training._learnt(kernel[np.ix_(seen, seen)], scores[seen])
    return kernel[np.ix_(others, seen)] @ weights + scores[seen].mean(axis=0)


def _apgr(predicted: Scores, scores: Scores) -> float:
    return apgr((predicted[:, 1] - predicted[:, 0]).tolist(), scores[:, 0].tolist(), scores[:, 1].tolist())


def answered(data: Path, task: str) -> list[training.Example]:
    """Requests with how good both answers were, and where they were recorded, the weaker one's answer."""
    requests, scores = pairs(data, task)
    if task == "bfcl":
        return _called(data, requests, scores)
    told = list(rows(data / "routing" / f"{task}.jsonl.gz"))
    cost = _PER_TOKEN.get(task, (1.0, 10.0))
    made = []
    for at, request in enumerate(requests):
        replies, costs = {}, {}
        if task == "gsm8k":
            said = [told[at]["weak_response"], told[at]["strong_response"]]
            replies = {"weak": Reply(said[0], Usage(), finish_reason="stop")}
            prompt = len(told[at]["prompt"])
            costs = {name: (prompt + len(text)) * each for name, text, each in zip(NAMED, said, cost, strict=True)}
        made.append(training.Example(request, dict(zip(NAMED, scores[at].tolist(), strict=True)), replies, costs))
    return made


NAMED = ("weak", "strong")
_PER_TOKEN = {"gsm8k": (0.24, 24.7)}
"""US dollars per million tokens, of Mixtral and GPT-4 when they were recorded."""


def _called(data: Path, requests: Sequence[Request], scores: Scores) -> list[training.Example]:
    prices = Prices()
    prices.load()
    made = []
    for record, request, pair in zip(rows(data / "routing" / "bfcl.jsonl.gz"), requests, scores, strict=True):
        models = [record["models"][f"{name}-FC"] for name in (WEAK, STRONG)]
        costs = {
            name: float(_cost(prices, model, used))
            for name, model, used in zip(NAMED, (WEAK, STRONG), models, strict=True)
        }
        reply = answer(models[0]["result"])
        if reply is None:
            continue
        asks = replace(request, params={"tool_choice": "required"})
        made.append(training.Example(asks, dict(zip(NAMED, pair.tolist(), strict=True)), {"weak": reply}, costs))
    return made


@dataclass(frozen=True)
class Task:
    """Everything about a task that splits share: what was read of its examples."""

    examples: list[training.Example]
    scores: Scores
    costs: Scores
    kernel: Scores
    traits: Scores | None
    formless: Any
    formed: bool

    @classmethod
    def of(cls, data: Path, task: str) -> Task:
        """Read a task."""
        made = answered(data, task)
        kernel = training._read([each.request for each in made]).kernel()
        scores = np.array([[each.scores[name] for name in NAMED] for each in made])
        traits = formless = None
        if made[0].replies:
            traits = np.array([answer_traits(each.request, each.replies["weak"]) for each in made])
            formless = np.array([rejects(each.request, each.replies["weak"]) is not None for each in made])
        formed = bool(made[0].request.tools)
        return cls(made, scores, training._costs(made, NAMED), kernel, traits, formless, formed)

    def half(self, mine: Any, test: Any, seed: int) -> tuple[training._Seen, training._Seen]:
        """What training sees of its half, and what the trained router then sees of the other."""
        kernel, scores = self.kernel[np.ix_(mine, mine)], self.scores[mine]
        loss = later = None
        if self.traits is not None:
            own, best = scores[:, 0], scores[:, 1]
            loss = checking.out_of_fold(self.traits[mine], own, best, folds=training._FOLDS, seed=seed)
            later = checking.expected_loss(checking.fit_check(self.traits[mine], own, best), self.traits[test])
            loss, later = (np.where(self.formless[at], np.inf, found) for at, found in ((mine, loss), (test, later)))
        weights, left_out = training._learnt(kernel, scores)
        predicted = self.kernel[np.ix_(test, mine)] @ weights + scores.mean(axis=0)
        return (
            training._Seen(left_out, scores, self.costs[mine], loss, self.formed),
            training._Seen(predicted, self.scores[test], self.costs[test], later, self.formed),
        )


def served(promise: Promise, seen: training._Seen) -> tuple[float, float]:
    """Of the baseline, the quality and the saving of what a promise sends where."""
    if promise.accept is not None:
        way = training._accepted(seen, promise.accept)
    elif promise.limit is not None:
        way = training._chosen(seen.predicted[:, -1:] - seen.predicted[:, :-1], seen, promise.limit)
    else:
        return 1.0, 0.0
    return float(way.got.mean() / seen.scores[:, -1].mean()), way.saved


def promises(data: Path, splits: int) -> dict[str, float]:
    """How often promises are kept, and what they save: over random halves, one to learn and one to try."""
    figures: dict[str, float] = {}
    for task in ("bfcl", "gsm8k", "mmlu", "routerbench"):
        known = Task.of(data, task)
        mean = known.scores[:, 1].mean()
        results: dict[float, list[tuple[float, float]]] = {target: [] for target in PROMISED}
        for split in range(splits):
            mine, test = np.array_split(np.random.default_rng(split).permutation(len(known.scores)), 2)
            ours, others = known.half(mine, test, split)
            for target in PROMISED:
                results[target].append(served(training._promise(ours, Goal(target, 0.95)), others))
        for target in PROMISED:
            name = f"{task}_{target * 100:.0f}"
            quality, saved = zip(*results[target], strict=True)
            figures[f"promise_kept_{name}"] = fmean(each >= target - 0.005 / mean for each in quality)
            figures[f"quality_{name}"] = fmean(quality)
            figures[f"saved_{name}"] = fmean(saved)
            figures[f"routed_{name}"] = fmean(each > 0 for each in saved)
    counted = [value for name, value in figures.items() if name.startswith("promise_kept") and not name.endswith("_99")]
    figures["promise_kept_min"] = min(counted)
    return figures


def at_promise(data: Path, test: Path | None) -> dict[str, float]:
    """What is saved at a promise: learnt from all of a half, tried on the other; without one, five splits in 4 to 1."""
    figures: dict[str, float] = {}
    for task, target in (("bfcl", 0.99), ("gsm8k", 0.95)):
        found = list(_tries(data, test, task, target))
        name = f"{task}_{{}}_at_{target * 100:.0f}"
        figures[name.format("quality")] = fmean(quality for quality, _ in found)
        figures[name.format("saved")] = fmean(saved for _, saved in found)
    return figures


def _tries(data: Path, test: Path | None, task: str, target: float) -> Iterator[tuple[float, float]]:
    if test is not None:
        made = training.train(answered(data, task), NAMED, quality=target)
        yield trial(made, answered(test, task))
        return
    examples = answered(data, task)
    for split in range(5):
        order = np.random.default_rng(split).permutation(len(examples)).tolist()
        cut = len(order) * 4 // 5
        made = training.train([examples[at] for at in order[:cut]], NAMED, quality=target)
        yield trial(made, [examples[at] for at in order[cut:]])


def trial(made: LearnedRouter, examples: Sequence[training.Example]) -> tuple[float, float]:
    """Of the baseline, the quality and the saving of a router, decision by decision."""
    tiers = [Tier(name, name) for name in NAMED]
    got, best, paid, alone = 0.0, 0.0, 0.0, 0.0
    for each in examples:
        decision = made.decide(each.request, tiers, 1)
        reply = each.replies.get(decision.name)
        name, cost = decision.name, each.costs[decision.name]
        if decision.verify is not None and reply is not None:
            why = rejects(each.request, reply) or made.rejects(each.request, reply, decision)
            if why is not None:
                name, cost = "strong", cost + each.costs["strong"]
        got, best = got + each.scores[name], best + each.scores["strong"]
        paid, alone = paid + cost, alone + each.costs["strong"]
    return got / best, 1 - paid / alone


def cascade(data: Path, test: Path | None) -> dict[str, float]:
    """How well a check tells the weaker model's wrong solutions: learnt from folds, or from another half."""
    known = Task.of(data, "gsm8k")
    assert known.traits is not None
    if test is not None:
        other = Task.of(test, "gsm8k")
        assert other.traits is not None
        check = checking.fit_check(known.traits, known.scores[:, 0], known.scores[:, 1])
        losses, scores = [checking.expected_loss(check, other.traits)], other.scores
    else:
        scores = known.scores
        losses = [
            checking.out_of_fold(known.traits, scores[:, 0], scores[:, 1], folds=5, seed=draw) for draw in range(5)
        ]
    weak, strong = scores[:, 0].tolist(), scores[:, 1].tolist()
    return {
        "gsm8k_cascade_apgr": fmean(apgr(loss.tolist(), weak, strong) for loss in losses),
        "gsm8k_cascade_cpt80": fmean(cpt(loss, scores, 0.8) for loss in losses),
    }


def cpt(loss: Scores, scores: Scores, share: float) -> float:
    """Percent of calls to the stronger model with which that share of the gap is recovered."""
    gains = np.cumsum((scores[:, 1] - scores[:, 0])[np.argsort(-loss, kind="stable")])
    return 100 * (int(np.argmax(gains >= share * gains[-1])) + 1) / len(loss)


def chinese(data: Path) -> dict[str, float]:
    """Share of Chinese exam questions that are sent to the cheapest of three tiers."""
    prompts = [record["prompt"] for record in rows(data / "routing" / "chinese_exam.jsonl.gz")]
    router = RuleRouter()
    ours = [router.decide(asked(prompt), TIERS, 2).tier == 0 for prompt in prompts]
    return {
        "chinese_cheapest_share": fmean(ours),
        "chinese_seed_cheapest_share": fmean(seed_tier(prompt) == 0 for prompt in prompts),
    }


HERE = Path(__file__).parents[1] / "data"


def alike() -> dict[str, float]:
    """How often the same request goes to the same tier: in two languages, and in other words of one."""
    router = RuleRouter()

    def tier(text: str) -> int:
        return router.decide(asked(text), TIERS, 2).tier

    lines = (HERE / "route_pairs_languages.tsv").read_text(encoding="utf-8").splitlines()
    languages = [line.split("\t") for line in lines]
    told = [json.loads(line) for line in (HERE / "neighbours.jsonl").read_text(encoding="utf-8").splitlines()]
    same = [(each["a"], each["b"]) for each in told if each["same"]]
    return {
        "language_pairs": len(languages),
        "language_pairs_same_tier": fmean(tier(first) == tier(second) for first, second in languages),
        "paraphrase_pairs": len(same),
        "paraphrase_changes_tier": fmean(tier(first) != tier(second) for first, second in same),
    }


def as_sent(schema: Any, *, words: bool) -> Any:
    """A function's schema as it was sent: in JSON's types, and for Java and JavaScript with texts for all arguments."""
    if isinstance(schema, dict):
        kind = schema.get("type")
        if words and isinstance(kind, str) and "properties" not in schema:
            return {**schema, "type": "string"}
        return {name: _TYPES.get(part, part) if name == "type" and isinstance(part, str) else as_sent(part, words=words)
                for name, part in schema.items()}  # fmt: skip
    return [as_sent(part, words=words) for part in schema] if isinstance(schema, list) else schema


_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}


def answer(result: Any) -> Reply | None:
    """What a model called, or said; None where the record was cut, so that nobody can tell."""
    if isinstance(result, str) and result.startswith('[{"'):
        try:
            result = json.loads(result)
        except ValueError:
            return None
    if not isinstance(result, list):
        return Reply(str(result), Usage(), finish_reason="stop")
    calls = tuple(ToolCall("1", name, _arguments(given)) for call in result for name, given in call.items())
    return Reply("", Usage(), calls, "tool_calls")


def _arguments(given: Any) -> Any:
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return given


def bfcl(data: Path) -> dict[str, float]:
    """Tool calls by the cheap model first, checked by their schemas alone; what does not pass goes to the strong one."""
    prices = Prices()
    prices.load()
    quality, strong, paid, alone, escalated = [], [], 0, 0, 0
    for record in rows(data / "routing" / "bfcl.jsonl.gz"):
        first, second = (record["models"][f"{name}-FC"] for name in (WEAK, STRONG))
        functions = record["functions"] if isinstance(record["functions"], list) else [record["functions"]]
        words = record["category"] in ("java", "javascript")
        request = asked(
            str(record["question"]), [as_sent(each, words=words) for each in functions], tool_choice="required"
        )
        reply = answer(first["result"])
        rejected = reply is not None and rejects(request, reply) is not None
        costs = [_cost(prices, WEAK, first), _cost(prices, STRONG, second)]
        quality.append(float(second["ok"] if rejected else first["ok"]))
        strong.append(float(second["ok"]))
        paid += costs[0] + costs[1] * rejected
        alone += costs[1]
        escalated += rejected
    return {
        "bfcl_zero_shot_saved": 1 - paid / alone,
        "bfcl_zero_shot_quality": fmean(quality),
        "bfcl_strong_quality": fmean(strong),
        "bfcl_zero_shot_escalated": escalated / len(quality),
    }


def _cost(prices: Prices, model: str, used: Mapping[str, Any]) -> int:
    return prices.cost(model, Usage(used["input_tokens"], used["output_tokens"], source="provider"), at=AT)


def imports() -> dict[str, float]:
    """CPU of importing the router over that of importing numpy, each in processes of their own."""
    seconds: dict[str, list[float]] = {"thrift_plugins.routing.learned": [], "numpy": []}
    for _ in range(5):
        for name, taken in seconds.items():
            code = f"import time; begun = time.process_time(); import {name}; print(time.process_time() - begun)"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            taken.append(float(done.stdout))
    ours, numpy = (min(taken) for taken in seconds.values())
    return {"router_import_x_numpy": ours / numpy}


def speed(data: Path) -> dict[str, float]:
    """CPU of one decision, over the three rules of the post."""
    prompts = [
        record["prompt"] for record, _ in zip(rows(data / "routing" / "mmlu.jsonl.gz"), range(500), strict=False)
    ]
    router, requests = RuleRouter(), [asked(prompt) for prompt in prompts]
    given, scores = pairs(data, "mmlu")
    few = [
        training.Example(request, dict(zip(NAMED, pair, strict=True)))
        for request, pair in zip(given[:1_500], scores.tolist(), strict=False)
    ]
    learned, tiers = training.train(few, NAMED, quality=0.9), [Tier(name, name) for name in NAMED]
    seconds = interleaved(
        {
            "learned": _each(lambda request: learned.decide(request, tiers, 1), requests),
            "rules": _each(lambda request: router.decide(request, TIERS, 2), requests),
            "seed": _each(seed_tier, prompts),
        },
        rounds=15,
        calls=500,
        clock=process_time,
    )
    return {
        "decision_x_rules": seconds["learned"] / seconds["seed"],
        "rules_decision_x_rules": seconds["rules"] / seconds["seed"],
    }


def _each(do: Callable[[Any], object], given: Sequence[Any]) -> Callable[[], object]:
    """One call after the other, on one after the other."""
    state = iter(())  # type: Iterator[Any]

    def once() -> object:
        nonlocal state
        item = next(state, None)
        if item is None:
            state = iter(given)
            item = next(state)
        return do(item)

    return once


def main() -> None:
    """Measure and report."""
    told = arguments(__doc__ or "", test=True, parts=True)
    splits = int(os.environ.get("THRIFT_BENCH_SPLITS", "200"))
    parts: dict[str, Callable[[], Mapping[str, float]]] = {
        "bfcl": lambda: bfcl(told.data),
        "mmlu": lambda: mmlu(told.data),
        "chinese": lambda: chinese(told.data),
        "alike": alike,
        "speed": lambda: speed(told.data),
        "trained": lambda: trained(told.data, draws=10),
        "cascade": lambda: cascade(told.data, told.test),
        "at_promise": lambda: at_promise(told.data, told.test),
        "promises": lambda: promises(told.data, splits),
        "imports": imports,
        "litellm": lambda: litellm(told.data),
    }
    figures: dict[str, float | int | str | None] = {}
    for name, part in parts.items():
        if not told.only or name in told.only:
            figures.update(part())
    report("routing", figures, TARGETS, told.json)


if __name__ == "__main__":
    main()
