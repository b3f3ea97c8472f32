"""A batch provider in memory that costs next to nothing: for what the collector itself costs, and for counting waves."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from thrift_plugins.batching.client import (
    Address,
    BatchLine,
    BatchStatus,
    Counts,
    Instant,
    Intent,
    Limits,
    Recovery,
    ResultLine,
)
from thrift_plugins.batching.rows import request_row


class InstantBatches:
    """Has answered each batch as soon as it is made. Uploads are written to a file, as they would be sent.

    Attributes:
        sizes: lines of each batch, in the order of creation.
    """

    provider = "memory"
    account = "memory:instant"
    host = ""
    documented_only = False
    recovery: Recovery = "metadata"

    def __init__(self, *, canned: bool = False) -> None:
        self.sizes: list[int] = []
        self._lines: dict[str, Sequence[BatchLine]] = {}
        self._folder = tempfile.TemporaryDirectory()
        self._canned = chat_answer("A short answer to what was asked, in a sentence or two.") if canned else None

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        return Address(str(body.get("model")), path)

    def limits(self, model: str) -> Limits:
        return Limits()

    def flex(self, model: str) -> bool:
        return False

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        await asyncio.sleep(0)
        self._written(lines)
        return intent.id

    def _written(self, lines: Iterable[BatchLine]) -> None:
        path = Path(self._folder.name, "upload.jsonl")
        with path.open("wb") as file:
            file.writelines(map(request_row, lines))
        path.unlink()

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:
        await asyncio.sleep(0)
        self.sizes.append(intent.count)
        self._lines[intent.id] = list(lines)
        return BatchStatus(
            intent.id, "completed", intent.made_at, Counts(intent.count, intent.count), intent.id, upload
        )

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        await asyncio.sleep(0)
        for name in ():
            yield name

    async def status(self, batch_id: str) -> BatchStatus:
        await asyncio.sleep(0)
        count = len(self._lines[batch_id])
        return BatchStatus(batch_id, "completed", 0.0, Counts(count, count), batch_id, "", ("out",))

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        await asyncio.sleep(0)
        for line in self._lines.pop(batch.id):
            yield ResultLine(line.custom_id, "answered", 200, self._canned or answer_to(orjson.loads(line.body)))

    async def cancel(self, batch_id: str) -> BatchStatus:
        return await self.status(batch_id)

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:
        await asyncio.sleep(0)
        return Instant(200, answer_to(orjson.loads(line.body)))

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self._folder.cleanup()


def answer_to(body: Mapping[str, Any]) -> bytes:
    """What is said back: the end of what was asked; a tool call where there are tools, and as many as its text wishes are made."""
    if "text" in body:
        return orjson.dumps(body["text"])
    messages = body["messages"]
    said = str(messages[-1].get("content"))
    made = sum(message["role"] == "tool" for message in messages)
    wished = next((int(word[6:]) for word in str(messages[0]["content"]).split() if word.startswith("tools:")), 1)
    if body.get("tools") and made < wished:
        name = body["tools"][0]["function"]["name"]
        return chat_answer(
            "",
            [{"id": f"call_{made}", "type": "function", "function": {"name": name, "arguments": '{"place":"here"}'}}],
        )
    return chat_answer(said[-60:])


def chat_answer(text: str, calls: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """A chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = list(calls)
    return orjson.dumps(
        {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 120, "completion_tokens": 14, "total_tokens": 134},
        }
    )  # fmt: skip
