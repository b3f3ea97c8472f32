"""Corrupted and forged entries: whatever a backend hands over, the answer is the right one, or none, and never an error.

`THRIFT_TEST_SCALE=50` makes it a million entries.
"""

from __future__ import annotations

import os
import random
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from redis import Redis

from tests.redis_server import RedisServer
from thrift_plugins.caching import pack, unpack
from thrift_plugins.langchain.generations import dump, load
from thrift_plugins.stores import RedisStore, SQLiteStore
from thrift_plugins.stores.base import Store
from thrift_plugins.stores.envelope import NEVER, OVERHEAD, Sealer
from thrift_plugins.types import Reply, ToolCall, Usage

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
SECRET, OTHER = "the secret of this store, long enough", "the secret of another store, as long"

Forge = Callable[[random.Random, "Vault"], tuple[str, bytes]]
"""Gives a key, and bytes for a backend to hand over under it."""


def answer(number: int) -> bytes:
    """An answer as it is kept: of a wrapped model, or of LangChain's cache; short, or long enough to be compressed."""
    text = f"The answer to question {number}. " * (1 if number % 3 else 40)
    if number % 2:
        calls = (ToolCall("call", "find", {"id": number}),) if number % 5 == 0 else ()
        return pack(Reply(text, Usage(10, 20, source="provider"), calls, "stop", "gpt-4o", tier="gpt-4o"), 1.0, 2.0)
    value = dump([ChatGeneration(message=AIMessage(text))])
    assert value is not None
    return value


class Vault:
    """Entries of two tenants, sealed; and what only somebody with the secret could make."""

    def __init__(self, encryption_key: str | None = None) -> None:
        self.sealer = Sealer(SECRET, encryption_key)
        self.others = Sealer(OTHER, encryption_key)
        self.keys = [f"{{{number % 2:012x}}}:{number:064x}" for number in range(64)]
        self.payloads = {key: answer(number) for number, key in enumerate(self.keys)}
        self.sealed = {key: self.seal(self.sealer, key) for key in self.keys}

    def seal(self, sealer: Sealer, key: str) -> bytes:
        return sealer.seal(key, self.payloads[key], 2e9, written=1.0, tags=("feature:faq",))


