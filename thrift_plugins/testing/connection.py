"""As much of an HTTP/1.1 server as a test needs: keep-alive, bodies with a length, chunked answers, broken ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request.

    Attributes:
        headers: names in lower case.
        query: what follows the path's "?", undecoded.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""


class Connection:
    """One client's connection, read and written in turn."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> HttpRequest | None:
        """The next request, or None where the client is done.

        Raises:
            ConnectionError: the client broke the connection.
        """
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            request_line, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = request_line.split(" ", 2)
            pairs = (line.partition(":") for line in lines if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        except asyncio.IncompleteReadError:
            return None
        path, _, query = target.partition("?")
        return HttpRequest(method, path, headers, body, query)

    @property
    def gone(self) -> bool:
        """Whether the client has left, or we have hung up."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def wait_gone(self, seconds: float | None = None) -> None:
        """Wait until the client leaves, or so many seconds; what it sends meanwhile is dropped."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._reader.read(4096):
                    pass

    async def send(self, status: int, body: bytes, headers: Mapping[str, str], *, keep: int | None = None) -> None:
        """Send a whole JSON answer, or only the first `keep` bytes of its body."""
        sized = {"content-type": "application/json", "content-length": str(len(body)), **headers}
        self._writer.write(_head(status, sized) + body[:keep])
        await self._writer.drain()

    async def open_stream(self, headers: Mapping[str, str]) -> None:
        """Begin a stream of server-sent events."""
        streamed = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked", **headers}
        self._writer.write(_head(HTTPStatus.OK, streamed))
        await self._writer.drain()

    async def event(self, data: bytes) -> None:
        """Send one server-sent event."""
        payload = b"data: " + data + b"\n\n"
        self._writer.write(b"%x\r\n%b\r\n" % (len(payload), payload))
        await self._writer.drain()

    async def close_stream(self) -> None:
        """End the stream properly."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def close(self) -> None:
        """Hang up once everything written is sent. Idempotent."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Hang up at once."""
        self._writer.transport.abort()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a test may refuse with a status that has no name, like 529
        return "Status"
