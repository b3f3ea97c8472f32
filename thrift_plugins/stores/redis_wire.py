"""Asking a Redis-protocol server within a deadline: connections of our own over redis-py's, to one server or a cluster.

redis-py bounds each read of a socket, so that a server which trickles bytes is never late; its pool takes a lock and polls
the socket before each command, and its cluster client sleeps and asks the whole cluster for its layout while a call waits.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from threading import local
from time import monotonic
from typing import Any, Protocol, TypeAlias

from redis import Redis, RedisCluster
from redis import exceptions as errors
from redis.connection import AbstractConnection, ConnectionPool
from redis.crc import key_slot

from thrift_plugins.forks import renew_after_fork

Word: TypeAlias = str | bytes | int
Address: TypeAlias = tuple[str, int]

_KEPT_OPEN = 64
_REDIRECTS = 5
_SLOTS = 16384
_SLOTS_OF_A_PLACE = 1024
_LEAST_WAIT_S = 0.001
"""Waited for even past the deadline: an answer that has arrived is read."""


class _Deadline(local):
    """When, on the monotonic clock, this thread stops waiting."""

    at = 0.0

    def left(self) -> float:
        return max(self.at - monotonic(), _LEAST_WAIT_S)


_deadline = _Deadline()


class Node(Protocol):
    """One server."""

    def ask(self, words: Sequence[Word]) -> object:
        """Its reply to a command."""
        ...


class Wire(Node, Protocol):
    """The servers of a store."""

    clustered: bool

    def place(self, name: str) -> int:
        """Which part of the servers has this key: parts fail apart from each other."""
        ...

    def nodes(self) -> Sequence[Node]:
        """Those which together have every key."""
        ...

    def answers(self, name: str) -> bool:
        """Whether the server that has this key can be asked again; takes longer than a call may."""
        ...

    def close(self) -> None:
        """Close the connections. They are opened again when they are needed."""
        ...


class _TimedSocket:
    """A socket on which a whole reply, however many pieces it comes in, has one deadline."""

    __slots__ = ("_socket",)

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def recv(self, size: int) -> bytes:
        self._socket.settimeout(_deadline.left())
        return self._socket.recv(size)

    def recv_into(self, buffer: bytearray, size: int = 0) -> int:
        self._socket.settimeout(_deadline.left())
        return self._socket.recv_into(buffer, size)

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(_deadline.left())
        self._socket.sendall(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)


class _Timed:
    """What makes a connection class of redis-py keep the deadline."""

    socket_connect_timeout: float

    def _connect(self) -> _TimedSocket:
        self.socket_connect_timeout = _deadline.left()
        connection: Any = super()
        return _TimedSocket(connection._connect())  # noqa: SLF001  its one seam between connecting and the handshake


def timed(pool: ConnectionPool) -> ConnectionPool:
    """The pool, whose connections keep the deadline of the thread that uses them."""
    kind = pool.connection_class
    pool.connection_class = type(f"Timed{kind.__name__}", (_Timed, kind), {})
    return pool


class Borrowed:
    """An application's own client, used as it is.

    Args:
        client: what has the keys, or a cluster client that finds them.
    """

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client: Any = client  # the two share no type of their own
        self.clustered = isinstance(client, RedisCluster)

    def ask(self, words: Sequence[Word]) -> object:
        """The reply, as the client gives it."""
        return self._client.execute_command(*words)

    def ask_in_time(self, words: Sequence[Word], timeout: float) -> object:  # noqa: ARG002
        """`ask`: how long it waits is the client's."""
        return self.ask(words)

    def place(self, name: str) -> int:  # noqa: ARG002
        """The client knows its own."""
        return 0

    def nodes(self) -> Sequence[Node]:
        """The client itself, or one for each master."""
        if not isinstance(self._client, RedisCluster):
            return [self]
        return [Borrowed(self._client.get_redis_connection(node)) for node in self._client.get_primaries()]

    def answers(self, name: str) -> bool:
        """Whether it can be asked again."""
        return _prompt(self, ("GET", name), 0)

    def close(self) -> None:
        """It stays open."""


