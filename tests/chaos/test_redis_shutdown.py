"""A process that ends, forks or drops its loop with a Redis store in use: no warning, no thread and no socket stays."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer

HANG_GUARD_S = 120

BEGIN = """
    import asyncio, gc, os, socket, sys, threading, time
    from thrift_plugins.errors import StoreUnavailable
    from thrift_plugins.stores import RedisStore

    PORT = int(sys.argv[1])

    def opened(port=PORT):
        return RedisStore(f"redis://127.0.0.1:{port}", secret="a secret of enough bytes", timeout=5)

    def sockets():
        names = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
        return sum("socket:" in name for name in names)

    def until(done):
        give_up = time.monotonic() + 60
        while not done() and time.monotonic() < give_up:
            time.sleep(0.01)
        assert done()
"""

ENDS = {
    "closed": """
        store = opened()
        assert store.put("{t}:a", b"1") and store.get("{t}:a") == b"1"
        claim = store.claim("{t}:a")
        assert claim is not None and threading.active_count() == 2
        store.close()
        until(lambda: threading.active_count() == 1)
        assert sockets() == 0
    """,
    "not closed": """
        store = opened()
        assert store.put("{t}:a", b"1") and store.claim("{t}:a") is not None
    """,
    "dropped": """
        store = opened()
        assert store.put("{t}:a", b"1")
        claim = store.claim("{t}:a")
        store.release(claim)
        del store
        until(lambda: threading.active_count() == 1)
        gc.collect()
        assert sockets() == 0
    """,
    "in an outage": """
        store = opened(1)
        for _ in range(2):
            try:
                store.get("{t}:a")
            except StoreUnavailable:
                pass
        assert threading.active_count() == 2
        del store
        gc.collect()
        until(lambda: threading.active_count() == 1)
    """,
    "closed in an outage": """
        store = opened(1)
        try:
            store.get("{t}:a")
        except StoreUnavailable:
            pass
        store.close()
        until(lambda: threading.active_count() == 1)
    """,
    "loop closed": """
        store = opened()

        async def main():
            assert await store.aput("{t}:a", b"1") and await store.aclaim("{t}:a") is not None
            await store.aclose()
            assert sockets() == before

        loop = asyncio.new_event_loop()
        before = sockets()
        loop.run_until_complete(main())
        loop.close()
        store.close()
        until(lambda: threading.active_count() == 1)
        assert sockets() == 0
    """,
    "loop not closed": """
        store = opened()

        async def main():
            assert await store.aput("{t}:a", b"1") and await store.aget("{t}:a") == b"1"

        for _ in range(3):
            asyncio.run(main())
        assert sockets() == 0 and not store._lanes
    """,
    "loop cancelled": """
        store = opened()

        async def main():
            await store.aput("{t}:a", b"1")
            calls = [asyncio.create_task(store.aget("{t}:a")) for _ in range(40)]
            await asyncio.sleep(0)
            raise SystemExit(0)

        asyncio.run(main())
    """,
    "loops in threads": """
        store = opened()

        async def main():
            assert await store.aput("{t}:a", b"1")

        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sockets() == 0 and not store._lanes
    """,
    "forked": """
        store = opened()
        assert store.put("{t}:a", b"1")
        claim = store.claim("{t}:a")
        child = os.fork()
        if child == 0:
            assert threading.active_count() == 1
            assert store.get("{t}:a") == b"1"
            assert store.claim("{t}:a") is None, "the parent's"
            assert store.claim("{t}:b") is not None
            asyncio.run(store.aput("{t}:c", b"3"))
            store.close()
            sys.exit(0)
        assert all(store.get("{t}:a") == b"1" for _ in range(200)), "the child reads on a connection of its own"
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.put("{t}:a", b"2", claim=claim)
        store.close()
    """,
    "forked in an outage": """
        store = opened(1)
        try:
            store.get("{t}:a")
        except StoreUnavailable:
            pass
        child = os.fork()
        if child == 0:
            try:
                store.get("{t}:a")
            except StoreUnavailable as error:
                assert "not asked" not in str(error), "no thread of the child's would ever end the parent's outage"
            store.close()
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store.close()
    """,
    "used at the interpreter's end": """
        import atexit

        store = opened()

        @atexit.register
        def last():
            claim = store.claim("{t}:a")
            assert claim is not None and store.put("{t}:a", b"1", claim=claim)
    """,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("shutdown")) as running:
        yield running


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the sockets in /proc")
@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_left(server: RedisServer, end: str) -> None:
    server.ask("FLUSHALL")
    code = textwrap.dedent(BEGIN) + textwrap.dedent(ENDS[end])
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, str(server.port)],
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
