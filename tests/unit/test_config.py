"""Settings from code and from TOML, and what is said about those that cannot work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from thrift_plugins import (
    CacheConfig,
    Config,
    ConfigError,
    FeatureConfig,
    LedgerConfig,
    RoutingConfig,
    SemanticConfig,
)

WHOLE = """
store = "redis://cache.internal:6379/0"
[cache]
enabled = true
ttl = 3600
max_temperature = 0
ttl_time_sensitive = 60
stale = 5
kinds = false
fold = false
single_flight = false
flight_wait = 1
read_only_tools = ["gadget"]
max_bytes = 1_048_576
[cache.features.faq]
ttl = 600
stale = 0
kind = "general"
tool_calls = "all"
max_temperature = 1
[cache.features."check out"]
enabled = false
[cache.semantic]
enabled = true
max_errors = 0.01
shadow = 0
embedder = "static"
[routing]
enabled = false
caution = 1
[ledger]
url = "memory:"
capacity = 7
[prices."my-model"]
input = 0.2
output = 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "thrift.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults():
    config = Config()
    assert config == Config(
        "", CacheConfig(True, 86_400.0, 0.1), RoutingConfig(True, 0.5), LedgerConfig(True, "", 20_000), {}
    )
    with pytest.raises(FrozenInstanceError):
        config.store = "x"  # type: ignore[misc]


def test_none_leaves_the_ledger_on():
    config = Config.none()
    assert (config.cache.enabled, config.routing.enabled, config.ledger.enabled) == (False, False, True)


