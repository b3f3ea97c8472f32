"""The router that an app reads, and those that were in force before it: files beside it, the latest first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thrift_plugins.cli.alone import alone
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.config import RoutingConfig

_KEPT: Final = 9  # routers that were in force before
_FILE: Final = "router.json"


def file_in_force(own: RoutingConfig) -> Path:
    """The file that the app reads: that of its settings, or where these name none, the one that `promote` writes."""
    return Path(own.router or _FILE)


@contextmanager
def changing(in_force: Path) -> Iterator[None]:
    """No other command changes which router is in force meanwhile.

    Raises:
        ConfigError: one does so at this moment, or the file cannot be.
    """
    if not in_force.parent.is_dir() or in_force.is_dir():
        raise ConfigError(f"{in_force} must be a file in a folder that is there")
    busy = f"another command is changing which router is in force as {in_force}: try again when it has ended"
    with alone(in_force.with_name(f".{in_force.name}.lock"), busy):
        yield


def put(in_force: Path, router: bytes) -> None:
    """Put a router in force, and keep the one that was. The app's file is there at every moment, and whole."""
    from thrift_plugins.routing.writing import write_whole

    for number in range(_KEPT - 1, 0, -1):
        if _old(in_force, number).exists():
            _old(in_force, number).replace(_old(in_force, number + 1))
    if in_force.exists():
        write_whole(_old(in_force, 1), in_force.read_bytes())
    write_whole(in_force, router)


def take_back(in_force: Path) -> None:
    """Put the router in force that was before.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    from thrift_plugins.routing.learned import LearnedRouter
    from thrift_plugins.routing.writing import write_whole

    kept = [file for number in range(1, _KEPT + 1) if (file := _old(in_force, number)).exists()]
    now = in_force.read_bytes() if in_force.exists() else None
    while kept and kept[0].read_bytes() == now:  # a promotion was ended before it had put another one in force
        kept.pop(0).unlink()
    if not kept:
        raise ConfigError(f"there is no router before {in_force}: set routing.router = '' to go back to the rules")
    last, *older = kept
    try:
        LearnedRouter.load(last)
    except ConfigError as error:
        raise ConfigError(f"{error}; or remove {last}, and roll back again to the one before it") from error
    write_whole(in_force, last.read_bytes())
    last.unlink()
    for number, file in enumerate(older, 1):
        file.replace(_old(in_force, number))


def _old(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")
