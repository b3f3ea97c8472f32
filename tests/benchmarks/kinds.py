"""How well `caching.kinds` tells requests apart: `python -m tests.benchmarks.kinds`, and `--train` to fit it anew.

The held-out part of `tests/data/cache_kinds.jsonl` against a baseline of regular expressions. `--train` sees the other
part alone; `--folds` cross-validates on that part, which is what the features and the penalty were chosen by.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.harness import interleaved, report
from thrift_plugins.caching import kinds
from thrift_plugins.caching.kinds import KINDS, Kind, decide, kind
from thrift_plugins.caching.kinds_features import features
from thrift_plugins.learning.fit import Floats, fit
from thrift_plugins.learning.linear import LinearModel
from thrift_plugins.text.embed import StaticEmbedder

LABELLED = Path(__file__).parents[1] / "data" / "cache_kinds.jsonl"
ARTIFACT = Path(kinds.__file__).with_name("kinds.json")
L2, LEAST, FOLDS = 0.7, 2, 5
LENGTH = 0.6
"""Of a word's vector: how much what is learnt of a word holds for those of like meaning."""
SHORT = 80
"""Characters of a short question."""

_CREATIVE = re.compile(
    r"\b(?:poems?|haiku|sonnet|limerick|lyrics|stor(?:y|ies)|tale|jokes?|riddle|slogans?|taglines?|brainstorm|imagine|invent|"
    r"role-?play|pretend|random(?:ly)?|caption|headlines?|names? (?:for|ideas)|come up with|make up|another one|try again|"
    r"creative|funny|funnier|write (?:a|an|me) (?:song|speech|toast|letter|scene|post|tweet|ad))\b|"
    r"写[一]?[首篇个段封]|诗|故事|笑话|段子|口号|广告[语词]|文案|标题|起名|取名|名字|头脑风暴|扮演|假装|随机|随便|"
    r"再来|换一?个|另一个|编[一个]|虚构|创意|想[一几个]",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|now|current(?:ly)?|latest|newest|right now|this (?:week|month|morning|weekend)|"
    r"so far|at the moment|these days|still|yet|weather|forecast|news|stock|price of|score|status|my (?:order|package|balance|refund)|"
    r"open|available|in stock|how (?:many|much) .* left|until|delayed|next (?:bus|train|flight))\b|"
    r"今天|今晚|明天|昨天|昨晚|现在|目前|最新|最近|当前|这周|本周|这个月|还有多久|还剩|天气|股价|汇率|新闻|比分|到哪|到了吗|"
    r"了吗|了没|有货|库存|余额|几点|营业",
    re.IGNORECASE,
)


_WORD = re.compile(r"[a-z]{2,}")


class Row(NamedTuple):
    """One labelled request."""

    text: str
    kind: Kind
    lang: str


def rows(part: str) -> list[Row]:
    """The requests of a part, train or held. Where two labels differ the costlier mistake is ruled out: `KINDS` rise."""
    found = map(json.loads, LABELLED.read_text(encoding="utf-8").splitlines())
    return [
        Row(row["text"], KINDS[max(KINDS.index(row["kind"]), KINDS.index(row["second"] or row["kind"]))], row["lang"])
        for row in found
        if row["part"] == part
    ]


def meanings() -> dict[str, Floats]:
    """The directions of some ten thousand words, after wordllama: the model needs them when it is made, and only then."""
    found = importlib.util.find_spec("wordllama")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("training needs wordllama: pip install 'thrift-plugins[semantic]'", name="wordllama")
    listed = Path(found.origin).parent / "tokenizers" / "l2_supercat_tokenizer_config.json"
    pieces = json.loads(listed.read_text(encoding="utf-8"))["model"]["vocab"]
    words = {piece[1:].lower() for piece in pieces if piece[:1] == "\u2581"}  # which stands for the space before a word
    embedder = StaticEmbedder(learnt=True)
    return {word: LENGTH * embedder.word(word).astype(float) for word in sorted(words) if _WORD.fullmatch(word)}


