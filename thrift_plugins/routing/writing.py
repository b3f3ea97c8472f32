"""Writes a router's file."""

from __future__ import annotations

from pathlib import Path

from thrift_plugins.drafts import ORDINARY, drafted
from thrift_plugins.errors import ConfigError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file all of it or not at all: an app may be starting meanwhile, and another command writing the same.

    It keeps the mode that it had, and where it is a link, that stays one.

    Raises:
        ConfigError: it cannot be written; says why.
    """
    there = path.resolve()
    try:
        with drafted(there, ORDINARY) as file:
            file.write(data)
            if there.exists():
                Path(file.name).chmod(there.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
