"""The sealed form of a stored value: only what was written here, under this key and until its expiry, comes back.

    magic "TPE" | version | expiry (IEEE double, big endian; infinity: never) | MAC (16 bytes) | payload

The MAC is keyed BLAKE2b over everything else and over the key. An entry that was cut, altered, made up, or moved
under another key does not open; neither does one whose expiry was pushed back, or which a backend kept too long.
"""

from __future__ import annotations

import math
import secrets
import struct
from hashlib import blake2b
from typing import NamedTuple

from thrift_plugins.errors import ConfigError

VERSION = 1
MAC_BYTES = 16
NEVER = math.inf
"""The expiry of an entry that stays until it is evicted."""

MIN_SECRET_BYTES = 16

_PREFIX = struct.Struct(">3sBd")
_KEY_LENGTH = struct.Struct(">I")
_MAGIC = b"TPE"
_PAYLOAD_AT = _PREFIX.size + MAC_BYTES
OVERHEAD = _PAYLOAD_AT
"""Bytes that sealing adds to a payload."""


class Opened(NamedTuple):
    """What a sealed value holds.

    Attributes:
        expires: seconds since the epoch, or `NEVER`.
    """

    payload: bytes
    expires: float


def seal(key: str, payload: bytes, expires: float, secret: bytes) -> bytes:
    """`payload` bound to `key`, `expires` (seconds since the epoch, or `NEVER`) and `secret` (see `as_secret`)."""
    prefix = _PREFIX.pack(_MAGIC, VERSION, expires)
    return b"".join((prefix, _mac(prefix, key, payload, secret), payload))


def unseal(key: str, sealed: object, secret: bytes) -> Opened | None:
    """What was sealed under exactly this key with this secret, or None for anything else a backend may hand over.

    Whether it has expired is for the caller to say, who has the clock.
    """
    if not isinstance(sealed, bytes) or len(sealed) < _PAYLOAD_AT:
        return None
    prefix, payload = sealed[: _PREFIX.size], sealed[_PAYLOAD_AT:]
    if not secrets.compare_digest(sealed[_PREFIX.size : _PAYLOAD_AT], _mac(prefix, key, payload, secret)):
        return None
    magic, version, expires = _PREFIX.unpack(prefix)
    # Checked after the MAC, so what is left to refuse is a later version of ours under the same secret.
    return Opened(payload, expires) if (magic, version) == (_MAGIC, VERSION) else None


def as_secret(secret: str | bytes) -> bytes:
    """A MAC key of 32 bytes, made from a secret of any length.

    Raises:
        ConfigError: the secret is too short to keep anybody out.
    """
    raw = secret.encode() if isinstance(secret, str) else secret
    if len(raw) < MIN_SECRET_BYTES:
        raise ConfigError(f"a store's secret needs at least {MIN_SECRET_BYTES} bytes, this one has {len(raw)}")
    return blake2b(raw, digest_size=32, person=b"thrift-envelope").digest()


def expiry(now: float, ttl: float | None) -> float | None:
    """When a value kept from `now` for `ttl` seconds expires; None where that is already so."""
    if ttl is None:
        return NEVER
    return now + ttl if ttl > 0 else None


def _mac(prefix: bytes, key: str, payload: bytes, secret: bytes) -> bytes:
    name = key.encode()
    # The key's length is part of the message: without it "a" + "bc" and "ab" + "c" would share a MAC.
    message = b"".join((prefix, _KEY_LENGTH.pack(len(name)), name, payload))
    return blake2b(message, digest_size=MAC_BYTES, key=secret).digest()