def trained(examples: Sequence[Row], vectors: Mapping[str, Floats]) -> LinearModel:
    """The model that these examples give, and `vectors` of words."""
    asked = [features(row.text) for row in examples]
    return fit(asked, [row.kind for row in examples], KINDS, l2=L2, least=LEAST, vectors=vectors)


def by_words(text: str) -> Kind:
    """The baseline: what keyword rules say."""
    if _CREATIVE.search(text):
        return "creative"
    return "time" if _TIME.search(text) else "general"


def macro_f1(truth: Sequence[Kind], said: Sequence[Kind]) -> float:
    """The mean over the kinds of the harmonic mean of precision and recall."""
    total = 0.0
    for each in KINDS:
        right = sum(a == b == each for a, b in zip(truth, said, strict=True))
        total += 2 * right / max(1, sum(a == each for a in truth) + sum(b == each for b in said))
    return total / len(KINDS)


def quality(found: Sequence[Row], said: Sequence[Kind], name: str) -> dict[str, float]:
    """Macro-F1 by language, and how many creative requests would be kept."""
    figures: dict[str, float] = {}
    for lang in ("en", "zh", "all"):
        chosen = [index for index, row in enumerate(found) if lang in {"all", row.lang}]
        truth: list[Kind] = [found[index].kind for index in chosen]
        figures[f"{name}_macro_f1_{lang}"] = macro_f1(truth, [said[index] for index in chosen])
    prefix = "" if name == "policy" else f"{name}_"
    figures[f"{prefix}creative_cached"] = sum(
        row.kind == "creative" != answer for row, answer in zip(found, said, strict=True)
    )
    others = [answer for row, answer in zip(found, said, strict=True) if row.kind != "creative"]
    figures[f"{prefix}others_taken_for_creative"] = others.count("creative")
    return figures


def cross_validated(examples: Sequence[Row]) -> dict[str, float]:
    """The same figures on the train part, each fold told by a model that did not see it."""
    folds = [hashlib.blake2b(row.text.encode(), digest_size=1).digest()[0] % FOLDS for row in examples]
    said: dict[int, Kind] = {}
    vectors = meanings()
    for fold in range(FOLDS):
        model = trained([row for row, at in zip(examples, folds, strict=True) if at != fold], vectors)
        for index, row in enumerate(examples):
            if folds[index] == fold:
                said[index] = decide(model.probabilities(features(row.text)))
    return quality(examples, [said[index] for index in range(len(examples))], "folds")


def speed(found: Sequence[Row]) -> dict[str, float]:
    """Microseconds for a short question, and as a multiple of the baseline's."""
    texts = [row.text for row in found if len(row.text) <= SHORT]

    def over(judge: Callable[[str], Kind]) -> Callable[[], Kind]:
        turn = cycle(texts)
        return lambda: judge(next(turn))

    times = interleaved({"kind": over(kind), "regex": over(by_words)}, rounds=30, calls=len(texts))
    return {"kind_us": times["kind"] * 1e6, "kind_x_regex": times["kind"] / times["regex"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell kinds of requests apart.")
    parser.add_argument("--data", type=Path, help="not used: the labelled set is part of the repository")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--train", action="store_true", help="fit the model anew and write it")
    parser.add_argument(
        "--folds", action="store_true", help="cross-validate on the train part, and leave the other alone"
    )
    options = parser.parse_args()
    if options.train:
        ARTIFACT.write_text(trained(rows("train"), meanings()).dump(), encoding="utf-8")
        return
    if options.folds:
        report("kinds, cross-validated", cross_validated(rows("train")), {}, options.json)
        return
    held = rows("held")
    figures: dict[str, float | int | str | None] = {
        **quality(held, [kind(row.text) for row in held], "policy"),
        "creative_held_out": sum(row.kind == "creative" for row in held),
        **quality(held, [by_words(row.text) for row in held], "regex"),
        **speed(held),
    }
    report("kinds of requests, held out", figures, {"creative_cached": 0}, options.json)


if __name__ == "__main__":
    main()
