"""From a path or a URL to a journal."""

from __future__ import annotations

from pathlib import Path

from thrift_plugins.batching.journal import Journal
from thrift_plugins.batching.records import Records
from thrift_plugins.batching.settings import BatchSettings
from thrift_plugins.stores.open import names_server


def open_journal(
    place: str | Path, account: str, settings: BatchSettings, *, key: str | bytes | None = None, now: float
) -> Journal:
    """The journal of an account, to work on.

    Args:
        place: a file, or the URL of a server that several workers share, such as "redis://host:6379/0#name"; see `RedisJournal`.
        account: whose; see `BatchClient.account`.
        settings: how long answers are kept, and how long a worker that is not heard of leads.
        key: encrypts prompts and answers (extra `encryption`).
        now: seconds since the epoch.

    Raises:
        ConfigError: it is another account's, a file that another process works on, or the key is not the right one.
        StoreCorrupt: the file is not ours, or damaged.
        StoreUnavailable: it cannot be made or opened.
    """
    # Each loaded when it is asked for: the one brings SQLite, the other the driver of Redis.
    if names_server(str(place)):
        from thrift_plugins.batching.journal_redis import RedisJournal  # noqa: PLC0415

        return RedisJournal(str(place), account, key=key, retention=settings.retention, lease=settings.lease, now=now)
    from thrift_plugins.batching.journal_sqlite import SQLiteJournal  # noqa: PLC0415

    return SQLiteJournal(place, account, key=key, retention=settings.retention, now=now)


def open_records(place: str | Path, account: str = "") -> Records:
    """What a journal holds, to look at while somebody works on it.

    Args:
        place: as for `open_journal`.
        account: whose it must be, "" for anybody's.

    Raises:
        ConfigError: it is another account's.
        StoreCorrupt: the file is not ours, or damaged.
        StoreUnavailable: it cannot be opened.
    """
    if names_server(str(place)):
        from thrift_plugins.batching.records_redis import RedisRecords  # noqa: PLC0415

        return RedisRecords(str(place), account)
    from thrift_plugins.batching.records_sqlite import SQLiteRecords  # noqa: PLC0415

    return SQLiteRecords(place, account)
