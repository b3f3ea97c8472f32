"""Routing on recorded answers of real models, by the benchmark's own functions; skipped without the data."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.benchmarks.routing import apgr, as_sent, bfcl, chinese

DATA = Path(os.environ.get("THRIFT_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "routing").is_dir(), reason="no recorded data: set THRIFT_DATA")


def test_a_router_that_draws_lots_recovers_half_of_the_gap() -> None:
    chance = random.Random("data")
    weak = [float(chance.random() < 0.6) for _ in range(4_000)]
    strong = [float(chance.random() < 0.8) for _ in weak]
    assert apgr([0.0] * len(weak), weak, strong) == pytest.approx(0.5, abs=0.05)
    oracle = [after - before for before, after in zip(weak, strong, strict=True)]
    assert apgr(oracle, weak, strong) > 1


def test_a_schema_as_it_was_sent() -> None:
    function = {
        "name": "f",
        "parameters": {"type": "dict", "properties": {"x": {"type": "float"}, "y": {"type": "dict"}}},
    }
    sent = as_sent(function, words=False)["parameters"]
    assert sent == {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "object"}}}
    words = as_sent(function, words=True)["parameters"]
    assert words == {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}}}


@needs_data
def test_schemas_alone_keep_the_strong_models_quality() -> None:
    figures = bfcl(DATA)
    assert figures["bfcl_zero_shot_quality"] >= figures["bfcl_strong_quality"]
    assert figures["bfcl_zero_shot_saved"] > 0.7


@needs_data
def test_exam_questions_in_chinese_are_no_small_talk() -> None:
    assert chinese(DATA)["chinese_cheapest_share"] <= 0.1
