"""The journal's file: whose it is, who may read it, and what a kill or a full disk leaves in it."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import virtual_time
from tests.batch_courier_kit import TEXTS, Work, paid, served
from tests.batch_memory import MemoryBatches
from thrift_plugins.batching.journal_sqlite import SQLiteJournal
from thrift_plugins.errors import ConfigError, StoreCorrupt


def opened(path: Path, account: str = "a", **given: Any) -> SQLiteJournal:
    return SQLiteJournal(path, account, retention=1e9, now=0.0, **given)


def test_a_journal_is_one_account_s(tmp_path: Path):
    opened(tmp_path / "j.db").close()
    with pytest.raises(ConfigError, match="of the account 'a', not of 'b'"):
        opened(tmp_path / "j.db", "b")


def test_a_journal_is_for_one_process_and_one_executor(tmp_path: Path):
    journal = opened(tmp_path / "j.db")
    with pytest.raises(ConfigError, match="in use by another process or executor"):
        opened(tmp_path / "j.db")
    code = (
        "import sys; from thrift_plugins.batching.journal_sqlite import SQLiteJournal; from thrift_plugins.errors import ConfigError\n"
        "try: SQLiteJournal(sys.argv[1], 'a', retention=1, now=0)\nexcept ConfigError as e: print('refused', e)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "j.db")], check=True, capture_output=True, text=True, timeout=60
    )
    assert told.stdout.startswith("refused")
    (tmp_path / "link.db").symlink_to(tmp_path / "j.db")
    with pytest.raises(ConfigError, match="in use by another process or executor"):
        opened(tmp_path / "link.db")
    journal.close()
    opened(tmp_path / "j.db").close()


def test_a_journal_is_its_owners_alone_and_may_be_encrypted(tmp_path: Path):
    client = MemoryBatches()
    path = tmp_path / "j.db"

    async def main() -> None:
        work = Work(client, path, key="0123456789abcdef-secret")
        client.frozen = True
        work.put(["a word that nobody may see"])
        await asyncio.sleep(1)
        await work.close()

    virtual_time.run(main())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"nobody may see" not in files
    with pytest.raises(ConfigError, match="needs its key"):
        opened(path, client.account)
    with pytest.raises(ConfigError, match="another key"):
        opened(path, client.account, key="0123456789abcdef-other")


def test_answers_are_kept_for_the_retention(tmp_path: Path):
    client = MemoryBatches()
    served(client, tmp_path / "j.db")
    journal = SQLiteJournal(tmp_path / "j.db", client.account, retention=10.0, now=virtual_epoch() + 1e6)
    assert journal.counts()["answered"] == 0
    journal.close()


def virtual_epoch() -> float:
    return 1_800_000_000.0


def test_prompts_that_a_kill_has_left_go_when_the_journal_is_opened(tmp_path: Path):
    client = MemoryBatches()
    served(client, tmp_path / "j.db")
    with closing(sqlite3.connect(tmp_path / "j.db")) as connection, connection:
        connection.execute("INSERT INTO prompts VALUES (1, 20, x'00')")
    opened(tmp_path / "j.db", client.account).close()
    with closing(sqlite3.connect(tmp_path / "j.db")) as connection:
        assert connection.execute("SELECT count(*) FROM prompts").fetchone() == (0,)


def test_a_file_of_others_is_left_alone(tmp_path: Path):
    (tmp_path / "j.db").write_text("not a database")
    with pytest.raises(StoreCorrupt):
        opened(tmp_path / "j.db")
    assert (tmp_path / "j.db").read_text() == "not a database"


def test_a_disk_that_is_full_tells_everybody_and_loses_nothing(tmp_path: Path):
    client = MemoryBatches()

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")

        def full(*_: Any, **__: Any) -> Any:
            raise OSError(28, "No space left on device")

        work.journal.take = full  # type: ignore[method-assign]
        with pytest.raises(OSError, match="No space left"):
            await work.ask(TEXTS)
        await work.close()

    virtual_time.run(main())
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)


@pytest.mark.parametrize("copied", [False, True])
def test_a_file_that_goes_while_it_is_worked_on_ends_the_run(copied: bool, tmp_path: Path):
    client = MemoryBatches()
    client.seconds = 100.0

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        waiters = work.put(TEXTS)
        await asyncio.sleep(50)
        whole = (tmp_path / "j.db").read_bytes()
        (tmp_path / "j.db").rename(tmp_path / "moved.db")
        if copied:
            (tmp_path / "j.db").write_bytes(whole)
        for waiter in waiters:
            with pytest.raises(StoreCorrupt, match="is gone, or another file is in its place"):
                await waiter
        with pytest.raises(StoreCorrupt):  # nor is anything sent that no journal has
            work.put(["another"])
        await work.close()

    virtual_time.run(main())
    assert copied == (tmp_path / "j.db").exists()
    assert len(client.made) == 1


def test_prompts_with_the_time_in_them_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    client = MemoryBatches()
    now = datetime.fromtimestamp(virtual_epoch(), UTC)
    served(client, tmp_path / "a.db", [f"it is {now:%Y-%m-%d %H:%M:%S}, what about {i}?" for i in range(3)])
    assert caplog.text.count("the prompts say what time it is") == 1
    caplog.clear()
    served(client, tmp_path / "b.db", [f"on 2024-01-02 10:00, what was {i}? And 1234567890?" for i in range(3)])
    assert "what time it is" not in caplog.text
