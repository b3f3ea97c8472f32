"""Trouble for a Redis store: a proxy that spoils replies, and every kind of fault with its start and its end."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.redis_server import RedisServer


class Proxy:
    """A TCP proxy that delays replies, trickles or replaces them, or resets the connection in the middle of one.

    Attributes:
        delay: seconds to wait before each reply.
        trickle: seconds between two bytes of a reply; 0: as it comes.
        reset_after: bytes of a reply to let through before the connection is reset.
        instead: what is said in place of each reply.
    """

    def __init__(self, port: int) -> None:
        self.delay: Callable[[], float] = lambda: 0.0
        self.trickle = 0.0
        self.reset_after: int | None = None
        self.instead: bytes | None = None
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(near)
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._sockets.append(far)
            for work in (self._forward, self._reply):
                self._threads.append(threading.Thread(target=work, args=(near, far)))
                self._threads[-1].start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _reply(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                time.sleep(self.delay())
                data = self.instead or data
                if self.reset_after is None:
                    self._send(near, data)
                    continue
                near.sendall(data[: self.reset_after])
                # No lingering: the close is a reset.
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.shutdown(socket.SHUT_RD)
                near.close()
                return
            near.shutdown(socket.SHUT_WR)  # the server is gone, and whoever asks it sees that

    def _send(self, near: socket.socket, data: bytes) -> None:
        if not self.trickle:
            near.sendall(data)
            return
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(data)):
            near.sendall(data[place : place + 1])
            time.sleep(self.trickle)


@dataclass(frozen=True)
class Trouble:
    """One kind of it.

    Attributes:
        start: makes it.
        end: mends it.
        silent: whether no command gets a reply that can be used; else some or all do.
    """

    start: Callable[[RedisServer, Proxy], object]
    end: Callable[[RedisServer, Proxy], object]
    silent: bool = True


def _set(name: str, value: object) -> Callable[[RedisServer, Proxy], None]:
    return lambda _server, proxy: setattr(proxy, name, value)


def _spoiled(name: str, value: object, fine: object = None) -> Trouble:
    return Trouble(_set(name, value), _set(name, fine))


def _ask(*commands: str) -> Callable[[RedisServer, Proxy], None]:
    def ask(server: RedisServer, _proxy: Proxy) -> None:
        for command in commands:
            server.ask(*command.split())

    return ask


def _password(server: RedisServer, _proxy: Proxy) -> None:
    server.ask_all(("CONFIG", "SET", "requirepass", "other"), ("CLIENT", "KILL", "TYPE", "normal"))


def _no_password(server: RedisServer, _proxy: Proxy) -> None:
    server.ask_all(("AUTH", "other"), ("CONFIG", "SET", "requirepass", ""))


def _nothing(_server: RedisServer, _proxy: Proxy) -> None:
    """It is over by itself."""


TROUBLES = {
    "refused": Trouble(lambda server, _: server.kill(), lambda server, _: server.start()),
    "frozen": Trouble(lambda server, _: server.freeze(), lambda server, _: server.thaw()),
    "slow": _spoiled("delay", lambda: 0.2, lambda: 0.0),
    "trickling": _spoiled("trickle", 0.02, 0.0),
    "reset mid-reply": _spoiled("reset_after", 3),
    "reset before a reply": _spoiled("reset_after", 0),
    "no Redis at all": _spoiled("instead", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "loading": _spoiled("instead", b"-LOADING Redis is loading the dataset in memory\r\n"),
    "moved": Trouble(
        _set("instead", b"-MOVED 1 127.0.0.1:1\r\n"), _set("instead", None), silent=False
    ),  # a node of a cluster, taken for a server on its own
    "too many clients": _spoiled("instead", b"-ERR max number of clients reached\r\n"),
    "password changed": Trouble(_password, _no_password),
    "out of memory": Trouble(
        _ask("CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1"),
        _ask("CONFIG SET maxmemory 0"),
        silent=False,
    ),
    "read-only replica": Trouble(_ask("REPLICAOF 127.0.0.1 1"), _ask("REPLICAOF NO ONE"), silent=False),
    "no scripts": Trouble(
        _ask("ACL SETUSER default -eval -evalsha"), _ask("ACL SETUSER default +eval +evalsha"), silent=False
    ),
    "scripts flushed": Trouble(_ask("SCRIPT FLUSH"), _nothing, silent=False),
    "connections killed": Trouble(_ask("CLIENT KILL TYPE normal"), _nothing, silent=False),
}