def test_a_whole_file(tmp_path: Path):
    assert Config.load(written(tmp_path, WHOLE)) == Config(
        "redis://cache.internal:6379/0",
        CacheConfig(
            ttl=3600.0,
            max_temperature=0.0,
            ttl_time_sensitive=60.0,
            stale=5.0,
            kinds=False,
            fold=False,
            single_flight=False,
            flight_wait=1.0,
            read_only_tools=("gadget",),
            max_bytes=2**20,
            features={
                "faq": FeatureConfig(ttl=600.0, stale=0.0, kind="general", tool_calls="all", max_temperature=1.0),
                "check out": FeatureConfig(enabled=False),
            },
            semantic=SemanticConfig(enabled=True, max_errors=0.01, shadow=0.0),
        ),
        RoutingConfig(enabled=False, caution=1.0),
        LedgerConfig(url="memory:", capacity=7),
        {"my-model": {"input": 0.2, "output": 1}},
    )
    assert Config.load(str(written(tmp_path, ""))) == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[cache]\nttll = 3", r"\[?.*cache.*has no setting 'ttll'. Did you mean 'ttl'\?"),
        ("stroe = 'x'", r"has no setting 'stroe'. Did you mean 'store'\?"),
        ("[quantum]\nx = 1", "has no setting 'quantum'. Known keys: batch, budget_url, budgets, cache, compression, distillation, ledger, output, prices, prices_file, quality, routing, store"),
        ("[cache]\nttl = '3'", r"cache.ttl must be of type float, not str$"),
        ("[cache]\nenabled = 1", "cache.enabled must be of type bool, not int$"),
        ("[ledger]\ncapacity = 1.5", "ledger.capacity must be of type int, not float"),
        ("[ledger]\ncapacity = true", "ledger.capacity must be of type int, not bool"),
        ("[cache]\nttl = true", "cache.ttl must be of type float, not bool"),
        ("store = 5", "store must be of type str, not int$"),
        ("store = {a = 1}", r"store must be of type str, not dict"),
        ("cache = true", "cache must be a table, not bool"),
        ("prices = 3", "prices must be"),
        ("[prices]\nm = 3", r"prices\['m'\] must be a table of a model's rates, not int"),
        ("[prices.M]\ninput = 1\n[prices.m]\ninput = 2", "prices has both 'M' and 'm', which are one model"),
        ("[cache]\nttl = 0", "cache.ttl must be more than 0 seconds, not 0.0; .*cache.enabled = false"),
        ("[cache]\nttl = nan", "cache.ttl must be more than 0"),
        ("[routing]\ncaution = 0", "routing.caution must be above 0 and at most 1, not 0.0"),
        ("[routing]\ncaution = 1.5", "routing.caution"),
        ("[ledger]\ncapacity = 0", "ledger.capacity must be 1 or more, not 0"),
        ("= 3", "is not TOML: .*line 1"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(tmp_path: Path, text: str, says: str):
    with pytest.raises(ConfigError, match=says) as caught:
        Config.load(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.toml: No such file"):
        Config.load(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        Config.load(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        Config.load(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CacheConfig(ttl="3600"), "cache.ttl must be of type float, not str"),  # type: ignore[arg-type]
        (lambda: CacheConfig(enabled="false"), "cache.enabled must be of type bool, not str"),  # type: ignore[arg-type]
        (lambda: CacheConfig(max_temperature="hot"), "cache.max_temperature must be of type float"),  # type: ignore[arg-type]
        (lambda: LedgerConfig(capacity="5"), "ledger.capacity must be of type int"),  # type: ignore[arg-type]
        (lambda: RoutingConfig(caution=True), "routing.caution must be of type float, not bool"),
        (lambda: CacheConfig(ttl_time_sensitive=0), "cache.ttl_time_sensitive must be more than 0 seconds"),
        (lambda: CacheConfig(stale=-1), "cache.stale must be 0 or more"),
        (lambda: CacheConfig(flight_wait=float("nan")), "cache.flight_wait must be 0 or more"),
        (lambda: CacheConfig(max_bytes=9), "cache.max_bytes must be 1048576 or more"),
        (lambda: CacheConfig(read_only_tools="x"), "cache.read_only_tools must be a list of strings"),
        (lambda: CacheConfig(read_only_tools=[1]), "cache.read_only_tools must be a list of strings"),  # type: ignore[list-item]
        (
            lambda: CacheConfig(features={"faq": {"tll": 5}}),
            "cache.features.faq has no setting 'tll'. Did you mean 'ttl'",
        ),  # type: ignore[dict-item]
        (lambda: CacheConfig(features={"faq": 5}), "cache.features.faq must be a table, not int"),  # type: ignore[dict-item]
        (lambda: FeatureConfig(ttl=0), "ttl must be more than 0 seconds"),
        (lambda: FeatureConfig(stale=-1), "stale must be 0 or more"),
        (lambda: FeatureConfig(max_temperature=-1), "max_temperature must be 0 or more"),
        (lambda: CacheConfig(max_temperature=float("nan")), "cache.max_temperature must be 0 or more"),
        (lambda: FeatureConfig(ttl="x"), "ttl must be of type float, not str"),  # type: ignore[arg-type]
        (lambda: FeatureConfig(kind="art"), "kind must be one of '', 'general', 'time', 'creative', not 'art'"),  # type: ignore[arg-type]
        (lambda: FeatureConfig(kind=True), "kind must be one of .* not True"),  # type: ignore[arg-type]
        (lambda: FeatureConfig(tool_calls="some"), "tool_calls must be one of 'read', 'all', 'none'"),  # type: ignore[arg-type]
        (lambda: SemanticConfig(embedder="openai"), "semantic.embedder must be one of 'static', not 'openai'"),  # type: ignore[arg-type]
        (lambda: SemanticConfig(max_errors=float("nan")), "max_errors must be above 0 and below 1"),
        (lambda: SemanticConfig(max_errors=0), "max_errors must be above 0 and below 1"),
        (lambda: SemanticConfig(shadow=2), "shadow must be 0 to 1"),
        (lambda: Config(cache={"ttl": 5}), "cache must be of type CacheConfig, not dict"),  # type: ignore[arg-type]
        (lambda: Config(prices={"m": 3}), r"prices\['m'\] must be a table"),  # type: ignore[dict-item]
    ],
)
def test_settings_from_code_are_checked_too(make: Callable[[], object], says: str):
    with pytest.raises(ConfigError, match=says):
        make()


def test_a_path_is_a_store(tmp_path: Path):
    assert Config(store=tmp_path / "thrift.db").store == str(tmp_path / "thrift.db")  # type: ignore[arg-type]


def test_a_password_is_not_shown():
    config = Config("redis://:s3cr3t@cache/0", ledger=LedgerConfig(url="redis://:s3cr3t@cache/1"))
    assert "s3cr3t" not in repr(config)


def test_routing_of_a_feature(tmp_path: Path):
    text = """
        [routing]
        quality = 0.98
        twice = true
        [routing.features]
        checkout = "gpt-4o"
        [routing.features.law]
        quality = 1
        confidence = 0.99
        [routing.features.chat]
        twice = false
        tier = "mini"
    """
    routing = Config.load(written(tmp_path, text)).routing
    assert [routing.tier(name) for name in ("checkout", "law", "chat", "else")] == ["gpt-4o", "", "mini", ""]
    told = [(own.quality, own.confidence, own.twice) for own in map(routing.of, ("checkout", "law", "chat"))]
    assert told == [(0.98, None, True), (1.0, 0.99, True), (0.98, None, False)]


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({"faq": 3}, "routing.features.faq must be the name of a tier or a table, not int"),
        ({"faq": {"qualty": 1}}, "has no setting 'qualty'"),
        ({"faq": {"quality": 2}}, "routing.features.faq: routing.quality must be above 0"),
        ({"faq": {"confidence": 0.2}}, "routing.features.faq: routing.confidence must be 0.5 to below 1"),
        ({"faq": {"twice": 1}}, "routing.features.faq: routing.twice must be of type bool"),
        ({"faq": {"tier": 1}}, "routing.features.faq.tier must be the name of a tier"),
        ({"faq": {"caution": 0}}, "routing.features.faq: routing.caution must be above 0"),
        ({"*": {"twice": True}}, "what holds for every feature stands in .routing. itself"),
    ],
)
def test_routing_of_a_feature_that_cannot_be(features: Any, says: str):
    with pytest.raises(ConfigError, match=says):
        RoutingConfig(features=features)
