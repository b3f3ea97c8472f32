"""What kind a request is: plain cases of each, in several languages, and texts that nobody foresaw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.kinds import ARTIFACT, LABELLED, LEAST, macro_f1, rows, trained
from thrift_plugins.caching.kinds import KINDS, Kind, decide, kind
from thrift_plugins.caching.kinds_features import features
from thrift_plugins.learning.linear import LinearModel

PROBES = {
    "general": [
        "What is the capital of Australia?",
        "How do I reset my password?",
        "Write a SQL query that counts orders per customer",
        "Explain the difference between TCP and UDP",
        "怎么重置密码",
        "法国的首都是哪里",
        "解释一下TCP和UDP的区别",
        "Wie kündige ich mein Abo?",
    ],
    "time": [
        "What's the weather in Oslo today?",
        "Where is my order?",
        "current price of bitcoin",
        "how many days until Christmas",
        "今天北京天气怎么样",
        "我的快递到哪了",
        "比特币现在多少钱",
        "Wo ist mein Paket gerade?",
    ],
    "creative": [
        "Write a poem about the sea",
        "Tell me a joke",
        "Come up with a name for my coffee shop",
        "another one",
        "写一首关于秋天的诗",
        "给我讲个笑话",
        "再来一个",
        "Erzähl mir einen Witz",
    ],
}


@pytest.mark.parametrize(("wanted", "text"), [(wanted, text) for wanted, texts in PROBES.items() for text in texts])
def test_plain_requests(wanted: str, text: str) -> None:
    assert kind(text) == wanted


@pytest.mark.parametrize("wanted", KINDS)
def test_the_question_counts_and_not_the_material_around_it(wanted: str) -> None:
    for question in PROBES[wanted][:3]:
        prompt = (
            f"Use the context.\n\nContext:\n{'Leave is 1.75 days a month. ' * 200}\n\nQuestion: {question}\nAnswer:"
        )
        assert features(prompt)[: len(features(question))] == features(question)


def test_a_quotation_is_not_the_request() -> None:
    assert features('Translate "tell me a joke"') == features('Translate "where is my order"')


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=500))
def test_any_text_has_a_kind(text: str) -> None:
    assert kind(text) in KINDS
    found = features(text)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("text", ["", " \n ", "...", "\u200b"])
def test_a_text_without_words_is_general(text: str) -> None:
    assert kind(text) == "general"


def test_the_work_on_a_long_text_is_bounded() -> None:
    assert len(features("story " * 100_000)) == len(features("story " * 100))
    assert len(features("line of words here\n" * 100_000)) < 1_000


def test_doubt_goes_to_the_side_that_costs_less() -> None:
    assert decide([0.6, 0.0, 0.4]) == "creative"
    assert decide([0.6, 0.4, 0.0]) == "time"
    assert decide([0.9, 0.05, 0.05]) == "general"


def test_neither_the_import_nor_a_call_loads_numpy() -> None:
    script = (
        "import sys; from thrift_plugins.caching.kinds import kind; kind('where is my order'); "
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_shipped_model_is_sound_and_small() -> None:
    text = ARTIFACT.read_text(encoding="utf-8")
    assert LinearModel.load(text).dump() == text
    assert len(text.encode()) < 300_000


def test_training_does_not_depend_on_the_process() -> None:
    few = rows("train")[::40]
    assert len(few) > 2 * LEAST
    assert trained(few, {}) == trained(list(few), {})


def test_the_labelled_set_is_whole() -> None:
    found = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    assert len({row["text"] for row in found}) == len(found)
    held = [row for row in found if row["part"] == "held"]
    twice = [row for row in found if row["second"] is not None]
    assert {row["part"] for row in found} == {"train", "held"}
    assert all(row["second"] in {None, *KINDS} for row in found)
    assert sum(row["second"] is not None for row in held) >= 450
    assert all(row["kind"] in KINDS for row in found)
    assert len(held) >= 450
    assert sum(row.kind == "creative" for row in rows("held")) >= 200
    counts: defaultdict[str, int] = defaultdict(int)
    for row in twice:
        counts[row["lang"]] += 1
    assert min(counts["en"], counts["zh"]) >= 600


def test_macro_f1_of_a_known_case() -> None:
    truth: list[Kind] = ["general", "time", "time", "creative"]
    general: list[Kind] = ["general"] * len(truth)
    assert macro_f1(truth, truth) == 1
    assert macro_f1(truth, general) == pytest.approx(0.4 / 3)
