"""Encryption at rest: AES-256-GCM, from the package `cryptography` (`pip install thrift-plugins[encryption]`)."""

from __future__ import annotations

import secrets
from hashlib import blake2b

from thrift_plugins.errors import ConfigError

_NONCE_BYTES = 12
_ID_BYTES = 4
_MIN_KEY_BYTES = 16


class Cipher:
    """Encrypts under one key, whose id goes before every text, so that what another key wrote is told from damage.

    Args:
        key: 16 bytes or more, or text of as many; not a password that people can guess.

    Raises:
        ConfigError: the key is too short, or `cryptography` is not installed.
    """

    def __init__(self, key: str | bytes) -> None:
        raw = key.encode() if isinstance(key, str) else key
        if len(raw) < _MIN_KEY_BYTES:
            raise ConfigError(f"an encryption key needs at least {_MIN_KEY_BYTES} bytes, this one has {len(raw)}")
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415  nobody pays for it who does not encrypt
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        except ImportError:
            raise ConfigError(
                "encryption at rest needs the package cryptography: pip install 'thrift-plugins[encryption]'"
            ) from None
        self._refused = InvalidTag
        self._aes = AESGCM(blake2b(raw, digest_size=32, person=b"thrift-cipher").digest())
        self._id = blake2b(raw, digest_size=_ID_BYTES, person=b"thrift-keyid").digest()

    def encrypt(self, data: bytes) -> bytes:
        """Key id, nonce, ciphertext and its tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return b"".join((self._id, nonce, self._aes.encrypt(nonce, data, None)))

    def decrypt(self, data: bytes) -> bytes | None:
        """What was encrypted, or None where it was under another key."""
        if data[:_ID_BYTES] != self._id:
            return None
        nonce, text = data[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], data[_ID_BYTES + _NONCE_BYTES :]
        try:
            return self._aes.decrypt(nonce, text, None)
        except (self._refused, ValueError):
            return None
