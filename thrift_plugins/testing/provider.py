"""A provider of OpenAI's chat API on this machine: deterministic, scripted, faulty on demand, and with a bill.

Example:
    with LoopbackProvider() as provider:
        llm = ChatOpenAI(model="gpt-4o-mini", base_url=provider.base_url, api_key=provider.api_key)
        llm.invoke("Hello")
        provider.billed[-1].input_tokens
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

from thrift_plugins.testing.answers import default_answer
from thrift_plugins.testing.billing import BilledCall, Ledger, PromptCache, input_tokens, totals
from thrift_plugins.testing.connection import Connection, HttpRequest
from thrift_plugins.testing.delivery import Delivery, dumps
from thrift_plugins.testing.generation import Generation, generate
from thrift_plugins.testing.script import Answer, Endpoint, Fault, FaultPlan, Script, WireRequest
from thrift_plugins.testing.validation import problem_of
from thrift_plugins.testing.wire import Envelope, error_body, models_body
from thrift_plugins.types import Usage

_ENDPOINTS: Final[dict[str, Endpoint]] = {
    "/v1/chat/completions": "chat/completions",
    "/v1/completions": "completions",
}
_BACKLOG: Final = 1024


class LoopbackProvider:
    """An OpenAI-compatible server on 127.0.0.1, on a thread and an event loop of its own.

    It serves `POST /v1/chat/completions`, `POST /v1/completions` and `GET /v1/models`, streamed or whole, with tools,
    `response_format`, `stop` and token limits. `n`, `seed` and sampling settings are accepted and ignored; any API key
    does, but none is refused. What it answers without a script is told in `testing.answers`, what it bills and when in
    `testing.billing`.

    Args:
        answer_tokens: length of a default plain-text answer, in tokens, about.
        pace: seconds before each token of a stream.
        prompt_cache: simulate automatic prompt caching, so that a prompt's second sight reports cached tokens.
        models: names that `GET /v1/models` lists; a call may name any model.
        keep_requests: how many of the latest requests `requests` holds.

    Attributes:
        api_key: a key to hand to a client.
        faults: which requests fail, and how.
    """

    api_key: Final = "sk-loopback"

    def __init__(
        self,
        *,
        answer_tokens: int = 32,
        pace: float = 0.0,
        prompt_cache: bool = False,
        models: Sequence[str] = ("gpt-4o-mini", "gpt-4o"),
        keep_requests: int = 10_000,
    ) -> None:
        self.faults = FaultPlan()
        self._answer_tokens = answer_tokens
        self._pace = pace
        self._prompt_cache = PromptCache() if prompt_cache else None
        self._models = tuple(models)
        self._requests: deque[WireRequest] = deque(maxlen=keep_requests)
        self._ledger = Ledger()
        self._script: Script | None = None
        self._arrived = 0
        self._under_way = 0
        self._idle = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0

    # --- what a test sees

    @property
    def base_url(self) -> str:
        """Where it listens, such as "http://127.0.0.1:40123/v1".

        Raises:
            RuntimeError: it has not been started.
        """
        if not self._port:
            raise RuntimeError("the provider is not running; use it in a with block, or call start()")
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def billed(self) -> tuple[BilledCall, ...]:
        """A row for each request in the order of arrival; refused ones are there and bill nothing."""
        return self._ledger.rows

    @property
    def totals(self) -> dict[str, Usage]:
        """What each model was billed in all."""
        return totals(self._ledger.rows)

    @property
    def requests(self) -> tuple[WireRequest, ...]:
        """The latest requests that could be parsed, oldest first."""
        return tuple(self._requests)

    def script(self, script: Script | None) -> None:
        """Let a function choose the answers from now on; None goes back to the default ones.

        It runs on the provider's thread and must not block. What it raises becomes a 500.
        """
        self._script = script

    def reset(self) -> None:
        """Forget bill, requests, faults and script. Call it only while no request is under way."""
        self._ledger.clear()
        self._requests.clear()
        self.faults.clear()
        self._script = None

    def wait_idle(self, timeout: float = 5.0) -> bool:
        """Wait until no request is under way, as after a client left a stream; False where `timeout` seconds pass."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._under_way, timeout)

    # --- its thread

    def start(self) -> None:
        """Listen on a free port.

        Raises:
            RuntimeError: it is running already.
            OSError: no socket could be opened.
        """
        if self._thread is not None:
            raise RuntimeError("the provider is running already")
        ready = threading.Event()
        failure: list[OSError] = []
        self._thread = threading.Thread(target=self._run, args=(ready, failure), name="loopback-provider", daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            self.stop()
            raise failure[0]

    def stop(self) -> None:
        """Hang up on everyone and wait for the thread to end. Idempotent; the bill stays readable."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None:
            return
        if loop is not None and stopping is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(stopping.set)
        thread.join()
        self._thread = self._loop = self._stopping = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, ready: threading.Event, failure: list[OSError]) -> None:
        try:
            asyncio.run(self._main(ready))
        except OSError as error:
            failure.append(error)
            ready.set()

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=_BACKLOG)
        async with server:
            self._port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._stopping.wait()
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    # --- one connection, one request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task)
        self._connections.add(task)
        connection = Connection(reader, writer)
        try:
            while not connection.gone and (request := await connection.receive()) is not None:
                with self._counted():
                    await self._respond(request, connection)
            await connection.close()
        except (ConnectionError, asyncio.CancelledError):
            connection.abort()
        finally:
            self._connections.discard(task)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._under_way += 1
        try:
            yield
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    async def _respond(self, http: HttpRequest, connection: Connection) -> None:
        endpoint = _ENDPOINTS.get(http.path)
        if http.method == "POST" and endpoint is not None:
            await self._complete(http, endpoint, connection)
        elif http.method == "GET" and http.path == "/v1/models":
            await connection.send(200, dumps(models_body(self._models)), {})
        else:
            body = error_body(404, "unknown_url", f"unknown request: {http.method} {http.path}")
            await connection.send(404, dumps(body), {})

    async def _complete(self, http: HttpRequest, endpoint: Endpoint, connection: Connection) -> None:
        self._arrived += 1
        try:
            body = json.loads(http.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            unread = WireRequest(self._arrived, endpoint, http.headers, {})
            await self._refuse(unread, Fault.refuse(400, "invalid_json"), "the body is not a JSON object", connection)
            return
        request = WireRequest(self._arrived, endpoint, http.headers, body)
        self._requests.append(request)
        fault = self.faults.take(request)
        if not http.headers.get("authorization", "").removeprefix("Bearer").strip():
            await self._refuse(request, Fault.refuse(401, "invalid_api_key"), "no API key was given", connection)
        elif fault and fault.kind == "refuse":
            await self._refuse(request, fault, f"refused with {fault.status} by the test's plan", connection)
        elif problem := problem_of(request):
            await self._refuse(request, Fault.refuse(400, "invalid_request"), problem, connection)
        else:
            await self._answer(request, fault, connection)

    async def _refuse(self, request: WireRequest, fault: Fault, message: str, connection: Connection) -> None:
        self._ledger.open(
            BilledCall(request.number, request.model, request.endpoint, request.stream, status=fault.status)
        )
        headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
        await connection.send(fault.status, dumps(error_body(fault.status, fault.code, message)), headers)

    async def _answer(self, request: WireRequest, fault: Fault | None, connection: Connection) -> None:
        try:
            answer = self._script(request) if self._script else None
        except Exception as error:  # noqa: BLE001  (a script is a test's code and may raise anything)
            await self._refuse(request, Fault.refuse(500, "script_error"), f"the script raised {error!r}", connection)
            return
        answer = answer or default_answer(request, self._answer_tokens)
        asked = request.unlimited() if fault and fault.kind == "overrun" else request
        generation = _under(fault, generate(answer, asked))
        envelope = self._envelope(request, answer)
        meter = self._ledger.open(
            BilledCall(
                request.number,
                request.model,
                request.endpoint,
                request.stream,
                input_tokens=envelope.input_tokens,
                cached_tokens=envelope.cached_tokens,
                completion_id=envelope.id,
            )
        )
        delivery = Delivery(connection, envelope, generation, meter, fault, self._pace)
        await delivery.run(stream=request.stream)

    def _envelope(self, request: WireRequest, answer: Answer) -> Envelope:
        billed = input_tokens(request)
        cached = self._prompt_cache.read(request, billed) if self._prompt_cache else 0
        with_usage = request.stream and bool((request.body.get("stream_options") or {}).get("include_usage"))
        cached = cached if answer.cached_tokens is None else answer.cached_tokens
        asked = request.body.get("service_tier")
        served = "default" if asked == "auto" else asked if isinstance(asked, str) else None
        return Envelope(request.number, request.model, request.endpoint, billed, cached, with_usage, served)


def _under(fault: Fault | None, generation: Generation) -> Generation:
    """The generation as a fault leaves it."""
    if fault and fault.kind == "truncate":
        return generation.cut(fault.tokens, "length")
    if fault and fault.kind == "content_filter":
        return Generation((), "content_filter")
    return generation
