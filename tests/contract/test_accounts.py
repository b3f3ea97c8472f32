"""What every store of accounts keeps to: in memory, in a SQLite file, on a server and on a cluster."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import RedisServer
from tests.redis_sets import ClusterSet
from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.stores import (
    LocalSlices,
    MemoryAccounts,
    RedisAccounts,
    SQLiteAccounts,
    accounts_beside,
    open_accounts,
)
from thrift_plugins.stores.accounts import AGAIN, Accounts, Grant, Hold, Standing

NOON = 1_790_000_000.0


class Clock:
    """Goes on when it is told to."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def hold(account: str = "{t}:b:day", amount: int = 10, **other: object) -> Hold:
    settings: dict[str, object] = {
        "limit": 100,
        "window": "day",
        "rolling": 0.0,
        "hard": True,
        "orphans": "charge",
        "estimate": 3,
    }
    return Hold(account=account, amount=amount, **{**settings, **other})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSet]:
    with ClusterSet(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
def accounts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Accounts]:
    made: Accounts
    match request.param:
        case "memory":
            made = MemoryAccounts()
        case "sqlite":
            made = SQLiteAccounts(tmp_path / "b.db")
        case "redis":
            server = request.getfixturevalue("server")
            server.ask("FLUSHALL")
            made = RedisAccounts(server.url, timeout=5)
        case _:
            servers = request.getfixturevalue("cluster")
            for master in servers.masters:
                master.ask("FLUSHALL")
            made = RedisAccounts(servers.url, timeout=5)
    with closing(made):
        yield made


@pytest.fixture(params=["memory", "sqlite"])
def timed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Accounts, Clock]]:
    """Accounts whose clock the test sets."""
    clock = Clock()
    made: Accounts = (
        MemoryAccounts(clock=clock) if request.param == "memory" else SQLiteAccounts(tmp_path / "b.db", clock=clock)
    )
    with closing(made):
        yield made, clock


def test_a_reservation_counts_until_it_is_settled(accounts: Accounts):
    granted = accounts.reserve("a/1", [hold(amount=60)], 60)
    assert (granted.granted, granted.refused) == (True, -1)
    assert (granted.standings[0].used, granted.standings[0].held, granted.standings[0].left) == (0, 60, 40)
    assert not accounts.reserve("b/1", [hold(amount=41)], 60).granted
    (after,) = accounts.settle("a/1", [25])
    assert (after.account, after.limit, after.used, after.held) == ("{t}:b:day", 100, 25, 0)
    assert accounts.reserve("b/2", [hold(amount=75)], 60).granted
    assert not accounts.reserve("b/3", [hold(amount=1)], 60).granted


def test_all_holds_or_none(accounts: Accounts):
    holds = [hold("{t}:b:one"), hold("{-}:b:all", amount=90), hold("{u}:b:two", amount=101)]
    refused = accounts.reserve("a/1", holds, 60)
    assert (refused.granted, refused.refused) == (False, 2)
    assert [standing.account for standing in refused.standings] == [each.account for each in holds]
    assert [standing.held for standing in accounts.standing(holds)] == [0, 0, 0]
    assert accounts.reserve("a/2", holds[:2], 60).granted
    assert accounts.reserve("a/3", holds[:2], 60).refused == 1
    assert [standing.held for standing in accounts.standing(holds)] == [10, 90, 0]
    assert [standing.used for standing in accounts.settle("a/2", [1, 2])] == [1, 2]
    assert [(standing.used, standing.held) for standing in accounts.standing(holds)] == [(1, 0), (2, 0), (0, 0)]


def test_the_same_account_twice_counts_twice(accounts: Accounts):
    assert accounts.reserve("a/1", [hold(amount=51), hold(amount=50)], 60).refused == 1
    assert accounts.reserve("a/2", [hold(amount=50), hold(amount=50)], 60).granted


def test_reserving_and_settling_twice_is_once(accounts: Accounts):
    for _ in range(3):
        assert accounts.reserve("a/1", [hold(amount=40)], 60).granted
    assert accounts.standing([hold()])[0].held == 40
    accounts.settle("a/1", [30])
    assert accounts.settle("a/1", [30]) == ()
    assert accounts.settle("never reserved", [30]) == ()
    assert (accounts.standing([hold()])[0].used, accounts.standing([hold()])[0].held) == (30, 0)


