"""Budgets in an app: dollars, tenants, runs, outages, dead processes, and what the ledger says of each."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI
from typer.testing import CliRunner

from tests.cli_kit import stranger
from thrift_plugins import CacheConfig, Config, Runtime, run, scope
from thrift_plugins.budgeting import Budget
from thrift_plugins.cli import app
from thrift_plugins.errors import BudgetExceeded, ConfigError, StoreUnavailable, UnknownModelPrice
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.stores import MemoryAccounts, MemoryEventLog
from thrift_plugins.stores.accounts import Accounts, Grant, Hold, Orphan, Standing
from thrift_plugins.testing import Answer, Fault, LoopbackProvider

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=40) as made:
        yield made


class App:
    """One wrapped model, with its ledger at hand."""

    def __init__(
        self, provider: LoopbackProvider, *budgets: Budget, models: Sequence[str] = (STRONG,), **given: Any
    ) -> None:
        self.log = MemoryEventLog()
        config = Config(store="memory:", cache=CacheConfig(enabled=False), budgets=budgets)
        self.runtime = Runtime(config, event_log=self.log, **given)
        self.model = ThriftChatModel(
            tiers=[
                ChatOpenAI(model=name, base_url=provider.base_url, api_key="k", max_retries=0, max_tokens=100)
                for name in models
            ],
            runtime=self.runtime,
        )

    def ask(self, text: str = "How is the weather?", **config: Any) -> str:
        return str(self.model.invoke(text, config or None).content)

    def asks_until_refused(self) -> int:
        """How many more calls there is room for."""
        for made in range(100):
            try:
                self.ask()
            except BudgetExceeded:
                return made
        raise AssertionError("never refused")

    def events(self) -> list[Mapping[str, Any]]:
        self.runtime.close()
        return [orjson.loads(body) for _, _, body in self.log.rows()]


def test_dollars(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.usd("day", "0.01", window="day"))
    app.ask()
    [left] = app.runtime.budgets()
    [event] = app.events()
    assert left.used == event["bill"]["actual"] > 0
    assert left.held == 0
    assert left.left == 10_000_000 - left.used
    told = event["extra"]["budget"]
    assert told["settled"] == {"day": left.used}
    assert told["reserved"]["day"] > left.used


def test_a_refusal_is_in_the_ledger(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.usd("tiny", "0.000001"))
    with pytest.raises(BudgetExceeded, match="'tiny' refuses"):
        app.ask()
    [event] = app.events()
    assert (event["outcome"], event["error"]) == ("error", "BudgetExceeded")
    assert provider.requests == ()


def test_each_tenant_has_its_own(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.tokens("each", 200, per=("tenant",)))
    for tenant in ("a", "b"):
        with scope(tenant=tenant):
            app.ask()
            assert app.asks_until_refused() < 5
    with scope(tenant="c"):
        assert app.runtime.budgets()[0].used == 0


def test_several_at_once_are_all_or_nothing(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.tokens("wide", 10_000), Budget.tokens("narrow", 10, per=("user",)))
    with pytest.raises(BudgetExceeded, match="'narrow'"):
        app.ask()
    assert [left.used + left.held for left in app.runtime.budgets()] == [0, 0]


def test_a_run_has_its_own(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.tokens("run", 150, window="run"))
    with run("first"):
        app.ask()
        assert app.runtime.budgets()[0].used > 0
        assert app.asks_until_refused() < 5
    with run():
        app.ask()
    app.ask(metadata={"thrift_run": "third"})
    assert app.runtime.budgets(run="third")[0].used > 0


def test_a_soft_budget_says_so_and_lets_go(provider: LoopbackProvider, caplog: pytest.LogCaptureFixture) -> None:
    app = App(provider, Budget.tokens("soft", 50, mode="soft", warn=(0.5, 1.0)))
    with caplog.at_level(logging.WARNING, "thrift_plugins"):
        for _ in range(3):
            app.ask()
    assert sum("budget 'soft'" in line for line in caplog.messages) == 1
    assert "budget: soft exceeded, soft" in app.events()[-1]["reasons"]
    assert [request.max_tokens for request in provider.requests] == [100] * 3


def test_a_model_without_a_price(provider: LoopbackProvider) -> None:
    with pytest.raises(UnknownModelPrice, match="nobody-knows-it"):
        App(provider, Budget.usd("hard", 1), models=["nobody-knows-it"]).ask()
    assert provider.requests == ()
    soft = App(provider, Budget.usd("soft", 1, mode="soft"), models=["nobody-knows-it"])
    soft.ask()
    assert any("dollars not counted" in line for line in soft.events()[0]["fallbacks"])


def test_the_herd(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.tokens("one", 180))
    ready = threading.Barrier(200)

    def call(_: int) -> bool:
        ready.wait()
        try:
            app.ask()
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(200) as pool:
        paid = sum(pool.map(call, range(200)))
    assert paid >= 1
    [left] = app.runtime.budgets()
    assert left.used <= 180
    assert left.held == 0
    assert sum(row.input_tokens + row.output_tokens for row in provider.billed) == left.used


class Down(MemoryAccounts):
    """Accounts that can be switched off."""

    off = False

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        if self.off:
            raise StoreUnavailable("down")
        return super().reserve(lease, holds, ttl)

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        if self.off:
            raise StoreUnavailable("down")
        return super().settle(lease, amounts)

    def reap(self, limit: int = 100) -> list[Orphan]:
        if self.off:
            raise StoreUnavailable("down")
        return super().reap(limit)


@pytest.mark.parametrize(
    ("way", "told"), [("refuse", None), ("allow", "not counted"), ("local", "a local share is spent")]
)
def test_while_the_accounts_are_down(provider: LoopbackProvider, way: Any, told: str | None) -> None:
    accounts = Down()
    app = App(provider, Budget.tokens("b", 10_000, on_outage=way), accounts=accounts)
    app.ask()
    accounts.off = True
    if told is None:
        with pytest.raises(BudgetExceeded, match="its accounts are down"):
            app.ask()
        assert len(provider.requests) == 1
        return
    app.ask()
    assert len(provider.requests) == 2
    assert any(told in line for line in app.events()[-1]["fallbacks"])


def test_what_was_spent_alone_is_paid_back(provider: LoopbackProvider) -> None:
    accounts = Down()
    app = App(provider, Budget.tokens("b", 10_000, on_outage="local"), accounts=accounts)
    app.ask()
    accounts.off = True
    app.ask()
    accounts.off = False
    app.ask()
    assert app.runtime.budgets()[0].used == sum(row.input_tokens + row.output_tokens for row in provider.billed)


def test_accounts_that_were_never_seen_stop_no_soft_budget(provider: LoopbackProvider) -> None:
    accounts = Down()
    accounts.off = True
    app = App(provider, Budget.tokens("b", 10_000, mode="soft", on_outage="local"), accounts=accounts)
    app.ask()
    [event] = app.events()
    assert any("a local share is spent" in line for line in event["fallbacks"])
    assert not any("budget: b" in line for line in event["reasons"]), "nobody knows how it stands"


def test_accounts_that_die_before_the_end(provider: LoopbackProvider) -> None:
    accounts = Down()
    app = App(provider, Budget.tokens("b", 10_000), accounts=accounts)

    def answer(_: Any) -> Answer:
        accounts.off = True
        return Answer("Fine.")

    provider.script(answer)
    assert app.ask() == "Fine."
    assert any("charged in full" in line for line in app.events()[0]["fallbacks"])


class Raises(BaseCallbackHandler):
    """An observer of the app's with a bug."""

    raise_error = True

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self._raise)

    def _raise(self, *_args: Any, **_told: Any) -> None:
        raise RuntimeError("a bug of the app's")


