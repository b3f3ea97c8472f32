from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.compress import LARGEST, Compressor
from thrift_plugins.stores.envelope import NEVER, OVERHEAD, Sealer, as_secret, expiry

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
SECRET = "a secret of enough bytes"
KEY = "{tenant}:digest"
PLAIN = Sealer(SECRET)
ENCRYPTED = Sealer(SECRET, "an encryption key of enough bytes")
ANSWER = b"Open the settings, choose your plan, and press the button at the end of the page. " * 20

keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)
moments = st.floats(min_value=0, max_value=1e12) | st.just(NEVER)
payloads = st.binary(max_size=3000) | st.text(max_size=400).map(lambda text: text.encode() * 7)
labels = st.lists(st.text(max_size=30), max_size=4).map(tuple)
sealers = pytest.mark.parametrize("sealer", [PLAIN, ENCRYPTED], ids=["plain", "encrypted"])


def seal(sealer: Sealer, key: str, payload: bytes, expires: float = NEVER) -> bytes:
    return sealer.seal(key, payload, expires, written=1e9)


@sealers
@given(key=keys, payload=payloads, expires=moments, written=moments, tags=labels)
def test_what_was_sealed_comes_back(
    sealer: Sealer, key: str, payload: bytes, expires: float, written: float, tags: tuple[str, ...]
) -> None:
    opened = sealer.unseal(key, sealer.seal(key, payload, expires, written=written, tags=tags))
    assert opened is not None
    assert (opened.payload, opened.expires, opened.written, opened.tags) == (payload, expires, written, tags)


@given(key=keys, other=keys, payload=st.binary(max_size=100))
def test_another_key_does_not_open_it(key: str, other: str, payload: bytes) -> None:
    opened = PLAIN.unseal(other, seal(PLAIN, key, payload))
    assert (opened is not None) == (key == other)


def test_bytes_do_not_slide_between_key_and_payload() -> None:
    sealed = seal(PLAIN, "ab", b"c")
    slid = sealed[:-1] + b"bc"
    assert PLAIN.unseal("a", slid) is None


@sealers
def test_another_secret_does_not_open_it(sealer: Sealer) -> None:
    assert Sealer("another secret, long enough").unseal(KEY, seal(sealer, KEY, b"x")) is None


@sealers
@settings(max_examples=300)
@given(garbage=st.binary(max_size=200) | st.text() | st.none() | st.integers())
def test_garbage_is_none(sealer: Sealer, garbage: object) -> None:
    assert sealer.unseal(KEY, garbage) is None


