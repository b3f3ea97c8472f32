"""Claims among processes, and the feed that they follow, on one SQLite file."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from thrift_plugins.stores import SQLiteStore

K = "{t1}:0a1b"

_CLAIMER = """
import sys
from thrift_plugins.stores import SQLiteStore
store = SQLiteStore(sys.argv[1])
for line in sys.stdin:
    claim = store.claim(line.strip())
    print(claim is not None, flush=True)
"""


class Claimer:
    """Another process, which claims what it is told to and lets go of nothing."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CLAIMER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def claims(self, key: str) -> bool:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{key}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip() == "True"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


needs_locks = pytest.mark.skipif(os.name != "posix", reason="no byte-range locks here: every claim is granted")


@needs_locks
def test_one_process_has_a_claim_until_it_ends_or_is_killed(tmp_path: Path) -> None:
    store, other = SQLiteStore(tmp_path / "c.db"), Claimer(tmp_path / "c.db")
    try:
        ours = store.claim(K)
        assert ours is not None
        assert other.claims(K) is False
        assert other.claims("{t1}:other") is True
        assert store.claim("{t1}:other") is None
        store.release(ours)
        assert other.claims(K) is True
        assert store.claim(K) is None
    finally:
        other.kill()
    after = store.claim(K)
    assert after is not None, "the kernel freed it at once"
    store.release(after)
    store.close()


@needs_locks
def test_a_kept_value_frees_its_claim_and_is_seen_by_the_next(tmp_path: Path) -> None:
    store, other = SQLiteStore(tmp_path / "c.db"), Claimer(tmp_path / "c.db")
    try:
        claim = store.claim(K)
        assert other.claims(K) is False
        assert store.put(K, b"x", claim=claim)
        assert other.claims(K) is True
        assert store.put(K, b"late", claim=claim) is False, "the claim is gone, so the value is refused"
        assert store.get(K) == b"x"
    finally:
        other.kill()
    store.close()


@needs_locks
def test_a_claim_outlives_the_connections_of_its_store(tmp_path: Path) -> None:
    store, second, other = SQLiteStore(tmp_path / "c.db"), SQLiteStore(tmp_path / "c.db"), Claimer(tmp_path / "c.db")
    try:
        claim, twin = store.claim(K), second.claim(K)
        assert claim is not None
        assert twin is not None
        assert claim != twin
        store.close()
        second.release(twin)
        assert other.claims(K) is False, "of two claims in one process, one is still held"
        store.release(claim)
        assert other.claims(K) is True
    finally:
        other.kill()
    store.close()
    second.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_own_its_parents_claims(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    claim = store.claim(K)
    assert claim is not None
    child = os.fork()
    if child == 0:
        status = 1
        try:
            refused = store.claim(K) is None and not store.put(K, b"from the child", claim=claim)
            store.release(claim)
            own = store.claim("{t1}:own")
            status = 0 if refused and own is not None and store.put("{t1}:own", b"x", claim=own) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.put(K, b"from the parent", claim=claim)
    assert [store.get(K), store.get("{t1}:own")] == [b"from the parent", b"x"]
    store.close()


def test_where_there_are_no_locks_claims_are_granted_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c.db.flights").mkdir()
    monkeypatch.setattr("thrift_plugins.stores.locks._LOOK_EVERY", 1)
    store = SQLiteStore(tmp_path / "c.db")
    for number in range(3):
        claim = store.claim(f"{{t}}:{number}")
        assert claim is not None
        assert store.put(f"{{t}}:{number}", b"x", claim=claim)
        assert not store.put(f"{{t}}:{number}", b"x", claim=claim)
    assert caplog.text.count("cannot be locked") == 1
    monkeypatch.setattr("thrift_plugins.stores.locks._fcntl", None)
    claim = store.claim(K)
    assert claim is not None
    store.release(claim)
    store.close()


@needs_locks
def test_a_lock_file_that_was_deleted_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thrift_plugins.stores.locks._LOOK_EVERY", 1)
    store = SQLiteStore(tmp_path / "c.db")
    first = store.claim(K)
    assert first is not None
    (tmp_path / "c.db.flights").unlink()
    second = store.claim("{t1}:other")
    assert second is not None
    assert stat.S_IMODE((tmp_path / "c.db.flights").stat().st_mode) == 0o600
    store.release(first)
    store.release(second)
    store.close()


@needs_locks
def test_threads_claim_and_release_at_once(tmp_path: Path) -> None:
    store, other = SQLiteStore(tmp_path / "c.db"), Claimer(tmp_path / "c.db")

    def work(name: int) -> None:
        for number in range(300):
            claim = store.claim(f"{{t}}:{(name + number) % 10}")
            assert claim is not None
            store.release(claim)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(other.claims(f"{{t}}:{number}") for number in range(10)), "none was left locked"
    finally:
        other.kill()
    store.close()


def test_several_processes_follow_one_feed(tmp_path: Path) -> None:
    code = (
        "import sys; from thrift_plugins.stores import SQLiteStore\n"
        "store = SQLiteStore(sys.argv[1])\n"
        "written = 0\n"
        "while written < 100:\n"
        "    try: store.publish('c', f'{sys.argv[2]} {written}'.encode())\n"
        "    except Exception: continue\n"
        "    written += 1\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "c.db"), str(name)], env=environment)
        for name in range(3)
    ]
    store, cursor, seen = SQLiteStore(tmp_path / "c.db"), "", list[bytes]()
    while any(writer.poll() is None for writer in writers) or store.since("c", cursor, 1):
        for following, data in store.since("c", cursor, 7):
            cursor = following
            seen.append(data)
    assert [writer.returncode for writer in writers] == [0] * 3
    for name in range(3):
        own = [data for data in seen if data.startswith(f"{name} ".encode())]
        assert own == [f"{name} {number}".encode() for number in range(100)]
    store.close()