@pytest.mark.parametrize(
    ("hook", "streams", "paid"),
    [
        ("on_chat_model_start", False, False),
        ("on_llm_end", False, True),
        ("on_llm_new_token", True, True),
        ("on_llm_end", True, True),
    ],
)
def test_an_answer_that_a_callback_has_thrown_away_is_charged(
    provider: LoopbackProvider, hook: str, *, streams: bool, paid: bool
) -> None:
    """It was made, and billed, however often the app's own handler raises after it."""
    app = App(provider, Budget.tokens("b", 10_000))
    config: Any = {"callbacks": [Raises(hook)]}
    with pytest.raises(RuntimeError, match="a bug of the app's"):
        list(app.model.stream("How are you?", config)) if streams else app.model.invoke("How are you?", config)
    assert provider.wait_idle()
    [left] = app.runtime.budgets()
    assert left.held == 0
    assert left.used >= sum(row.input_tokens + row.output_tokens for row in provider.billed)
    [event] = app.events()
    assert (left.used > 0) == (event["bill"]["actual"] > 0) == paid


@pytest.mark.parametrize(("model", "learns"), [("o3-mini", False), (STRONG, True)])
def test_reasoning_that_a_stream_did_not_show_is_charged_when_it_is_left(
    provider: LoopbackProvider, model: str, *, learns: bool
) -> None:
    """By its name, or since it was seen to reason in hiding."""
    app = App(provider, Budget.tokens("b", 10_000), models=[model])
    provider.script(lambda _: Answer("Fine. " * 40, reasoning_tokens=50))
    if learns:
        app.ask()
    pieces = app.model.stream("How are you?")
    for _ in range(3):
        next(pieces)
    pieces.close()
    assert provider.wait_idle()
    [left] = app.runtime.budgets()
    assert left.held == 0
    assert left.used >= sum(row.input_tokens + row.output_tokens for row in provider.billed)
    assert any("reasoning that nobody saw" in line for line in app.events()[-1]["fallbacks"])


