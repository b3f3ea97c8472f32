"""The parts of the compression benchmark that need no ranker: JSON, protected content, condensing, money, few-shot, speed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.benchmarks.compression_data import rows
from tests.benchmarks.harness import interleaved
from thrift_plugins.compression import Compressed, Compressor, Extractor, Limit
from thrift_plugins.compression.cache_plan import CachePlan, CacheRules, Traffic
from thrift_plugins.compression.condense import coverage, rules
from thrift_plugins.compression.examples import Examples
from thrift_plugins.compression.extraction import GAP
from thrift_plugins.compression.json_forms import cheapest, read_back
from thrift_plugins.compression.json_forms.values import parse, same
from thrift_plugins.prices import Prices
from thrift_plugins.text.embed import StaticEmbedder
from thrift_plugins.types import Message, ToolCall

Measure = Callable[[str], int]

# ---- JSON ----


def json_forms(data: Path, measure: Measure) -> dict[str, Any]:
    """Tokens saved on real tool outputs against pretty JSON, and typed round trips of generated values."""
    saved: dict[str, float] = {}
    for row in rows(data, "compression/tool_json"):
        texts = [json.dumps(row["data"], indent=2, ensure_ascii=False)]
        if row["name"] == "bfcl_functions":
            texts = [json.dumps(one, indent=2, ensure_ascii=False) for one in row["data"]]
        made = [one for text in texts if (one := cheapest(text, measure)) is not None]
        saved[row["name"]] = 1 - sum(one.tokens for one in made) / sum(one.before for one in made)
    right = longer = 0
    values = list(_values(random.Random(5), 10_000))
    for value in values:
        text = json.dumps(value, indent=2)
        made = cheapest(text, measure)
        right += made is None or same(read_back(made.text, made.form), parse(text))
        longer += made is not None and made.tokens > made.before
    return {
        **{f"json_saved_{name}": share for name, share in saved.items()},
        "json_saved_median": median(saved.values()),
        "json_round_trips": right / len(values),
        "json_longer": longer,
    }


_ODD = ["", "1", "null", "true", "a,b", " x", "x ", "[1]", "{", "-", "1e5", "007", "a:b", 'say "hi"', "line\nbreak", "é", "中文", "😀", "#", "2024-01-01"]


def _values(dice: random.Random, count: int) -> Iterator[Any]:
    def leaf() -> Any:
        kind = dice.randrange(6)
        if kind == 0:
            return dice.choice(_ODD)
        if kind == 1:
            return dice.randrange(-(10**6), 10**6)
        if kind == 2:
            return round(dice.uniform(-1e3, 1e3), dice.randrange(4))
        return dice.choice([None, True, False, "word", "two words", f"id-{dice.randrange(999)}"])

    def value(depth: int) -> Any:
        kind = dice.randrange(5) if depth else 4
        if kind == 0:
            return [value(depth - 1) for _ in range(dice.randrange(4))]
        if kind == 1:
            return {dice.choice([*_ODD, "a", "b", "name"]): value(depth - 1) for _ in range(dice.randrange(4))}
        if kind == 2:
            names = dice.sample(["id", "name", "price", "tags", "to", "x y", "1"], dice.randrange(1, 5))
            return [{name: value(depth - 1) for name in names} for _ in range(dice.randrange(2, 6))]
        if kind == 3:
            names = dice.sample(["id", "name", "price"], 2)
            return {f"key{n}": {name: leaf() for name in names} for n in range(dice.randrange(2, 5))}
        return leaf()

    for _ in range(count):
        yield value(3)


# ---- protected content ----

_SENSITIVE = (
    "Never ship to {country} before {{date}} is set.", "Pay no more than $1,250.50 or 3.5 % of ${TOTAL}.", "Write to help@example.org or see https://example.org/a?b=1&c=2.",
    'He said "no refunds, ever" and meant it.', "Do not mix 5 mg with 10 mL unless a doctor agrees.", "Order #W2611340 and id 9f-8834-AB are not the same.",
    "Use `pip install -U x==1.0` only on Linux.", "<b>Bold</b> words stay <i>bold</i>.", "不得在2024年5月1日之前发货。", "彼は「行かない」と言った。",
    "The limit is 10 kg, not 12 kg; without a tag it is 0.", "Cite [3] and [12], never [7].", "Kein Zutritt ohne Ausweis Nr. 77-B.", "It isn't 7:30, it is 19:30 on 2024-05-15.",
    "Call f(x, y=1) -> None; it can't fail.", "Only members (gold or silver) may bring 2 bags.", "Keep -40 °C to +85 °C.", "SELECT * FROM t WHERE a <> 'b' AND c IS NOT NULL;",
    "Version 2.0.1-rc.3 isn't 2.0.1.", "Nobody except ops@corp.example may run it.",
)  # fmt: skip
_FRAMES = (
    "Passages:\n{passages}\n\nQuestion: {question}", "<context>\n{plain}\n</context>\n\n{question}", "Context:\n{plain}\n\nQuestion: {question}",
    "Context information is below.\n---------------------\n{plain}\n---------------------\nGiven the context, answer the query.\nQuery: {question}\nAnswer: ",
    "{passages}\n\n{question}", "<documents>\n<document>\n{plain}\n</document>\n</documents>\n{question}",
    "Rewrite this: {plain}\n\n{question}", "Sources:\n```\n{plain}\n```\n{plain}\n\nQuestion: {question}", "{question}\n\n<transcript>\n{talk}\n</transcript>", "{talk}\n\n{question}",
)  # fmt: skip


def protection(data: Path) -> dict[str, Any]:
    """What of the protected content of two real policies and 200 cases was broken."""
    compressor = Compressor(Limit(ratio=2.5))
    broken = checked = 0
    policies = [(data / "compression" / f"{name}_wiki.md").read_text() for name in ("airline", "retail")]
    dice = random.Random(7)
    for number in range(200):
        told = dice.sample(_SENSITIVE, 8)
        question = f"What about item {number}: is it {dice.choice(['not allowed', '10 kg', '{slot}', 'the 「best」'])}?"
        frame = _FRAMES[number % len(_FRAMES)]
        prompt = (
            frame.replace("{passages}", "\n\n".join(f"[{at}] Item {at}\n{told[at - 1]} {told[-at]} Filler follows here." for at in range(1, 7)))
            .replace("{plain}", " ".join(told))
            .replace("{talk}", "\n".join(f"Speaker {at}: {one}" for at, one in enumerate([*told, *told])))
            .replace("{question}", question)
        )
        rows_given = [{"id": f"A{n}", "rule": dice.choice(told), "at": n * 0.5, "ok": n % 2 == 0} for n in range(4)]
        call = ToolCall(f"c{number}", "look", {"q": question})
        asked = (
            Message("system", policies[number % 2] + dice.choice(told)),
            Message("user", prompt),
            Message("assistant", "", (call,)),
            Message("tool", json.dumps(rows_given, indent=2, ensure_ascii=False), tool_call_id=call.id),
        )
        made = compressor.compress(asked, "gpt-4o")
        broken += _broken(asked, made, question, rows_given)
        checked += 1
    for policy in policies:
        asked = (Message("user", f"<context>\n{policy}\n</context>\n\nMay I bring a second bag?"),)
        made = compressor.compress(asked, "gpt-4o")
        broken += _not_verbatim(asked[0].text, made.messages[0].text)
        checked += 1
    return {"protected_cases": checked, "protected_broken": float(broken)}


def _broken(asked: tuple[Message, ...], made: Compressed, question: str, given: Any) -> int:
    sent = made.messages
    wrong = sent[0] != asked[0] or sent[2] != asked[2] or sent[3].tool_call_id != asked[3].tool_call_id
    wrong = wrong or question not in sent[1].text or not sent[1].text.strip()
    tool = cheapest(asked[3].text, len)
    form = next((stage.detail for stage in made.stages if stage.name == "json" and stage.message == 3 and not stage.undone), "compact")
    wrong = wrong or tool is None or not same(read_back(sent[3].text, form), parse(json.dumps(given)))
    return int(wrong) + _not_verbatim(asked[1].text, sent[1].text)


def _not_verbatim(before: str, after: str) -> int:
    """Whether a line of what was sent is none of what was given, white space aside."""
    flat = " ".join(before.split())
    parts = [" ".join(one.split()) for line in after.split("\n") for one in line.split(GAP.strip())]
    return int(any(one and one not in flat for one in parts))


# ---- condensing ----


def condensing(data: Path) -> dict[str, Any]:
    """A scripted rewriter spoils rules of the policies in known ways; each must be named by the coverage map."""
    unnamed = spoilt = 0
    for name in ("airline", "retail"):
        prompt = (data / "compression" / f"{name}_wiki.md").read_text()
        known = rules(prompt)
        for seed in range(60):
            dice = random.Random(seed)
            text, touched = prompt, []
            for rule in dice.sample(known, 6):
                made = _spoil(rule.text, dice)
                if re.findall(r"\w+", made) != re.findall(r"\w+", rule.text) and text.count(rule.text) == 1 and sum(rule.text in one.text for one in known) == 1:
                    text, touched = text.replace(rule.text, made), [*touched, rule.number]
            named = coverage(prompt, text).named
            spoilt += len(touched)
            unnamed += sum(number not in named for number in touched)
    whole = coverage(prompt, prompt)
    return {"condense_spoilt": spoilt, "condense_unnamed_lost": float(unnamed), "condense_false_alarms": float(len(whole.named))}


def _spoil(rule: str, dice: random.Random) -> str:
    ways: list[Callable[[str], str]] = [
        lambda _text: "",
        lambda text: re.sub(r"\b(?:not|never|only|unless|without|cannot|no)\b ?", "", text, count=1),
        lambda text: re.sub(r"\d+", lambda found: str(int(found.group()) + 1), text, count=1),
        lambda text: text[: max(8, len(text) * 2 // 3)].rsplit(" ", 1)[0] + ".",
        lambda text: " ".join([*text.split()[len(text.split()) // 2 :], *text.split()[: len(text.split()) // 2]]),
        lambda text: re.sub(r"\bmust\b", "must not", text, count=1),
    ]
    return dice.choice(ways)(rule)


# ---- money ----

_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-flash", "deepseek-chat")
_HITS = (0.0, 0.3, 0.5, 0.8, 0.95, 1.0)


def net_dollars() -> dict[str, Any]:
    """Over a grid, what the planner's choice is billed by a simulated cache, against no compression; and bytes over turns."""
    prices, dice = Prices(), random.Random(3)
    points = worse = 0
    naive_worse = 0
    for model in _MODELS:
        rules_of = CacheRules.of(model, prices)
        for prefix in (0, 200, 900, 1_200, 3_200, 10_000):
            for turns in (1, 2, 5, 20):
                for tail, answer in ((150, 50), (1_800, 200)):
                    for hit in _HITS:
                        traffic = Traffic(prefix, tail, answer, turns, hit)
                        less, short = prefix // 4, tail // 4
                        verdict = CachePlan(rules_of).best(traffic, prefix=less, tail=short)
                        draws = [[dice.random() < hit for _ in range(turns)] for _ in range(8)]
                        none = _billed(rules_of, prefix, tail, answer, draws, cached=True)
                        own = {
                            "none": (prefix, tail, True), "tail": (prefix, short, True), "prefix": (less, tail, True), "both": (less, short, True),
                            "per request": (less, short, False),
                        }[verdict.choice]  # fmt: skip
                        points += 1
                        # the mean over hits and misses decides, not eight draws
                        worse += _expected(rules_of, *own[:2], answer, turns, hit, cached=own[2]) > _expected(
                            rules_of, prefix, tail, answer, turns, hit, cached=True
                        ) * (1 + 1e-12)
                        naive_worse += _billed(rules_of, less, short, answer, draws, cached=False) > none
    return {"net_points": points, "net_worse": float(worse), "net_worse_if_always_everything": float(naive_worse), **_same_bytes()}


