"""Writes a router's file."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from thrift_plugins.errors import ConfigError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file all of it or not at all: an app may be starting meanwhile, and another command writing the same.

    It keeps the mode that it had, and where it is a link, that stays one.

    Raises:
        ConfigError: it cannot be written; says why.
    """
    there = path.resolve()
    draft = there.with_name(f".{there.name}.{secrets.token_hex(8)}")
    try:
        draft.write_bytes(data)
        if there.exists():
            draft.chmod(there.stat().st_mode)
        draft.replace(there)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
