"""What wrapped models share: built once from a config, and doing the effects of the flows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from thrift_plugins import CacheConfig, Config, ConfigError, LedgerConfig, RoutingConfig, Runtime, route, runtime
from thrift_plugins.effects import Append, Effect, Keep, LookUp
from thrift_plugins.ledger import Cost, Event
from thrift_plugins.perform import aperform, perform
from thrift_plugins.routing import RuleRouter
from thrift_plugins.runtime import chosen_runtime, default_runtime
from thrift_plugins.scope import Recording, replaying
from thrift_plugins.stores import MemoryEventLog, MemoryStore, SQLiteStore
from thrift_plugins.types import NO_USAGE, Message, Request, Scope, Usage

MEMORY = Config(store="memory:")


def asked(of: Runtime, **told: object) -> Request:
    given = {"dialect": "test", "model": "m", "identities": ["a", "b"], "messages": [Message("user", "Hi")], "params": {},
             "scope": Scope(), **told}  # fmt: skip
    return of.request(**given)  # type: ignore[arg-type]


def test_a_request_is_now_and_has_an_id_of_its_own():
    made = Runtime(MEMORY, clock=lambda: 1_700_000_000.5)
    one, other = asked(made), asked(made)
    assert one.at == 1_700_000_000.5
    assert (one.identity, one.cacheable, one.forced) == ("test a b", True, None)
    assert one.id != other.id
    assert len(one.id) == 36


def test_ids_sort_by_time():
    now = iter([1.0, 2.0, 1_700_000_000.0, 1_700_000_000.000002])
    made = Runtime(MEMORY, clock=lambda: next(now))
    ids = [asked(made).id for _ in range(4)]
    assert ids == sorted(ids)


def test_a_tier_without_identity_makes_the_call_uncacheable():
    assert not asked(Runtime(MEMORY), identities=["a", None]).cacheable
    assert not asked(Runtime(MEMORY), cacheable=False).cacheable


def test_the_block_s_route_unless_the_call_has_one():
    made = Runtime(MEMORY)
    with route("big"):
        assert asked(made).forced == "big"
        assert asked(made, forced="small").forced == "small"


def test_a_replay_keeps_the_recorded_call_s_id():
    known = Usage(5, 6, source="replayed")
    with replaying(Recording("r7", known)):
        request = asked(Runtime(MEMORY))
    assert (request.id, request.baseline_usage) == ("r7", known)


def event() -> Event:
    return Event("e1", 1.0, "test", Scope(), "answered", Cost("m", NO_USAGE))


async def test_effects():
    made = Runtime(MEMORY)

    async def blocking(effect: Effect) -> object:
        return perform(made, effect)

    for number, do in enumerate((blocking, partial(aperform, made))):
        key = f"{{-}}:{number}"
        assert await do(LookUp(key)) is None
        assert await do(Keep(key, b"value", 60.0, (), 0.0, None))
        assert await do(LookUp(key)) == b"value"
        assert await do(Append(event())) is None
    assert made.ledger is not None
    assert [entry["id"] for entry in made.ledger.records()] == ["e1"]
    made.close()
    made.close()


def test_a_tactic_that_is_off_is_absent():
    off = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), routing=RoutingConfig(enabled=False),
                         ledger=LedgerConfig(enabled=False)))  # fmt: skip
    assert (off.engine.cache, off.engine.router, off.ledger) == (None, None, None)
    assert perform(off, Append(event())) is None
    off.close()


def test_settings_reach_the_policies():
    config = Config(store="memory:", cache=CacheConfig(ttl=7, max_temperature=1), routing=RoutingConfig(caution=0.9))
    made = Runtime(config)
    assert made.engine.cache is not None
    assert (made.engine.cache.ttl, made.engine.cache.max_temperature) == (7, 1)
    assert made.engine.router == RuleRouter(caution=0.9)


def test_parts_of_the_app_s_own():
    store, log, router = MemoryStore(), MemoryEventLog(), RuleRouter()
    made = Runtime(MEMORY, store=store, event_log=log, router=router, prices={"mine": {"input": 1, "output": 2}})
    assert (made.store, made.engine.router) == (store, router)
    assert made.prices.knows("mine")
    perform(made, Append(event()))
    made.close()
    assert len(list(log.rows())) == 1


def test_prices_in_code_go_before_those_in_the_config():
    config = Config(store="memory:", prices={"mine": {"input": 1, "output": 1}, "other": {"input": 3, "output": 3}})
    made = Runtime(config, prices={"mine": {"input": 2, "output": 2}})
    assert made.prices.cost("mine", Usage(1_000_000)) == 2_000_000_000
    assert made.prices.cost("other", Usage(1_000_000)) == 3_000_000_000


def test_a_file_of_settings(tmp_path: Path):
    path = tmp_path / "thrift.toml"
    path.write_text(f'store = "{tmp_path}/cache.db"\n[cache]\nttl = 5\n')
    made = Runtime(path)
    assert isinstance(made.store, SQLiteStore)
    perform(made, Append(event()))
    assert made.ledger is not None
    assert made.ledger.flush()
    made.close()
    again = Runtime(str(path))
    assert again.ledger is not None
    assert len(list(again.ledger.records())) == 1, "the ledger is in a file, too"
    again.close()


def test_bad_prices_are_an_error_at_once():
    with pytest.raises(ConfigError):
        Runtime(Config(store="memory:", prices={"mine": {"inptu": 1, "output": 2}}))


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process that has no runtime yet, in an empty folder, with a home of its own."""
    monkeypatch.setattr(runtime, "_default", None)
    monkeypatch.setenv("THRIFT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_models_share_one_runtime_for_the_process(process: Path):
    made = default_runtime()
    assert default_runtime() is made
    assert chosen_runtime(None, None) is made
    assert (process / "home").is_dir()
    made.close()


def test_it_reads_the_folder_s_settings(process: Path):
    (process / "thrift.toml").write_text('store = "memory:"\n[cache]\nttl = 3\n')
    made = default_runtime()
    assert made.config.cache.ttl == 3
    made.close()


def test_a_model_s_own_runtime(process: Path):
    made = Runtime(MEMORY)
    assert chosen_runtime(made, None) is made
    own = chosen_runtime(None, MEMORY)
    assert own is not made
    with pytest.raises(ConfigError, match="give runtime= or config=, not both"):
        chosen_runtime(made, MEMORY)
    assert not (process / "home").exists(), "nothing of the process's was touched"


def test_with_nothing_configured_a_home_that_cannot_be_used_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    home = tmp_path / "home"
    home.write_text("a file where a folder should be")
    monkeypatch.setenv("THRIFT_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "_default", None)
    made = default_runtime()
    assert isinstance(made.store, MemoryStore)
    assert "in memory only" in made.engine.standing[0]
    assert "in memory only" in caplog.text
    made.close()