def flipped(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key = rng.choice(vault.keys)
    value = bytearray(vault.sealed[key])
    for _ in range(rng.randint(1, 8)):
        value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
    return key, bytes(value)


def cut(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key = rng.choice(vault.keys)
    value = vault.sealed[key]
    first = rng.randrange(len(value))
    return key, value[first : rng.randrange(first, len(value))] if rng.random() < 0.5 else value[:first]


def spliced(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key, other = rng.sample(vault.keys, 2)
    one, two = vault.sealed[key], vault.sealed[other]
    at = rng.choice((OVERHEAD, OVERHEAD - 16, rng.randrange(min(len(one), len(two)))))
    return key, one[:at] + two[at:]


def padded(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key = rng.choice(vault.keys)
    extra = rng.randbytes(rng.randint(1, 64))
    return key, vault.sealed[key] + extra if rng.random() < 0.5 else extra + vault.sealed[key]


def moved(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    """Under another key: of the same tenant, or of another one."""
    key, other = rng.sample(vault.keys, 2)
    return key, vault.sealed[other]


def prolonged(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key = rng.choice(vault.keys)
    value = vault.sealed[key]
    times = value.index(struct.pack(">d", 2e9))
    return key, value[:times] + struct.pack(">d", rng.choice((NEVER, 9e9, -1.0))) + value[times + 8 :]


def of_another_version(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key = rng.choice(vault.keys)
    value = bytearray(vault.sealed[key])
    value[3] = rng.choice([version for version in range(256) if version != value[3]])
    return key, bytes(value)


def of_another_secret(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key = rng.choice(vault.keys)
    return key, vault.seal(vault.others, key)


def made_up(rng: random.Random, vault: Vault) -> tuple[str, bytes]:
    key = rng.choice(vault.keys)
    head = vault.sealed[key][: rng.choice((0, 3, 4, OVERHEAD))]
    return key, head + rng.choice(
        (rng.randbytes(rng.randint(0, 200)), vault.payloads[key], zlib.compress(b"\0" * 99_999))
    )


FORGERIES: list[Forge] = [
    flipped, cut, spliced, padded, moved, prolonged, of_another_version, of_another_secret, made_up,
]  # fmt: skip


def read(value: bytes | None) -> object:
    """What an app would be shown."""
    return value and (unpack(value) or load(value))


@pytest.mark.parametrize(
    "encryption_key", [None, "a key to encrypt with, long enough for anybody"], ids=["plain", "encrypted"]
)
def test_no_forgery_opens(encryption_key: str | None):
    if encryption_key:
        pytest.importorskip("cryptography")
    vault, rng = Vault(encryption_key), random.Random(1)
    for _ in range(round(10_000 * SCALE)):
        forge = rng.choice(FORGERIES)
        key, value = forge(rng, vault)
        opened = vault.sealer.unseal(key, value)
        assert opened is None or value == vault.sealed[key], (forge.__name__, key, value)
    for key in vault.keys:
        opened = vault.sealer.unseal(key, vault.sealed[key])
        assert opened is not None
        assert opened.payload == vault.payloads[key]


@pytest.mark.parametrize("junk", [None, "text", 7, 1.5, [b""], bytearray(b"TPE"), memoryview(b"x" * 99)])
def test_what_is_not_even_bytes_does_not_open(junk: object):
    assert Vault().sealer.unseal("{-}:x", junk) is None


def test_a_bomb_does_not_go_off_even_with_the_secret(monkeypatch: pytest.MonkeyPatch):
    """Somebody with the secret can plant an answer; he shall not take the app's memory."""
    vault = Vault()
    key = vault.keys[0]
    bomb = vault.sealer.seal(key, b"\0" * 300_000_000, NEVER, written=1.0)
    assert len(bomb) < 1_000_000 or vault.sealer.unseal(key, bomb) is not None
    if len(bomb) < 1_000_000:
        assert vault.sealer.unseal(key, bomb) is None


class Backend:
    """A store, and the way behind its back."""

    store: Store

    def plant(self, key: str, value: bytes) -> None:
        raise NotImplementedError

    def stored(self, key: str) -> bytes:
        raise NotImplementedError


class OnSQLite(Backend):
    def __init__(self, folder: Path) -> None:
        self.store = SQLiteStore(folder / "forged.db", secret=SECRET)
        self._raw = sqlite3.connect(folder / "forged.db", isolation_level=None)

    def plant(self, key: str, value: bytes) -> None:
        assert self._raw.execute("UPDATE answers SET value = ? WHERE key = ?", (value, key)).rowcount == 1

    def stored(self, key: str) -> bytes:
        [[value]] = self._raw.execute("SELECT value FROM answers WHERE key = ?", (key,))
        return bytes(value)

    def close(self) -> None:
        self._raw.close()
        self.store.close()


class OnRedis(Backend):
    def __init__(self, url: str) -> None:
        self.store = RedisStore(url, secret=SECRET)
        self._raw = Redis.from_url(url)

    def plant(self, key: str, value: bytes) -> None:
        self._raw.set(f"tp1:{key}", value)

    def stored(self, key: str) -> bytes:
        value = self._raw.get(f"tp1:{key}")
        assert isinstance(value, bytes)
        return value

    def close(self) -> None:
        self._raw.close()
        self.store.close()


@pytest.fixture(params=["sqlite", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "sqlite":
        with closing(OnSQLite(tmp_path)) as made:
            yield made
    else:
        with RedisServer(tmp_path) as server, closing(OnRedis(server.patient_url)) as made:
            yield made


async def test_a_store_gives_the_right_answer_or_none(backend: Backend):
    vault, rng = Vault(), random.Random(2)
    store = backend.store
    damaged = 0
    for turn in range(round(500 * SCALE)):
        vault.sealed = dict(vault.sealed)
        key = rng.choice(vault.keys)
        store.put(key, vault.payloads[key], 3_600.0)
        vault.sealed[key] = backend.stored(key)
        vault.keys, every = [key, *rng.sample([other for other in vault.keys if other != key], 3)], vault.keys
        forge = rng.choice([flipped, cut, spliced, padded, moved, of_another_version, of_another_secret, made_up])
        _, value = forge(rng, vault)
        backend.plant(key, value)
        found = await store.aget(key) if turn % 2 else store.get(key)
        assert found is None or found == vault.payloads[key], forge.__name__
        assert read(found) == (read(vault.payloads[key]) if found else None)
        damaged += found is None
        assert store.get(key) == found, "a damaged entry is dropped, and a good one stays"
        vault.keys = every
    assert store.damaged == damaged > 0


def test_a_store_s_tag_and_times_do_not_survive_a_forgery(backend: Backend):
    """What was planted is not given by a scan either, so that no copy and no file carries it on."""
    vault = Vault()
    one, other = vault.keys[:2]
    for key in (one, other):
        backend.store.put(key, vault.payloads[key], 3_600.0, tags=("doc:1",))
    backend.plant(one, backend.stored(other))
    assert [entry.key for entry in backend.store.scan()] == [other]