def _billed(rules_of: CacheRules, prefix: int, tail: int, answer: int, draws: list[list[bool]], *, cached: bool) -> int:
    """A cache that remembers the last prompt: what of the next one is the same, and long enough, is read, or written anew."""
    total = 0
    for hits in draws:
        history = 0
        for hit in hits:
            same_bytes = prefix + history if cached else 0
            fresh = prefix + history + tail - same_bytes
            if same_bytes >= rules_of.minimum:
                total += same_bytes * (rules_of.read if hit else rules_of.write) + fresh * rules_of.input
            else:
                total += (same_bytes + fresh) * rules_of.input
            history += tail + answer
    return total


def _expected(rules_of: CacheRules, prefix: int, tail: int, answer: int, turns: int, hit: float, *, cached: bool) -> float:
    hits, misses = [[True] * turns], [[False] * turns]
    return hit * _billed(rules_of, prefix, tail, answer, hits, cached=cached) + (1 - hit) * _billed(
        rules_of, prefix, tail, answer, misses, cached=cached
    )


def _same_bytes() -> dict[str, Any]:
    """A thousand turns of fifty conversations, each of which brings passages: does each prompt begin as the one before?"""
    dice = random.Random(11)
    compressor, same_start, turns = Compressor(Limit(ratio=3)), 0, 0
    for talk in range(50):
        messages: list[Message] = [Message("system", f"You are assistant {talk}. Answer from the passages.")]
        before: tuple[Message, ...] = ()
        for turn in range(20):
            told = [f"[{at}] Topic {dice.randrange(99)}\n" + " ".join(f"Fact {dice.randrange(999)} of {at} is blue." for _ in range(4)) for at in range(1, 5)]
            messages.append(Message("user", "Passages:\n" + "\n\n".join(told) + f"\n\nQuestion: What is fact {turn} of {dice.randrange(1, 5)}?"))
            sent = compressor.compress(messages, "gpt-4o").messages
            same_start += sent[: len(before)] == before
            turns += 1
            before = sent
            messages.append(Message("assistant", f"Blue {turn}."))
            before = (*before, messages[-1])
    return {"prefix_turns": turns, "prefix_bytes_identical": same_start / turns}