def test_a_soft_hold_never_refuses(accounts: Accounts):
    granted = accounts.reserve("a/1", [hold(amount=500, hard=False)], 60)
    assert granted.granted
    assert granted.standings[0].left == -400
    assert not accounts.reserve("a/2", [hold(amount=0)], 60).granted, "a hard one of the same account has no room"


def test_more_may_be_used_than_was_reserved(accounts: Accounts):
    accounts.reserve("a/1", [hold(amount=10)], 60)
    assert accounts.settle("a/1", [150])[0].left == -50


def test_large_sums_are_exact(accounts: Accounts):
    limit = 2**53
    assert accounts.reserve("a/1", [hold(amount=limit - 1, limit=limit)], 60).granted
    assert not accounts.reserve("a/2", [hold(amount=2, limit=limit)], 60).granted
    assert accounts.reserve("a/3", [hold(amount=1, limit=limit)], 60).granted
    assert accounts.settle("a/1", [limit - 3])[0].left == 2


@pytest.mark.parametrize(("orphans", "charged"), [("charge", 10), ("estimate", 3), ("release", 0)])
def test_an_orphan_is_charged_as_its_hold_says(accounts: Accounts, orphans: str, charged: int):
    accounts.reserve("dead/1", [hold(orphans=orphans)], 0.0)
    told = accounts.reap()
    assert [(orphan.lease, orphan.account, orphan.charged) for orphan in told] == [("dead/1", "{t}:b:day", charged)]
    assert accounts.reap() == [], "told once"
    assert (accounts.standing([hold()])[0].used, accounts.standing([hold()])[0].held) == (charged, 0)
    accounts.settle("dead/1", [7])
    assert accounts.standing([hold()])[0].used == 7, "settled late: corrected"
    accounts.settle("dead/1", [7])
    assert accounts.standing([hold()])[0].used == 7


def test_whoever_needs_the_room_closes_orphans(accounts: Accounts):
    accounts.reserve("dead/1", [hold(amount=100, orphans="release")], 0.0)
    assert accounts.reserve("a/1", [hold(amount=100)], 60).granted
    assert [orphan.lease for orphan in accounts.reap()] == ["dead/1"], "told although another one closed it"


def test_a_lease_lives_while_it_is_renewed(accounts: Accounts):
    accounts.reserve("a/1", [hold()], 0.0)
    assert accounts.renew("a/1", 60)
    assert accounts.reap() == []
    assert accounts.renew("a/1", 0.0)
    assert len(accounts.reap()) == 1
    assert not accounts.renew("a/1", 60)
    assert not accounts.renew("unknown", 60)


def test_a_call_that_is_made_again_is_reserved_once(accounts: Accounts):
    name = f"{AGAIN}what is asked/0"
    holds = [hold(amount=60), hold("{-}:b:app", 60)]
    assert accounts.reserve(name, holds, 60).granted
    again = accounts.reserve(name, holds, 60)
    assert (again.granted, again.shared) == (True, True)
    assert [standing.held for standing in again.standings] == [60, 60]
    accounts.settle(name, [7, 8])
    accounts.settle(name, [7, 8])
    assert [(one.used, one.held) for one in accounts.standing(holds)] == [(7, 0), (8, 0)]


def test_a_call_that_was_settled_is_a_new_one(accounts: Accounts):
    name = f"{AGAIN}what is asked/0"
    for amount in (0, 5, 5):
        granted = accounts.reserve(name, [hold(amount=60)], 60)
        assert (granted.granted, granted.shared, granted.standings[0].held) == (True, False, 60)
        accounts.settle(name, [amount])
    assert (accounts.standing([hold()])[0].used, accounts.standing([hold()])[0].held) == (10, 0)


def test_a_refused_call_leaves_what_others_have_of_it(accounts: Accounts):
    """It is held in several books of a cluster, and one of them has lost its part."""
    name = f"{AGAIN}what is asked/0"
    theirs, ours = hold("{t1}:b:day", 60), hold("{t2}:b:day", 60)
    accounts.reserve(name, [theirs], 60)
    accounts.reserve("a/1", [hold("{t2}:b:day", 100)], 60)
    accounts.reserve(name, [theirs, ours], 60)
    assert accounts.standing([theirs])[0].held == 60


def test_a_call_that_is_made_again_lives_as_long_as_it_is_reserved_for_last(accounts: Accounts):
    name = f"{AGAIN}what is asked/0"
    accounts.reserve(name, [hold()], 60)
    assert accounts.reserve(name, [hold()], 0.0).granted
    assert [orphan.lease for orphan in accounts.reap()] == [name]