@sealers
@pytest.mark.parametrize("payload", [b"an answer", ANSWER[:300]], ids=len)
def test_every_single_bit_and_every_cut_is_refused(sealer: Sealer, payload: bytes) -> None:
    sealed = sealer.seal(KEY, payload, 1e9, written=9e8, tags=("a tag",))
    for at in range(len(sealed) * 8):
        mutant = bytearray(sealed)
        mutant[at // 8] ^= 1 << at % 8
        assert sealer.unseal(KEY, bytes(mutant)) is None
    for length in range(len(sealed)):
        assert sealer.unseal(KEY, sealed[:length]) is None
        assert sealer.unseal(KEY, sealed[length + 1 :]) is None


@sealers
def test_mutants_are_refused(sealer: Sealer) -> None:
    chance = random.Random(7)
    sealed = seal(sealer, KEY, bytes(chance.randbytes(600)) + ANSWER)
    wrong = 0
    for _ in range(int(25_000 * SCALE)):
        mutant = _mutated(sealed, chance)
        opened = sealer.unseal(KEY, mutant)
        wrong += opened is not None and mutant != sealed
    assert wrong == 0


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_under_our_secret_is_refused(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr("thrift_plugins.stores.envelope.VERSION", version)
    other = seal(PLAIN, KEY, b"x")
    monkeypatch.undo()
    assert PLAIN.unseal(KEY, other) is None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        Sealer("short")


def test_text_and_bytes_make_the_same_secret() -> None:
    assert as_secret("x" * 16) == as_secret(b"x" * 16)


@pytest.mark.parametrize(
    ("ttl", "expected"), [(None, NEVER), (5, 105.0), (math.inf, NEVER), (0, None), (-1, None), (math.nan, None)]
)
def test_expiry(ttl: float | None, expected: float | None) -> None:
    assert expiry(100.0, ttl) == expected


def test_a_name_is_the_secrets_own() -> None:
    assert PLAIN.name("a tag") == Sealer(SECRET).name("a tag") != PLAIN.name("another")
    assert PLAIN.name("a tag") != Sealer("another secret, long enough").name("a tag")


# Compression


def test_values_shrink_where_that_pays_and_never_grow() -> None:
    assert len(seal(PLAIN, KEY, ANSWER)) < len(ANSWER) / 5
    for payload in (b"", b"short", os.urandom(5_000)):
        assert len(seal(PLAIN, KEY, payload)) == len(payload) + OVERHEAD


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    compressor = Compressor()
    small = compressor.smaller(bytes(10_000))
    assert small is not None
    for claimed in (LARGEST + 1, 2**32 - 1, 9_999, 0):
        assert compressor.original(claimed.to_bytes(4, "big") + small[4:]) is None
    assert compressor.original(LARGEST.to_bytes(4, "big") + small[4:]) == bytes(10_000)
    assert compressor.smaller(bytes(LARGEST + 1)) is None


@given(garbage=st.binary(max_size=60))
def test_what_is_not_compressed_is_no_error(garbage: bytes) -> None:
    Compressor().original(garbage)


def test_compressors_are_for_all_threads() -> None:
    wrong: list[int] = []

    def work(name: int) -> None:
        chance = random.Random(name)
        for number in range(300):
            payload = bytes(chance.choices(b"abcd", k=chance.randint(200, 3_000)))
            opened = PLAIN.unseal(KEY, seal(PLAIN, KEY, payload))
            if opened is None or opened.payload != payload:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Encryption


def test_nothing_is_left_in_clear() -> None:
    clear = PLAIN.seal(KEY, b"the answer", NEVER, written=1e9, tags=("customer:acme",))
    hidden = ENCRYPTED.seal(KEY, b"the answer", NEVER, written=1e9, tags=("customer:acme",))
    assert b"the answer" in clear
    assert b"customer:acme" in clear
    assert b"answer" not in hidden
    assert b"acme" not in hidden
    assert hidden != ENCRYPTED.seal(KEY, b"the answer", NEVER, written=1e9, tags=("customer:acme",)), "its own nonce"


def test_another_encryption_key_does_not_open_it() -> None:
    hidden = seal(ENCRYPTED, KEY, b"x")
    for other in (PLAIN, Sealer(SECRET, "another encryption key, long enough")):
        assert other.unseal(KEY, hidden) is None


def test_an_encrypting_store_does_not_take_what_is_in_clear() -> None:
    assert ENCRYPTED.unseal(KEY, seal(PLAIN, KEY, b"x")) is None


def test_a_short_encryption_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="encryption key needs at least 16 bytes"):
        Sealer(SECRET, "short")


def test_encryption_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigError, match=r"pip install 'thrift-plugins\[encryption\]'"):
        Sealer(SECRET, "an encryption key of enough bytes")


def test_nobody_loads_a_cipher_who_does_not_encrypt() -> None:
    code = "import sys; from thrift_plugins.stores.envelope import Sealer; Sealer('x' * 16); print('cryptography' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def _mutated(sealed: bytes, chance: random.Random) -> bytes:
    mutant = bytearray(sealed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(mutant) or 1)
        match chance.randrange(4):
            case 0 if mutant:
                mutant[at] = chance.randrange(256)
            case 1:
                del mutant[at : at + chance.randint(1, 40)]
            case 2:
                mutant[at:at] = chance.randbytes(chance.randint(1, 40))
            case _:
                mutant[at : at + 8] = mutant[:8]
    return bytes(mutant)
