"""Batches on your own GPUs: the files of vLLM's `run-batch`, as if they were a provider's batch API.

A batch is a file of lines in a directory. Whoever owns the GPUs runs

    vllm run-batch -i jobs/ID.input.jsonl -o jobs/ID.output.jsonl --model MODEL

and the executor, run again, finds the answers. Nothing is paid, and a batch is made once whatever happens: its name is its intent's.

Where the input is a table of millions of rows on a cluster that you run yourself, Ray Data's `ray.data.llm` or a Spark job over vLLM is the
better tool: they keep many GPUs full and move the data to them. This is for the same chain that otherwise goes to a provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from thrift_plugins.batching.client import (
    Address,
    BatchLine,
    BatchRefused,
    BatchStatus,
    Counts,
    Instant,
    Intent,
    Limits,
    Recovery,
    ResultLine,
    State,
)
from thrift_plugins.batching.remote import instant
from thrift_plugins.batching.rows import request_row, result_line
from thrift_plugins.batching.wire import BatchWire, parsed
from thrift_plugins.drafts import drafted

ENDPOINTS: Final = frozenset({"/v1/chat/completions", "/v1/embeddings", "/v1/score", "/v1/rerank"})


def write_run_batch(path: str | Path, lines: Iterable[BatchLine]) -> int:
    """Write the input file of a `vllm run-batch`, whole or not at all, readable by its owner alone. Returns the number of lines.

    Raises:
        ValueError: two lines have the same custom id, with which engines hang or mix answers up.
    """
    seen: set[str] = set()

    def rows() -> Iterator[bytes]:
        for line in lines:
            if line.custom_id in seen:
                raise ValueError(f"two lines have the custom id {line.custom_id!r}; each answer needs an id of its own")
            seen.add(line.custom_id)
            yield request_row(line)

    _write(Path(path), rows())
    return len(seen)


def read_run_batch(path: str | Path) -> Iterator[ResultLine]:
    """The results in the output file of a `vllm run-batch`, in its order. A line that is no JSON is left out."""
    with Path(path).open("rb") as file:
        for raw in file:
            row = parsed(raw)
            if row is not None and (line := result_line(row)) is not None:
                yield line


class RunBatchFiles:
    """A `BatchClient` over a directory of `run-batch` files.

    Args:
        directory: for the files; made if it is not there, for its owner alone.
        base_url: of a server of the same model, such as "http://127.0.0.1:8000/v1", for calls that may not wait.
        api_key: of that server.
        http: a client of your own.
    """

    provider = "vllm"
    recovery: Recovery = "token"
    documented_only = False

    def __init__(
        self,
        directory: str | Path,
        *,
        base_url: str | None = None,
        api_key: str = "none",
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.account = f"vllm:{self._directory.resolve()}"
        headers = {"Authorization": f"Bearer {api_key}"}
        self._wire = BatchWire(base_url, headers, http=http) if base_url else None
        self.host = self._wire.host if self._wire else ""

    def input_file(self, batch_id: str) -> Path:
        """The file for `-i`."""
        return self._directory / f"{batch_id}.input.jsonl"

    def output_file(self, batch_id: str) -> Path:
        """The file for `-o`."""
        return self._directory / f"{batch_id}.output.jsonl"

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        """See `BatchClient`."""
        url, model = httpx.URL(path).path, body.get("model")
        return Address(model, url) if url in ENDPOINTS and isinstance(model, str) else None

    def limits(self, model: str) -> Limits:  # noqa: ARG002
        """None but the disk; a million lines a file, so that one is done before the last."""
        return Limits(lines=1_000_000, bytes=10_000_000_000, window_s=None)

    def flex(self, model: str) -> bool:  # noqa: ARG002
        """There is none."""
        return False

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        """See `BatchClient`."""
        write_run_batch(self.input_file(intent.id), lines)
        return intent.id

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:  # noqa: ARG002
        """See `BatchClient`."""
        about = {"model": intent.model, "url": intent.url, "count": intent.count, "made_at": intent.made_at}
        _write(self._about_file(intent.id), [orjson.dumps(about)])
        return await self.status(intent.id)

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        """See `BatchClient`."""
        found = [
            await self.status(path.name.removesuffix(".batch.json")) for path in self._directory.glob("*.batch.json")
        ]
        for status in sorted(found, key=lambda status: status.created_at, reverse=True):
            if status.created_at >= since - 60:
                yield status

    async def status(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`. It is complete once every line has an answer: vLLM writes them all at its end."""
        try:
            about = orjson.loads(self._about_file(batch_id).read_bytes())
        except FileNotFoundError:
            raise BatchRefused(
                f"there is no batch {batch_id} in {self._directory}", code="not_found", status=404
            ) from None
        counts = self._counts(batch_id, int(about["count"]))
        done = counts.completed + counts.failed >= counts.total
        state: State = "completed" if done else "cancelled" if self._stop_file(batch_id).exists() else "running"
        results = (str(self.output_file(batch_id)),) if counts.completed + counts.failed else ()
        return BatchStatus(batch_id, state, float(about["made_at"]), counts, batch_id, batch_id, results)

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        """See `BatchClient`."""
        for path in batch.results:
            for line in read_run_batch(path):
                yield line

    async def cancel(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`. Only the mark is set: nobody here can stop an engine."""
        _write(self._stop_file(batch_id), [])
        return await self.status(batch_id)

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:  # noqa: ARG002
        """See `BatchClient`."""
        if self._wire is None:
            raise BatchRefused("no server was given for calls that may not wait; give base_url=", code="no_server")
        return await instant(self._wire, line.url.removeprefix("/v1"), line.body)

    async def aclose(self) -> None:
        """See `BatchClient`."""
        if self._wire is not None:
            await self._wire.aclose()

    def _about_file(self, batch_id: str) -> Path:
        return self._directory / f"{batch_id}.batch.json"

    def _stop_file(self, batch_id: str) -> Path:
        return self._directory / f"{batch_id}.cancelled"

    def _counts(self, batch_id: str, total: int) -> Counts:
        try:
            ended = {line.custom_id: line.outcome for line in read_run_batch(self.output_file(batch_id))}
        except FileNotFoundError:
            return Counts(total)
        answered = sum(outcome == "answered" for outcome in ended.values())
        return Counts(total, answered, len(ended) - answered)


def _write(path: Path, rows: Iterable[bytes]) -> None:
    """A file that is there whole or not at all, for its owner alone: prompts are in it."""
    with drafted(path) as file:
        file.writelines(rows)