@pytest.mark.parametrize("orphans", ["charge", "estimate", "release"])
def test_what_an_orphan_was_charged_is_taken_back_when_it_is_asked_again(accounts: Accounts, orphans: str):
    name = f"{AGAIN}what is asked/0"
    holds = [hold(amount=100, orphans=orphans), hold("{-}:b:app", 50, orphans=orphans)]
    accounts.reserve(name, holds, 0.0)
    assert len(accounts.reap()) == 2
    assert accounts.reserve(name, holds, 60).granted, "there was room for it once"
    assert [(one.used, one.held) for one in accounts.standing(holds)] == [(0, 100), (0, 50)]
    accounts.settle(name, [7, 8])
    assert [(one.used, one.held) for one in accounts.standing(holds)] == [(7, 0), (8, 0)]
    assert accounts.reap() == []


def test_another_process_goes_on_with_a_call(tmp_path: Path, server: RedisServer):
    name = f"{AGAIN}what another process asks/0"
    for place in (str(tmp_path / "a.db"), f"redis://127.0.0.1:{server.port}/0"):
        with closing(open_accounts(place)) as one, closing(open_accounts(place)) as other:
            one.reserve(name, [hold("{again}:b:day", 100)], 60)
            assert not other.reserve("a/1", [hold("{again}:b:day", 1)], 60).granted
            assert other.reserve(name, [hold("{again}:b:day", 100)], 60).granted
            other.settle(name, [7])
            one.settle(name, [7])
            [left] = one.standing([hold("{again}:b:day")])
            assert (left.used, left.held) == (7, 0)


def test_the_herd_is_granted_one(accounts: Accounts):
    granted: list[bool] = []
    barrier = threading.Barrier(20)

    def ask(number: int) -> None:
        barrier.wait()
        for turn in range(10):  # not all at once: others append meanwhile
            granted.append(  # noqa: PERF401
                accounts.reserve(f"{number}/{turn}", [hold(amount=100), hold("{-}:b:app", 100)], 60).granted
            )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # On a cluster two may stand in each other's way for a moment, but two are never granted.
    assert sum(granted) == 1, len(granted)


async def test_asynchronous_calls_do_the_same(accounts: Accounts):
    holds = [hold(amount=60), hold("{-}:b:app", 60)]
    granted = await asyncio.gather(*(accounts.areserve(f"a/{number}", holds, 60) for number in range(5)))
    (lease,) = [grant.lease for grant in granted if grant.granted]
    assert await accounts.arenew(lease, 60)
    assert [standing.used for standing in await accounts.asettle(lease, [5, 6])] == [5, 6]
    assert [standing.left for standing in await accounts.astanding(holds)] == [95, 94]
    assert await accounts.areap() == []
    await accounts.aclose()


@pytest.mark.parametrize(
    ("window", "ends"),
    [
        ("hour", 1_790_002_800),
        ("day", 1_790_035_200),
        ("month", 1_790_812_800),
        ("total", inf),
        ("run", inf),
        ("call", inf),
    ],
)
def test_windows_end_by_utc(timed: tuple[Accounts, Clock], window: str, ends: float):
    accounts, clock = timed
    assert accounts.reserve("a/1", [hold(amount=100, window=window)], 10**9).standings[0].resets == ends
    if ends == inf:
        return
    clock.now = ends - 0.001
    assert not accounts.reserve("a/2", [hold(amount=1, window=window)], 60).granted
    clock.now = ends
    assert accounts.reserve("a/3", [hold(amount=100, window=window)], 10**9).granted
    accounts.settle("a/1", [50])
    assert accounts.standing([hold(window=window)])[0].used == 0, "settled into the window that reserved"
    clock.now = ends - 0.001
    assert accounts.standing([hold(window=window)])[0].used == 50


def test_a_server_counts_the_same_windows(server: RedisServer):
    """Its calendar is a script of its own."""
    with closing(RedisAccounts(server.url, timeout=5)) as accounts:
        windows = ["hour", "day", "month", "total"]
        seen = accounts.standing([hold(window=window) for window in windows])
        expected = MemoryAccounts().standing([hold(window=window) for window in windows])
        assert [standing.resets for standing in seen] == [standing.resets for standing in expected]


