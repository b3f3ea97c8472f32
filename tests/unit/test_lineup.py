"""Tiers in a row: named, told apart, one of them the baseline."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from thrift_plugins.errors import ConfigError
from thrift_plugins.lineup import lineup
from thrift_plugins.types import Tier


@dataclass
class Made:
    facts: Tier


def make(model: str, name: str | None) -> Made:
    return Made(Tier(name or model, model))


@pytest.mark.parametrize(("baseline", "index"), [(-1, 2), (0, 0), (1, 1), (-3, 0), ("b", 1), ("c", 2)])
def test_the_baseline_by_place_or_name(baseline: int | str, index: int):
    tiers, found = lineup(["a", "b", "c"], None, baseline, make)
    assert [tier.facts.name for tier in tiers] == ["a", "b", "c"]
    assert found == index


def test_names_tell_two_settings_of_one_model_apart():
    tiers, _ = lineup(["a", "a"], ["cold", "warm"], "cold", make)
    assert [tier.facts for tier in tiers] == [Tier("cold", "a"), Tier("warm", "a")]


@pytest.mark.parametrize(
    ("models", "names", "baseline", "says"),
    [
        ([], None, -1, r"at least one tier is needed: tiers=\[your_model\]"),
        (["a", "a"], None, -1, r"two tiers are called 'a': tell them apart with names=\[...\]"),
        (["a", "b"], ["x", "x"], -1, "two tiers are called 'x'"),
        (["a", "b"], ["x"], -1, "2 tiers but 1 names"),
        (["a", "b"], [], -1, "2 tiers but 0 names"),
        (["a", "b"], None, 2, "baseline 2 is out of range: there are 2 tiers"),
        (["a", "b"], None, -3, "out of range"),
        (["a", "b"], None, "z", "baseline 'z' is not a tier; the tiers are a, b"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(models, names, baseline, says):
    with pytest.raises(ConfigError, match=says):
        lineup(models, names, baseline, make)
