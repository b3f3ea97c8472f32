"""The sealed form of a stored value: only what was written here, under this key and until its expiry, comes back.

    magic "TPE" | version | flags | length of the tags | expiry | time of writing | MAC (16 bytes) | body

Numbers are big endian, times IEEE doubles (infinity: never expires). The body is the tags and then the value, compressed
where that pays, both encrypted where the store has a key for that; the flags say so. The MAC is keyed BLAKE2b over
everything else and over the key. An entry that was cut, altered, made up, or moved under another key does not open;
neither does one whose expiry was pushed back, or which a backend kept too long. Nothing is decrypted or decompressed
that has not passed the MAC.
"""

from __future__ import annotations

import math
import secrets
import struct
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.compress import Compressor
from thrift_plugins.stores.encrypt import Cipher

VERSION: Final = 2
MAC_BYTES: Final = 16
NEVER: Final = math.inf
"""The expiry of an entry that stays until it is evicted."""

MIN_SECRET_BYTES: Final = 16
NAME_BYTES: Final = 8

_COMPRESSED: Final = 1
_ENCRYPTED: Final = 2

_PREFIX = struct.Struct(">3sBBIdd")
_LENGTH = struct.Struct(">I")
_MAGIC: Final = b"TPE"
_BODY_AT: Final = _PREFIX.size + MAC_BYTES
OVERHEAD: Final = _BODY_AT
"""Bytes that sealing adds to a value that is neither tagged nor encrypted, where compressing it does not pay."""

_compressor = Compressor()


class Opened(NamedTuple):
    """What a sealed value holds.

    Attributes:
        expires: seconds since the epoch, or `NEVER`.
        written: seconds since the epoch.
        label: the tags in their packed form; few readers want them.
    """

    payload: bytes
    expires: float
    written: float
    label: bytes

    @property
    def tags(self) -> tuple[str, ...]:
        """The names by which the value can be forgotten."""
        return tuple(_unpacked(self.label))


class Sealer:
    """Seals and opens the values of one store.

    Args:
        secret: what the MAC is made with, 16 bytes or more.
        encryption_key: encrypts what is written; only what was encrypted with it opens then.

    Raises:
        ConfigError: the secret or the key is too short, or `cryptography` is not installed.
    """

    def __init__(self, secret: str | bytes, encryption_key: str | bytes | None = None) -> None:
        key = as_secret(secret)
        self._cipher = Cipher(encryption_key) if encryption_key else None
        # Copied for each value: cheaper than setting the key up anew.
        self._mac_of_nothing = blake2b(digest_size=MAC_BYTES, key=key)
        self._name_of_nothing = blake2b(digest_size=NAME_BYTES, key=key, person=b"thrift-name")

    def seal(self, key: str, payload: bytes, expires: float, *, written: float, tags: tuple[str, ...] = ()) -> bytes:
        """`payload` and `tags` bound to `key` and `expires` (seconds since the epoch, or `NEVER`)."""
        flags, body = 0, payload
        small = _compressor.smaller(payload)
        if small is not None:
            flags, body = _COMPRESSED, small
        label = _packed(tags) if tags else b""
        if label:
            body = label + body
        if self._cipher is not None:
            flags, body = flags | _ENCRYPTED, self._cipher.encrypt(body)
        prefix = _PREFIX.pack(_MAGIC, VERSION, flags, len(label), expires, written)
        return b"".join((prefix, self._mac(prefix, key, body), body))

    def unseal(self, key: str, sealed: object) -> Opened | None:
        """What was sealed under exactly this key by such a sealer, or None for anything else a backend may hand over.

        Whether it has expired is for the caller to say, who has the clock.
        """
        if not isinstance(sealed, bytes) or len(sealed) < _BODY_AT:
            return None
        prefix, body = sealed[: _PREFIX.size], sealed[_BODY_AT:]
        if not secrets.compare_digest(sealed[_PREFIX.size : _BODY_AT], self._mac(prefix, key, body)):
            return None
        magic, version, flags, label_length, expires, written = _PREFIX.unpack(prefix)
        # Checked after the MAC, so what is left to refuse is another version of ours under the same secret.
        if version != VERSION or magic != _MAGIC:
            return None
        return self._opened(flags, body, label_length, expires, written)

    def name(self, text: str) -> bytes:
        """A digest of 8 bytes to keep in place of a key or a tag: nobody without the secret can tell what it was of."""
        digest = self._name_of_nothing.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def _opened(self, flags: int, body: bytes, label_length: int, expires: float, written: float) -> Opened | None:
        text: bytes | None = body
        if self._cipher is not None:
            # What was written in clear before is not taken: it would stay readable at rest for as long as it is used.
            text = self._cipher.decrypt(body) if flags & _ENCRYPTED else None
        elif flags & _ENCRYPTED:
            return None
        if text is None:
            return None
        label, payload = (text[:label_length], text[label_length:]) if label_length else (b"", text)
        original = _compressor.original(payload) if flags & _COMPRESSED else payload
        return None if original is None else Opened(original, expires, written, label)

    def _mac(self, prefix: bytes, key: str, body: bytes) -> bytes:
        name = key.encode()
        mac = self._mac_of_nothing.copy()
        # The key's length is part of the message: without it "a" + "bc" and "ab" + "c" would share a MAC.
        mac.update(b"".join((prefix, _LENGTH.pack(len(name)), name, body)))
        return mac.digest()


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


@lru_cache(maxsize=1024)  # an app has few sets of tags, and names them with every answer
def _packed(tags: tuple[str, ...]) -> bytes:
    names = [tag.encode("utf-8", "surrogatepass") for tag in tags]
    return b"".join(_LENGTH.pack(len(name)) + name for name in names)


def _unpacked(label: bytes) -> list[str]:
    tags, at = [], 0
    while at < len(label):
        (length,) = _LENGTH.unpack_from(label, at)
        at += _LENGTH.size + length
        tags.append(label[at - length : at].decode("utf-8", "surrogatepass"))
    return tags