def test_a_rolling_window_never_counts_too_little(timed: tuple[Accounts, Clock]):
    accounts, clock = timed
    window = hold(amount=100, rolling=60.0)
    accounts.reserve("a/1", [window], 10**6)
    accounts.settle("a/1", [100])
    reserved = clock.now
    clock.now = reserved + 59.999
    refused = accounts.reserve("a/2", [window], 60)
    assert not refused.granted
    assert reserved + 60 <= refused.standings[0].resets <= reserved + 61
    clock.now = refused.standings[0].resets
    assert accounts.reserve("a/3", [window], 60).granted


def test_a_rolling_window_on_a_server(server: RedisServer):
    server.ask("FLUSHALL")
    with closing(RedisAccounts(server.url, timeout=5)) as accounts:
        window = hold(amount=60, rolling=0.6)
        accounts.reserve("a/1", [window], 60)
        assert accounts.settle("a/1", [60])[0].used == 60
        assert not accounts.reserve("a/2", [window], 60).granted
        resets = accounts.standing([window])[0].resets
        while not accounts.reserve("a/3", [window], 60).granted:
            pass
        assert accounts.standing([window])[0].resets > resets


@pytest.mark.parametrize("jump", [-86_400 * 3, -3600, 86_400 * 400])
def test_a_clock_that_jumps_opens_no_used_window(timed: tuple[Accounts, Clock], jump: float):
    accounts, clock = timed
    for number in range(5):
        clock.now = NOON + number * 86_400
        assert accounts.reserve(f"a/{number}", [hold(amount=100)], 10**9).granted
        accounts.settle(f"a/{number}", [100])
    clock.now += jump
    granted = accounts.reserve("b/1", [hold(amount=100)], 60).granted
    assert granted == (jump > 0), "a new window, or one that was used up"
    clock.now -= jump
    assert not accounts.reserve("b/2", [hold(amount=1)], 60).granted
    clock.now += 86_400
    assert accounts.reserve("b/3", [hold(amount=100)], 60).granted


def test_accounts_that_are_over_are_forgotten(tmp_path: Path):
    clock = Clock()
    with closing(SQLiteAccounts(tmp_path / "b.db", clock=clock)) as accounts:
        for number in range(600):
            accounts.reserve(
                f"{number}",
                [hold(f"{{t}}:b:{number}", window="call"), hold("{t}:b:for-ever", 0, window="total", hard=False)],
                60,
            )
            accounts.settle(f"{number}", [1, 1])
        clock.now += 2 * 86_400
        for _ in range(3):
            accounts.reap()
        with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
            assert connection.execute("SELECT account FROM accounts").fetchall() == [("{t}:b:for-ever",)]
        assert accounts.standing([hold("{t}:b:for-ever", window="total")])[0].used == 600


def test_a_file_is_shared_and_lasts(tmp_path: Path):
    with closing(SQLiteAccounts(tmp_path / "b.db")) as one, closing(SQLiteAccounts(tmp_path / "b.db")) as other:
        one.reserve("a/1", [hold(amount=90)], 60)
        assert not other.reserve("b/1", [hold(amount=11)], 60).granted
        assert other.settle("a/1", [90])[0].left == 10
    with closing(SQLiteAccounts(tmp_path / "b.db")) as again:
        assert again.standing([hold()])[0].left == 10


def test_what_a_url_names(tmp_path: Path):
    opened: dict[str, Callable[[Accounts], bool]] = {
        "memory:": lambda made: isinstance(made, MemoryAccounts),
        f"sqlite:///{tmp_path}/a.db": lambda made: isinstance(made, SQLiteAccounts),
        "redis://127.0.0.1:1/0": lambda made: isinstance(made, RedisAccounts),
    }
    for url, fits in opened.items():
        with closing(open_accounts(url)) as made:
            assert fits(made)
    assert accounts_beside(str(tmp_path / "thrift.db")) == str(tmp_path / "thrift-budgets.db")
    assert accounts_beside("memory:") == "memory:"
    assert accounts_beside("redis://h/0") == "redis://h/0"
    with pytest.raises(ConfigError, match="no accounts have the scheme"):
        open_accounts("mongodb://h")


