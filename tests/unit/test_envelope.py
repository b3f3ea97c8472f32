from __future__ import annotations

import math
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.envelope import NEVER, OVERHEAD, as_secret, expiry, seal, unseal

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
SECRET = as_secret("a secret of enough bytes")
KEY = "{tenant}:digest"

keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)
moments = st.floats(min_value=0, max_value=1e12) | st.just(NEVER)


@given(key=keys, payload=st.binary(max_size=3000), expires=moments)
def test_what_was_sealed_comes_back(key: str, payload: bytes, expires: float) -> None:
    sealed = seal(key, payload, expires, SECRET)
    assert unseal(key, sealed, SECRET) == (payload, expires)
    assert len(sealed) == len(payload) + OVERHEAD


@given(key=keys, other=keys, payload=st.binary(max_size=100))
def test_another_key_does_not_open_it(key: str, other: str, payload: bytes) -> None:
    opened = unseal(other, seal(key, payload, NEVER, SECRET), SECRET)
    assert (opened is not None) == (key == other)


def test_bytes_do_not_slide_between_key_and_payload() -> None:
    sealed = seal("ab", b"c", NEVER, SECRET)
    slid = sealed[:-1] + b"bc"
    assert unseal("a", slid, SECRET) is None


def test_another_secret_does_not_open_it() -> None:
    assert unseal(KEY, seal(KEY, b"x", NEVER, SECRET), as_secret("another secret, long enough")) is None


@settings(max_examples=300)
@given(garbage=st.binary(max_size=200) | st.text() | st.none() | st.integers())
def test_garbage_is_none(garbage: object) -> None:
    assert unseal(KEY, garbage, SECRET) is None


def test_every_single_bit_and_every_cut_is_refused() -> None:
    sealed = seal(KEY, b"an answer", 1e9, SECRET)
    for at in range(len(sealed) * 8):
        mutant = bytearray(sealed)
        mutant[at // 8] ^= 1 << at % 8
        assert unseal(KEY, bytes(mutant), SECRET) is None
    for length in range(len(sealed)):
        assert unseal(KEY, sealed[:length], SECRET) is None
        assert unseal(KEY, sealed[length + 1 :], SECRET) is None


def test_mutants_are_refused() -> None:
    chance = random.Random(7)
    sealed = seal(KEY, bytes(chance.randbytes(1200)), 1e9, SECRET)
    wrong = 0
    for _ in range(int(50_000 * SCALE)):
        mutant = _mutated(sealed, chance)
        opened = unseal(KEY, mutant, SECRET)
        wrong += opened is not None and mutant != sealed
    assert wrong == 0


def test_a_later_version_under_our_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thrift_plugins.stores.envelope.VERSION", 2)
    later = seal(KEY, b"x", NEVER, SECRET)
    monkeypatch.undo()
    assert unseal(KEY, later, SECRET) is None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        as_secret("short")


def test_text_and_bytes_make_the_same_secret() -> None:
    assert as_secret("x" * 16) == as_secret(b"x" * 16)


@pytest.mark.parametrize(
    ("ttl", "expected"), [(None, NEVER), (5, 105.0), (math.inf, NEVER), (0, None), (-1, None), (math.nan, None)]
)
def test_expiry(ttl: float | None, expected: float | None) -> None:
    assert expiry(100.0, ttl) == expected


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
