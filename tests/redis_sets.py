"""Several real servers that belong together: a cluster, a master with its replica and Sentinel, a server with TLS."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.crc import key_slot

from tests.redis_server import RedisServer, free_port

_SLOTS = 16384
_PATIENCE_S = 30


class ClusterSet:
    """Three masters with a third of the slots each, and a replica of the first.

    Args:
        folder: where they may write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self.masters: list[RedisServer] = []

    def __enter__(self) -> Self:
        buses = [free_port() for _ in range(4)]
        servers = [self._open.enter_context(self._server(number, bus)) for number, bus in enumerate(buses)]
        self.masters, self.replica = servers[:3], servers[3]
        bounds = [0, 5462, 10923, _SLOTS]
        for number, master in enumerate(self.masters):
            master.ask("CLUSTER", "ADDSLOTSRANGE", str(bounds[number]), str(bounds[number + 1] - 1))
        for server, bus in zip(servers[1:], buses[1:], strict=True):
            servers[0].ask("CLUSTER", "MEET", "127.0.0.1", str(server.port), str(bus))
        first = node_id(servers[0])
        until(lambda: b"OK" in self.replica.ask("CLUSTER", "REPLICATE", first))
        until(lambda: all(_knows_all(server) for server in servers))
        until(lambda: b"master_link_status:up" in self.replica.ask("INFO", "replication"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    @property
    def url(self) -> str:
        """Names two of the masters."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{master.port}" for master in self.masters[1:])

    def owner(self, name: str) -> RedisServer:
        """The master that has this name's slot, as it was in the beginning."""
        return self.masters[min(key_slot(name.encode()) // 5461, 2)]

    def _server(self, number: int, bus: int) -> RedisServer:
        folder = self._folder / f"node{number}"
        folder.mkdir()
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-port", str(bus))
        return RedisServer(folder, *options, "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0")


class _SentinelServer(RedisServer):
    """Watches a master named `mymaster`."""

    def watch(self, master: RedisServer) -> Self:
        self._file = self.folder / "sentinel.conf"
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 300\nsentinel failover-timeout mymaster 1000\n"
        )
        return self

    def _arguments(self) -> list[str]:
        return [str(self._file), "--sentinel"]


class SentinelSet:
    """A master, its replica and the Sentinel that lets the one follow the other."""

    def __init__(self, folder: Path) -> None:
        folders = [folder / name for name in ("master", "replica", "sentinel")]
        for each in folders:
            each.mkdir()
        self._open = ExitStack()
        self.master = RedisServer(folders[0])
        self.replica = RedisServer(
            folders[1], "--replicaof", f"127.0.0.1 {self.master.port}", "--repl-diskless-sync-delay", "0"
        )
        self.sentinel = _SentinelServer(folders[2]).watch(self.master)

    def __enter__(self) -> Self:
        for server in (self.master, self.replica):
            self._open.enter_context(server)
        until(lambda: b"master_link_status:up" in self.replica.ask("INFO", "replication"))
        self._open.enter_context(self.sentinel)
        until(lambda: b"num-slaves\r\n$1\r\n1" in self.sentinel.ask("SENTINEL", "MASTER", "mymaster"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    @property
    def url(self) -> str:
        """Names a Sentinel that is not there, and the one that is."""
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.sentinel.port}/mymaster/0"


class TLSServer(RedisServer):
    """A server that speaks TLS alone, with a certificate of an authority of its own.

    Attributes:
        authority: the file with the authority's certificate.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = folder / "ca.crt"
        self.tls_port = free_port()
        run = _openssl(folder)
        run("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.crt")
        run("req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        run("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 2 -extfile names -out server.crt")

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.tls_port}/0?ssl_ca_certs={self.authority}"

    def _arguments(self) -> list[str]:
        files = ["--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.crt"]
        return [*super()._arguments(), "--tls-port", str(self.tls_port), *files, "--tls-auth-clients", "no"]


def node_id(server: RedisServer) -> str:
    return server.ask("CLUSTER", "MYID").split(b"\r\n")[1].decode()


def until(done: Callable[[], bool]) -> None:
    """Wait for it; give up after a long time. A server that changes its role closes the connections that it has."""
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up:
        with suppress(ConnectionError):
            if done():
                return
        time.sleep(0.02)
    raise AssertionError("it does not come about")


def _knows_all(server: RedisServer) -> bool:
    info = server.ask("CLUSTER", "INFO")
    slots = server.ask("CLUSTER", "SLOTS")
    return b"cluster_state:ok" in info and b"known_nodes:4" in info and slots.startswith(b"*3")


def _openssl(folder: Path) -> Callable[[str], object]:
    return lambda words: subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