class TestLocalSlices:
    """A share each of what was left."""

    @pytest.fixture
    def parts(self) -> tuple[Accounts, LocalSlices, Accounts]:
        slices = LocalSlices(processes=4)
        books = MemoryAccounts()
        return slices.watching(books), slices, books

    def test_a_process_has_its_share_of_what_was_left(self, parts: tuple[Accounts, LocalSlices, Accounts]):
        watched, slices, _ = parts
        watched.reserve("a/1", [hold(amount=20)], 60)
        watched.settle("a/1", [20])
        assert not slices.reserve("b/1", [hold(amount=21)], 60).granted
        assert slices.reserve("b/2", [hold(amount=20)], 60).granted
        assert not slices.reserve("b/3", [hold(amount=1)], 60).granted

    def test_what_nobody_has_seen_has_no_room(self, parts: tuple[Accounts, LocalSlices, Accounts]):
        _, slices, _ = parts
        assert not slices.reserve("b/1", [hold(amount=1)], 60).granted
        assert slices.reserve("b/2", [hold(amount=1, hard=False)], 60).granted
        assert slices.reserve("b/3", [hold(amount=100, window="call")], 60).granted

    def test_the_accounts_are_told_afterwards(self, parts: tuple[Accounts, LocalSlices, Accounts]):
        watched, slices, books = parts
        watched.standing([hold()])
        slices.reserve("b/1", [hold(amount=20)], 60)
        slices.settle("b/1", [15])
        watched.reserve("a/1", [hold(amount=1)], 60)
        assert books.standing([hold()])[0].used == 15
        watched.reserve("a/2", [hold(amount=1)], 60)
        assert books.standing([hold()])[0].used == 15, "told once"

    def test_each_is_told_once_whoever_asks(self):
        """Two who ask at once: the second comes while the first is telling."""
        watched: Accounts
        slices, late = LocalSlices(processes=1), iter(range(1))

        class Slow(MemoryAccounts):
            def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
                told = super().settle(lease, amounts)
                if next(late, None) is not None:
                    watched.reserve("another", [hold(amount=0)], 60)
                return told

        books = Slow()
        watched = slices.watching(books)
        watched.standing([hold()])
        for number in range(3):
            slices.reserve(f"b/{number}", [hold(amount=20)], 60)
            slices.settle(f"b/{number}", [15])
        watched.reserve("one", [hold(amount=0)], 60)
        assert books.standing([hold()])[0].used == 45

    def test_what_could_not_be_told_is_told_at_the_end(self):
        slices, down = LocalSlices(), [True]

        class Down(MemoryAccounts):
            def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
                if down[0]:
                    raise StoreUnavailable("down")
                return super().reserve(lease, holds, ttl)

        books = Down()
        watched = slices.watching(books)
        watched.standing([hold()])
        for number in range(20):
            slices.reserve(f"b/{number}", [hold(amount=20, hard=False)], 60)
            slices.settle(f"b/{number}", [2])
        with pytest.raises(StoreUnavailable):
            watched.reserve("one", [hold(amount=0)], 60)
        watched.close()
        assert books.standing([hold()])[0].used == 0
        down[0] = False
        watched.close()
        assert books.standing([hold()])[0].used == 40

    async def test_asynchronously(self, parts: tuple[Accounts, LocalSlices, Accounts]):
        watched, slices, books = parts
        await watched.astanding([hold()])
        assert (await slices.areserve("b/1", [hold(amount=20)], 60)).granted
        await slices.asettle("b/1", [15])
        await watched.areserve("a/1", [hold(amount=1)], 60)
        assert (await books.astanding([hold()]))[0].used == 15


def test_what_a_thread_reserves_is_given_back_after_it_also_where_the_loop_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A loop that ends cancels all its tasks: whoever waits for the thread, and what he waits with."""
    begun, goes_on = threading.Event(), threading.Event()
    reserve = SQLiteAccounts._whole

    def waiting(self: SQLiteAccounts, work: Any, patience: int = 5000) -> Any:
        if begun.is_set():
            return reserve(self, work, patience)
        if threading.current_thread() is threading.main_thread():
            raise StoreUnavailable("another process writes")
        begun.set()
        goes_on.wait(30)
        return reserve(self, work, patience)

    async def call() -> None:
        try:
            await accounts.areserve("lease", [hold()], 60)
        except asyncio.CancelledError:
            await accounts.asettle("lease", (0,))
            raise

    async def app() -> None:
        calls.append(asyncio.create_task(call()))
        while not begun.is_set():  # noqa: ASYNC110  the thread has no loop to tell
            await asyncio.sleep(0.01)
        threading.Timer(0.2, goes_on.set).start()

    calls: list[asyncio.Task[None]] = []
    monkeypatch.setattr(SQLiteAccounts, "_whole", waiting)
    accounts = SQLiteAccounts(tmp_path / "accounts.db")
    asyncio.run(app())
    assert accounts.standing([hold()])[0].held == 0
    accounts.close()
