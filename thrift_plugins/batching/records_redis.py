"""A journal on a Redis-protocol server, for whoever looks: the workers that share it, and people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from time import monotonic, sleep
from typing import Any, Final, TypeVar

import orjson

from thrift_plugins.batching.client import Intent
from thrift_plugins.batching.journal_scripts import COUNTS, NAMES
from thrift_plugins.batching.records import UNFINISHED, Incident, Sending, check_account
from thrift_plugins.errors import ConfigError, StoreCorrupt, StoreUnavailable
from thrift_plugins.stores.redis_asking import Asking
from thrift_plugins.stores.redis_scripts import Script
from thrift_plugins.stores.redis_steps import Ask, Steps, run
from thrift_plugins.stores.redis_wire import Word

T = TypeVar("T")

_TIMEOUT_S: Final = 5.0
_AGAIN_S: Final = 0.1
_NAMED: Final = re.compile(r"[A-Za-z0-9_.-]+")
_DEFAULT: Final = "batch"
_SUMS: Final = ("answered", "input_tokens", "cache_read", "output_tokens")


class RedisRecords(Asking):
    """A journal's keys.

    Args:
        url: see `redis_url`; after a `#` the name of the journal, where a server has several: "redis://host:6379/0#reviews".
        account: whose it must be, "" for anybody's.

    Raises:
        ConfigError: an unreadable URL, or it is another account's.
        StoreUnavailable: the server does not answer.
    """

    def __init__(self, url: str, account: str = "") -> None:
        server, _, name = url.partition("#")
        self._name = name or _DEFAULT
        if not _NAMED.fullmatch(self._name):
            raise ConfigError(f"the name of a journal has letters, digits and . _ - alone, not {self._name!r}")
        super().__init__(server, _TIMEOUT_S, None, None)
        self._patience = 0.0
        self._keys = {kind: f"tp1~b{kind}:{{{self._name}}}" for kind in NAMES[:-1]}
        check_account(self.place, self.facts().get("account", ""), account)

    @property
    def place(self) -> str:
        """Where it is, without login."""
        return f"{self._place.shown}#{self._name}"

    def facts(self) -> dict[str, str]:
        """See `Records`."""
        return {name.decode(): value.decode() for name, value in _pairs(self._ask("HGETALL", "facts")).items()}

    def unfinished(self) -> list[Sending]:
        """See `Records`."""
        return [sending(row, one) for row, one in self._rows() if one["state"] in UNFINISHED]

    def stop(self) -> None:
        """See `Records`."""
        self._ask("HINCRBY", "facts", "stops", 1)

    def stops(self) -> int:
        """See `Records`."""
        return int(self._ask("HGET", "facts", "stops") or 0)

    def counts(self) -> dict[str, int]:
        """See `Records`."""
        queued, sent, answered, errored = self._run(COUNTS)
        planned = sum(one["count"] for _, one in self._rows() if one["state"] == "planned")
        return {"queued": queued + planned, "sent": sent - planned, "answered": answered, "errored": errored}

    def batches(self) -> list[dict[str, Any]]:
        """See `Records`."""
        sums = {name.decode(): int(value) for name, value in _pairs(self._ask("HGETALL", "sums")).items()}
        return [one | {name: sums.get(f"{row}:{name}", 0) for name in _SUMS} for row, one in self._rows()]

    def note(self, incident: Incident) -> None:
        """See `Records`."""
        # The mark makes it another one than its like, and the same one where it is told again.
        self._ask("ZADD", "told", repr(incident.at), orjson.dumps([*incident, token_hex(8)]))

    def incidents(self) -> list[Incident]:
        """See `Records`."""
        return [Incident(*orjson.loads(told)[:-1]) for told in self._ask("ZRANGE", "told", 0, -1)]

    def _rows(self) -> list[tuple[int, dict[str, Any]]]:
        """Number and record of every batch, oldest first."""
        rows = _pairs(self._ask("HGETALL", "batches"))
        return sorted(((int(row), orjson.loads(one)) for row, one in rows.items()), key=lambda row: row[0])

    def _run(self, script: Script, *values: Word, batch: int = 0) -> Any:
        names = [*self._keys.values(), f"tp1~bmembers{batch}:{{{self._name}}}"]
        return self._patiently(lambda: run(script, names, *values))

    def _ask(self, command: str, kind: str, *words: Word) -> Any:
        return self._patiently(lambda: _one(Ask((command, self._keys[kind], *words))))

    def _patiently(self, steps: Callable[[], Steps[T]]) -> T:
        """Every step may be taken twice: one whose answer was lost is taken again, for so long as there is patience."""
        until = monotonic() + self._patience
        while True:
            try:
                return self._do(steps())
            except StoreUnavailable:
                if monotonic() >= until:
                    raise
                sleep(_AGAIN_S)


def record(batch: Sending) -> dict[str, Any]:
    """What is kept of a batch."""
    intent = batch.intent
    return {
        "intent": intent.id, "digest": intent.digest, "model": intent.model, "url": intent.url, "count": intent.count,
        "made_at": intent.made_at, "tokens": batch.tokens, "deadline": batch.deadline, "state": batch.state, "upload": batch.upload,
        "remote": batch.remote, "sent_at": batch.sent_at, "ended": "", "done_at": None, "moving": False,
    }  # fmt: skip


def gone(place: str) -> StoreCorrupt:
    """The error where a server has forgotten a journal."""
    return StoreCorrupt(
        f"the journal {place} is gone from its server (FLUSHALL, eviction, or another copy of it took over); what was under way is"
        " with the provider, and is not sent again by this run"
    )


def sending(row: int, one: Mapping[str, Any]) -> Sending:
    """A batch from what is kept of it."""
    intent = Intent(one["intent"], one["digest"], one["model"], one["url"], one["count"], one["made_at"])
    return Sending(
        row, intent, one["tokens"], one["deadline"], one["state"], one["upload"], one["remote"], one["sent_at"]
    )


def _one(ask: Ask) -> Steps[Any]:
    return (yield ask)


def _pairs(told: Sequence[bytes] | Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    if isinstance(told, Mapping):
        return dict(told)
    return dict(zip(told[::2], told[1::2], strict=True))
