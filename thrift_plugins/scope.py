"""Whose call is it? Set for a block of code, seen by every wrapped model inside it, in threads and tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace

from thrift_plugins.errors import ConfigError
from thrift_plugins.types import Scope, Usage

_NOBODY = Scope()
_current: ContextVar[Scope] = ContextVar("thrift_scope", default=_NOBODY)
_NAMES = frozenset(f.name for f in fields(Scope)) - {"keys", "tags"}


def current_scope() -> Scope:
    """The scope in force here."""
    return _current.get()


@contextmanager
def scope(*, tags: str | Iterable[str] = (), **names: str) -> Iterator[Scope]:
    """Name whose calls a block makes, and what their answers depend on.

    For example `with scope(tenant="acme", feature="faq", tags="doc:42"):` around a chain, an agent or a query.

    Inner blocks add to outer ones. `tenant`, `user`, `feature` and `session` are known to the ledger;
    any other name becomes a further wall of the cache.

    Args:
        tags: one or more names by which the answers kept in this block can be forgotten together, as when a document
            changes. A tag is no wall: an answer serves the same request under other tags too.
        names: each a string.

    Raises:
        ConfigError: a value or a tag is not a string, or a tag is empty.
    """
    token = _current.set(merged(_current.get(), names, tags))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def merged(base: Scope, names: dict[str, str], tags: str | Iterable[str] = ()) -> Scope:
    """`base` with the given names set over it, and the given tags beside its own."""
    for name, value in names.items():
        if not isinstance(value, str):
            raise ConfigError(f"scope {name!r} must be a string, not {type(value).__name__}")
    names = {name: _printable(value) for name, value in names.items()}
    known = {name: value for name, value in names.items() if name in _NAMES}
    walls = {**dict(base.keys), **{name: value for name, value in names.items() if name not in _NAMES}}
    return replace(base, **known, keys=tuple(sorted(walls.items())), tags=_tagged(base.tags, tags))


def _tagged(known: tuple[str, ...], tags: str | Iterable[str]) -> tuple[str, ...]:
    """Tags without doubles, the outer ones first."""
    added = [tags] if isinstance(tags, str) else list(tags)
    for tag in added:
        if not isinstance(tag, str) or not tag:
            raise ConfigError(f"a tag must be a string and not empty, not {tag!r}")
    return tuple(dict.fromkeys([*known, *map(_printable, added)]))


def _printable(value: str) -> str:
    """A name that every store can write: half a surrogate pair becomes its escape, which is another name for another one."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Recording:
    """What a replay knows of the call that it makes: its id, and what the baseline used for it."""

    request_id: str
    baseline_usage: Usage | None = None


_recording: ContextVar[Recording | None] = ContextVar("thrift_recording", default=None)


def current_recording() -> Recording | None:
    """The recorded call that is being replayed here, if any."""
    return _recording.get()


@contextmanager
def replaying(recording: Recording) -> Iterator[None]:
    """Calls in this block are replays of a recorded one."""
    token = _recording.set(recording)
    try:
        yield
    finally:
        _recording.reset(token)


_fresh: ContextVar[bool] = ContextVar("thrift_fresh", default=False)


def wants_fresh() -> bool:
    """Whether calls here must not be answered from the cache."""
    return _fresh.get()


@contextmanager
def fresh() -> Iterator[None]:
    """Ask anew in a block, and keep the new answers: for "try again", and for a retry around one's own parser."""
    token = _fresh.set(True)
    try:
        yield
    finally:
        _fresh.reset(token)


_route: ContextVar[str | None] = ContextVar("thrift_route", default=None)


def current_route() -> str | None:
    """The tier that calls here must go to, if any."""
    return _route.get()


@contextmanager
def route(tier: str) -> Iterator[None]:
    """Send the calls of a block to one tier, by its name or its model's, whatever the router thinks."""
    token = _route.set(tier)
    try:
        yield
    finally:
        _route.reset(token)


_run: ContextVar[str] = ContextVar("thrift_run", default="")


def current_run() -> str:
    """The run that calls here are part of, "" where nobody has said."""
    return _run.get()


@contextmanager
def run(name: str = "") -> Iterator[str]:
    """Make the calls of a block one run, for budgets with `window="run"`: an agent's work on one question, say.

    Args:
        name: an id of the app's own, the same again for a run that goes on elsewhere; by default a new one.
    """
    token = _run.set(_printable(name) or os.urandom(16).hex())
    try:
        yield _run.get()
    finally:
        _run.reset(token)
