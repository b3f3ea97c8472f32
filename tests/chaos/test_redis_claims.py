"""Claims on a real server: kept alive while their holder lives, gone soon after it, never taken from the next holder."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.redis_sets import until
from thrift_plugins.stores import RedisStore
from thrift_plugins.stores.redis_claims import LEASE_MS

SECRET = "a secret of enough bytes"
KEY, NAME = "{t1}:0a1b", "tp1~c:{t1}:0a1b"

HOLDER = """
import os, sys
from thrift_plugins.stores import RedisStore
assert RedisStore(sys.argv[1], secret=sys.argv[2], timeout=5).claim(sys.argv[3]) is not None
os._exit(0)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def stores(server: RedisServer) -> Iterator[tuple[RedisStore, RedisStore]]:
    """Of two processes, as far as the server can tell."""
    made = (RedisStore(server.url, secret=SECRET, timeout=5), RedisStore(server.url, secret=SECRET, timeout=5))
    yield made
    for store in made:
        store.close()


def left(server: RedisServer) -> int:
    """Milliseconds that a claim still lives; -2 for none."""
    return int(server.ask("PTTL", NAME)[1:])


def beating() -> int:
    return sum(thread.name == "thrift-plugins claims" for thread in threading.enumerate())


def test_a_claim_outlives_its_lease_while_it_is_held(
    server: RedisServer, stores: tuple[RedisStore, RedisStore]
) -> None:
    one, other = stores
    claim = one.claim(KEY)
    assert claim is not None
    server.ask("PEXPIRE", NAME, str(LEASE_MS // 2))
    until(lambda: left(server) > LEASE_MS // 2)
    assert other.claim(KEY) is None
    one.release(claim)
    assert other.claim(KEY) is not None


def test_one_thread_for_all_claims_and_none_without(stores: tuple[RedisStore, RedisStore]) -> None:
    one, _ = stores
    until(lambda: beating() == 0)
    claims = [one.claim(f"{KEY}{number}") for number in range(20)]
    assert beating() == 1
    for claim in claims:
        assert claim is not None
        one.release(claim)
    until(lambda: beating() == 0)


def test_a_claim_ends_with_its_process(server: RedisServer, stores: tuple[RedisStore, RedisStore]) -> None:
    subprocess.run([sys.executable, "-c", HOLDER, server.url, SECRET, KEY], check=True)
    assert 0 < left(server) <= LEASE_MS
    server.ask("PEXPIRE", NAME, "50")
    until(lambda: stores[0].claim(KEY) is not None)


def test_a_lost_claim_keeps_and_takes_nothing(server: RedisServer, stores: tuple[RedisStore, RedisStore]) -> None:
    one, other = stores
    lost = one.claim(KEY)
    server.ask("DEL", NAME)
    theirs = other.claim(KEY)
    assert lost is not None
    assert theirs is not None
    assert not one.put(KEY, b"late", 60, asked=time.time(), claim=lost)
    one.release(lost)
    assert one.get(KEY) is None
    assert other.put(KEY, b"theirs", 60, asked=time.time(), claim=theirs)
    assert left(server) == -2, "kept and released in one step"


def test_a_claim_that_was_lost_is_no_longer_kept_alive(
    server: RedisServer, stores: tuple[RedisStore, RedisStore]
) -> None:
    one, _ = stores
    assert one.claim(KEY) is not None
    server.ask("DEL", NAME)
    until(lambda: beating() == 0)
    assert left(server) == -2
