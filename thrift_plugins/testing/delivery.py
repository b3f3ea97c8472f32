"""Sends one answer, whole or token by token, and keeps its bill in step with what was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from thrift_plugins.testing.billing import Meter
from thrift_plugins.testing.connection import Connection
from thrift_plugins.testing.generation import Generation, Piece, first
from thrift_plugins.testing.script import Fault
from thrift_plugins.testing.wire import Envelope
from thrift_plugins.types import Json

_GARBAGE = b'{"id": "chatcmpl-loopback", "choices": [{"ind'


def dumps(body: Mapping[str, Json]) -> bytes:
    """JSON as it goes over the wire."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answer on its way.

    Attributes:
        pace: seconds before each token of a stream.
    """

    connection: Connection
    envelope: Envelope
    generation: Generation
    meter: Meter
    fault: Fault | None
    pace: float

    async def run(self, *, stream: bool) -> None:
        """Send the answer as far as its fault and its client let it go.

        Raises:
            ConnectionError: the client broke the connection.
        """
        try:
            if self.fault and self.fault.kind == "delay":
                await self.connection.wait_gone(self.fault.seconds)
            # A client that left is seen only once the loop has looked at its socket.
            await asyncio.sleep(0)
            if self.connection.gone or (self.fault and self.fault.kind == "break" and not self.fault.tokens):
                await self._interrupt()
            else:
                await (self._stream() if stream else self._whole())
        except (ConnectionError, asyncio.CancelledError):
            self.meter.abort()
            raise

    @property
    def _limit(self) -> int | None:
        """After how many tokens the answer stops coming."""
        return self.fault.tokens if self.fault and self.fault.kind in {"stall", "break"} else None

    @property
    def _headers(self) -> dict[str, str]:
        return {"x-request-id": f"req_loopback_{self.envelope.number}"}

    async def _whole(self) -> None:
        limit = self._limit
        for piece in self.generation.pieces if limit is None else first(self.generation.pieces, limit):
            self._bill(piece)
        body = dumps(self.envelope.whole(self.generation))
        if limit is not None:
            await self.connection.send(200, body, self._headers, keep=len(body) // 2 if limit else 0)
            await self._interrupt()
        else:
            await self.connection.send(200, _GARBAGE if self._garbled else body, self._headers)

    async def _stream(self) -> None:
        await self.connection.open_stream(self._headers)
        if self._garbled:
            await self.connection.event(_GARBAGE)
        if opening := self.envelope.opening():
            await self.connection.event(dumps(opening))
        limit = self._limit
        for piece in self.generation.pieces if limit is None else first(self.generation.pieces, limit):
            await asyncio.sleep(self.pace)
            if self.connection.gone:
                self.meter.abort()
                await self.connection.close()
                return
            self._bill(piece)
            if chunk := self.envelope.piece(piece):
                await self.connection.event(dumps(chunk))
        if limit is None:
            await self._end_stream()
        else:
            await self._interrupt()

    async def _end_stream(self) -> None:
        for chunk in self.envelope.ending(self.generation):
            await self.connection.event(dumps(chunk))
        await self.connection.event(b"[DONE]")
        await self.connection.close_stream()

    async def _interrupt(self) -> None:
        """Stall until the client leaves, or hang up on it."""
        self.meter.abort()
        if self.fault and self.fault.kind == "stall":
            await self.connection.wait_gone()
        await self.connection.close()

    @property
    def _garbled(self) -> bool:
        return self.fault is not None and self.fault.kind == "garbage"

    def _bill(self, piece: Piece) -> None:
        self.meter.write(piece.tokens, reasoning=piece.kind == "reasoning")