# ---- few-shot ----


def fewshot(data: Path, measure: Measure) -> dict[str, Any]:
    """Whether the right label is among four chosen shots, and their tokens beside those of the plain six nearest."""
    train = list(rows(data, "distillation/banking77_train"))
    random.Random(1).shuffle(train)
    asked, pool = train[:1_000], train[1_000:]
    found: dict[str, Any] = {}
    seen: dict[str, int] = {}
    few = []
    for row in pool:
        seen[row["gold"]] = seen.get(row["gold"], 0) + 1
        if seen[row["gold"]] <= 10:
            few.append(row)
    for key, examples in (("fewshot_right", pool), ("fewshot_right_10_a_label", few)):
        texts, labels = [row["text"] for row in examples], [str(row["gold"]) for row in examples]
        chooser, embedder = Examples(texts, labels), StaticEmbedder()
        sizes = [measure(f"{text}\n{label}\n") for text, label in zip(texts, labels, strict=True)]
        table = embedder.embed(texts)
        right = plain = ours = theirs = 0
        for row in asked:
            chosen = chooser.choose(row["text"], 4)
            nearest = np.argsort(-(table @ embedder.embed([row["text"]])[0]), kind="stable")[:6].tolist()
            right += any(labels[at] == str(row["gold"]) for at in chosen)
            plain += any(labels[at] == str(row["gold"]) for at in nearest)
            ours += sum(sizes[at] for at in chosen)
            theirs += sum(sizes[at] for at in nearest)
        found |= {key: right / len(asked), f"{key}_plain_6": plain / len(asked)}
        found["fewshot_tokens_share" if examples is pool else "fewshot_tokens_share_10_a_label"] = ours / theirs
    return found


# ---- speed ----


def speed(data: Path, measure: Measure) -> dict[str, Any]:
    """The whole pipeline over one count of the same prompt by tiktoken, both on the same prompts in turn."""
    prompts = []
    for row in list(rows(data, "compression/nq20"))[:40]:
        told = "\n\n".join(f"[{at}] {one['title']}\n{one['text']}" for at, one in enumerate(row["passages"], 1))
        prompts.append(f"Passages:\n{told}\n\nQuestion: {row['question']}")
    extractor = Extractor()
    turn = [0, 0]

    def ours() -> object:
        turn[0] += 1
        compressor = Compressor(Limit(ratio=4), extractor=extractor)  # one that remembers nothing
        return compressor.compress((Message("user", prompts[turn[0] % len(prompts)]),), "gpt-4o")

    def theirs() -> object:
        turn[1] += 1
        return measure(prompts[turn[1] % len(prompts)])

    for _ in prompts:
        ours()
    seconds = interleaved({"ours": ours, "theirs": theirs}, rounds=15, calls=len(prompts))
    return {"compress_x_tiktoken": seconds["ours"] / seconds["theirs"], "compress_ms": seconds["ours"] * 1e3}