def test_an_answer_that_cannot_be_read_is_charged(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.tokens("b", 10_000))
    provider.faults.append(Fault.garbage())
    with pytest.raises(Exception):  # noqa: B017, PT011  the SDK's own
        app.ask()
    assert app.runtime.budgets()[0].used >= sum(row.input_tokens + row.output_tokens for row in provider.billed) > 0


def test_the_call_of_a_dead_process_is_charged_and_shown(provider: LoopbackProvider) -> None:
    now = [1_800_000_000.0]
    accounts: Accounts = MemoryAccounts(clock=lambda: now[0])
    budget = Budget.tokens("b", 10_000, window="total")
    app = App(provider, budget, accounts=accounts, clock=lambda: now[0])
    app.ask()
    used = app.runtime.budgets()[0].used
    request = app.runtime.request(
        dialect="", model=STRONG, identities=(), messages=(), params={}, scope=scope_of_nobody()
    )
    account = budget.account(request)
    accounts.reserve("dead/1", [Hold(account, 10_000, "total", 0.0, 500, True, "charge")], 900.0)
    now[0] += 1_000
    again = App(provider, budget, accounts=accounts, clock=lambda: now[0])
    again.ask()
    events = again.events()
    [orphan] = [event for event in events if event["error"] == "Orphaned"]
    assert orphan["extra"]["budget"]["orphaned"] == {account: 500}
    assert orphan["bill"]["actual"] == 0
    assert accounts.standing([Hold(account, 10_000, "total", 0.0, 0, True, "charge")])[0].used > used + 500


def scope_of_nobody() -> Any:
    with scope() as nobody:
        return nobody


def test_no_room_for_the_tier_above_leaves_the_error_as_it_is(provider: LoopbackProvider) -> None:
    """The cheap model fails; the budget has no room for the strong one: the app sees the failure, not the budget."""
    app = App(provider, Budget.usd("b", "0.0002"), models=[CHEAP, STRONG])
    provider.faults.append(Fault.refuse(503))
    with pytest.raises(Exception, match="503"):
        app.ask()
    [event] = app.events()
    assert any("gpt-4o not asked (BudgetExceeded)" in line for line in event["fallbacks"])
    assert [request.model for request in provider.requests] == [CHEAP]


def test_with_retry_does_not_ask_a_refusal_again(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.tokens("b", 10))
    with pytest.raises(BudgetExceeded):
        app.model.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke("How is the weather?")
    assert len(app.events()) == 1


def test_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "thrift.toml"
    file.write_text('store = "memory:"\n[[budgets]]\nname = "day"\nusd = 5\nwindow = "day"\nper = ["tenant"]\n')
    with scope(tenant="acme"):
        [left] = Runtime(file).budgets()
    assert (left.budget.name, left.left) == ("day", 5_000_000_000)
    file.write_text('[[budgets]]\nname = "day"\nusd = -5\n')
    with pytest.raises(ConfigError, match="above 0"):
        Runtime(file)


def test_the_command_line(provider: LoopbackProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger(monkeypatch, tmp_path)
    file = tmp_path / "thrift.toml"
    file.write_text(
        'store = "app.db"\n[[budgets]]\nname = "day"\nusd = 5\nwindow = "day"\nper = ["tenant"]\n'
        '[[budgets]]\nname = "all"\ntokens = 50\nwindow = "total"\nmode = "soft"\n'
    )
    runtime = Runtime(file)
    model = ThriftChatModel(
        tiers=[ChatOpenAI(model=STRONG, base_url=provider.base_url, api_key="k", max_retries=0)], runtime=runtime
    )
    with scope(tenant="acme"):
        model.invoke("How is the weather?")
        day, everything = runtime.budgets()
    runtime.close()
    shown = json.loads(CliRunner().invoke(app, ["budgets", "--tenant", "acme", "--json"]).output)
    assert [(one["name"], one["used"], one["held"], one["left"]) for one in shown] == [
        ("day", day.used, 0, day.left),
        ("all", everything.used, 0, 0),
    ]
    assert shown[0]["resets"] == day.resets
    assert shown[1]["resets"] is None
    table = CliRunner().invoke(app, ["budgets", "--tenant", "other"]).output
    assert "$0.0000" in table
    assert "never" in table
    file.unlink()
    assert "No budget covers this scope" in CliRunner().invoke(app, ["budgets"]).output