class Server:
    """One server, or the master that a Sentinel names. Threads do not wait for each other.

    A connection that the server has closed meanwhile is found by its failure, which is cheaper than asking before every
    command; then all that wait are closed, and the command is sent again on a new one.

    Args:
        pool: makes the connections; see `timed`.
        timeout: seconds for a reply, with all that it takes to connect.
    """

    clustered = False

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        self._pool = timed(pool)
        self._timeout = timeout
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """No connection: a forked child's are its parent's."""
        self._idle: deque[AbstractConnection] = deque()

    def ask(self, words: Sequence[Word]) -> object:
        """The reply; raises what redis-py raises."""
        return self.ask_in_time(words, self._timeout)

    def ask_in_time(self, words: Sequence[Word], timeout: float, *, asking: bool = False) -> object:
        """The reply within a time of its own; `asking` for a slot that is just being moved here."""
        _deadline.at = monotonic() + timeout
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._exchange(self._new(), words, asking=asking)
        try:
            return self._exchange(connection, words, asking=asking)
        except errors.ConnectionError:
            self.close()
            return self._exchange(self._new(), words, asking=asking)

    def place(self, name: str) -> int:  # noqa: ARG002
        """There is one."""
        return 0

    def nodes(self) -> Sequence[Node]:
        """This one."""
        return [self]

    def answers(self, name: str) -> bool:
        """Whether it can be asked again. Finding a new master may take several questions; an answer may not."""
        self.close()
        _prompt(self, ("GET", name), 10 * self._timeout)
        return _prompt(self, ("GET", name), self._timeout)

    def close(self) -> None:
        """Close the connections that nobody is using."""
        while self._idle:
            try:
                self._idle.pop().disconnect()
            except IndexError:
                return

    def _new(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.connection_class(**self._pool.connection_kwargs)
        connection.connect()
        return connection

    def _exchange(self, connection: AbstractConnection, words: Sequence[Word], *, asking: bool) -> object:
        try:
            if asking:
                connection.send_packed_command(connection.pack_command("ASKING"), check_health=False)
                connection.read_response()
            connection.send_packed_command([_packed(words)], check_health=False)
            reply: object = connection.read_response()
        except errors.ResponseError:
            self._keep(connection)
            raise
        except BaseException:
            # Also when interrupted: the reply that is still on its way would answer the next question.
            connection.disconnect()
            raise
        self._keep(connection)
        return reply

    def _keep(self, connection: AbstractConnection) -> None:
        if len(self._idle) < _KEPT_OPEN:
            self._idle.append(connection)
        else:
            connection.disconnect()


class Cluster:
    """The masters of a Redis Cluster. Follows keys that move; learns the layout when first used and after an outage.

    Args:
        seeds: servers to learn the layout from.
        options: for the connections, without host and port.
        timeout: seconds for a reply.
    """

    clustered = True

    def __init__(self, seeds: Sequence[Address], options: dict[str, Any], timeout: float) -> None:
        self._seeds = list(seeds)
        self._options = options
        self._timeout = timeout
        self._servers: dict[Address, Server] = {}
        self._owners: list[Address] = []

    def ask(self, words: Sequence[Word]) -> object:
        """The reply of the server that has the command's key."""
        slot = key_slot(key_of(words).encode())
        address, asking = self._layout()[slot], False
        for _ in range(_REDIRECTS):
            try:
                return self._server(address).ask_in_time(words, self._timeout, asking=asking)
            except errors.MovedError as moved:
                address, asking = (moved.host or address[0], moved.port), False
                self._owners[slot] = address
            except errors.AskError as ask:
                address, asking = (ask.host or address[0], ask.port), True
        raise errors.ClusterError("a key is being moved round and round")

    def place(self, name: str) -> int:
        """A sixteenth of the slots."""
        return int(key_slot(name.encode())) // _SLOTS_OF_A_PLACE

    def nodes(self) -> Sequence[Node]:
        """The masters."""
        return [self._server(address) for address in dict.fromkeys(self._layout()) if address[1]]

    def answers(self, name: str) -> bool:
        """Learn the layout anew, and ask."""
        self._learn(4 * self._timeout)
        return _prompt(self, ("GET", name), self._timeout)

    def close(self) -> None:
        """Close the connections that nobody is using."""
        for server in list(self._servers.values()):
            server.close()

    def ask_in_time(self, words: Sequence[Word], timeout: float) -> object:  # noqa: ARG002
        """`ask`: redirections are prompt."""
        return self.ask(words)

    def _layout(self) -> list[Address]:
        return self._owners or self._learn(self._timeout)

    def _learn(self, timeout: float) -> list[Address]:
        """The address of each slot's master, told by any server; a slot without one has port 0."""
        for address in dict.fromkeys((*self._owners, *self._seeds)):
            try:
                told: Any = self._server(address).ask_in_time(("CLUSTER", "SLOTS"), timeout)
            except (errors.ConnectionError, errors.TimeoutError, OSError):
                continue
            owners: list[Address] = [("", 0)] * _SLOTS
            for first, last, master, *_ in told:
                host = (master[0] or b"").decode() or address[0]
                owners[first : last + 1] = [(host, int(master[1]))] * (last + 1 - first)
            self._owners = owners
            return owners
        raise errors.ConnectionError("no server of the cluster tells its layout")

    def _server(self, address: Address) -> Server:
        if not address[1]:
            raise errors.ClusterDownError("a slot has no master")
        server = self._servers.get(address)
        if server is None:
            pool = ConnectionPool(host=address[0], port=address[1], **self._options)
            server = self._servers.setdefault(address, Server(pool, self._timeout))
        return server


def key_of(words: Sequence[Word]) -> str:
    """The key by which a command is routed."""
    return str(words[3] if words[0] in ("EVALSHA", "EVAL") else words[1])


def _packed(words: Sequence[Word]) -> bytes:
    """The command as it is sent. redis-py's own packing looks at each word many times: a tenth of a script's turn."""
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        pieces.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(pieces)


def _prompt(wire: Server | Cluster | Borrowed, words: Sequence[Word], timeout: float) -> bool:
    """Whether there is a reply, be it a refusal."""
    try:
        wire.ask_in_time(words, timeout)
    except (errors.ClusterDownError, errors.AskError):
        return False
    except errors.ResponseError:
        return True
    except (errors.RedisError, OSError):
        return False
    return True
