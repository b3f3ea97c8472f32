"""Where an SDK would send a request, the run collects it: at httpx's transport, below every SDK's payloads and parsers.

The SDKs of OpenAI and Anthropic, and so the classes of LangChain and LlamaIndex over them, send through httpx, or newer ones
through httpx2, which has the same classes. While a run is open, their transports hand the requests of that run to it; those of
other code go where they went. No client has to be made anew, so a chain is taken as it is. `BatchTransport` does the same for a
client with a transport of another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import httpx
import orjson

from thrift_plugins.batching.client import Address
from thrift_plugins.batching.detour import detour
from thrift_plugins.batching.pending import Answer, failed
from thrift_plugins.batching.session import Session, current
from thrift_plugins.tries import sent_by_itself, worked_as

_JSON: Final = "application/json"
_NEWER: Final = "httpx2"
_STREAMED: Final = (
    "a batch cannot be streamed: its answer comes at once, hours later; call the model without streaming "
    "(streaming=False, invoke instead of stream), or outside of the batch run"
)


class BatchTransport(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Collects the requests of a run, and sends all others through another transport.

    For clients whose transport is not httpx's own, such as one over another HTTP library:
    `httpx.AsyncClient(transport=BatchTransport(theirs))`.

    Args:
        inner: sends what is not collected.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport | httpx.BaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Collect a request, or send it."""
        answer = await collect(request)
        if answer is not None:
            return answer
        send = getattr(self._inner, "handle_async_request", None)
        if send is None:
            raise TypeError("the transport inside is a synchronous one")
        response: httpx.Response = await send(request)
        return response

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """`handle_async_request` in a thread."""
        answer = collect_blocking(request)
        if answer is not None:
            return answer
        send = getattr(self._inner, "handle_request", None)
        if send is None:
            raise TypeError("the transport inside is an asynchronous one")
        response: httpx.Response = send(request)
        return response

    async def aclose(self) -> None:
        """Close the other transport."""
        if (close := getattr(self._inner, "aclose", None)) is not None:
            await close()

    def close(self) -> None:
        """Close the other transport."""
        if (close := getattr(self._inner, "close", None)) is not None:
            close()


async def collect(request: httpx.Request) -> httpx.Response | None:
    """The answer to a request of a run, None where it is to be sent as it is."""
    session = current()
    if session is None:
        return None
    body = await request.aread() if _may(session, request) else b""
    found = _addressed(session, request, body)
    if not isinstance(found, tuple):
        return found
    return response_to(request, await session.ask(found[0], body, found[1]))


def collect_blocking(request: httpx.Request) -> httpx.Response | None:
    """`collect` in a thread."""
    session = current()
    if session is None:
        return None
    body = request.read() if _may(session, request) else b""
    found = _addressed(session, request, body)
    if not isinstance(found, tuple):
        return found
    return response_to(request, session.ask_blocking(found[0], body, found[1]))


def _may(session: Session, request: httpx.Request) -> bool:
    host = session.client.host
    return request.method == "POST" and (not host or request.url.netloc.decode() == host)


def _addressed(
    session: Session, request: httpx.Request, body: bytes
) -> tuple[Address, Mapping[str, Any]] | httpx.Response | None:
    """Where a request goes in a batch, and what it says; its refusal; or None where it is sent as it is.

    Raises:
        Lost: it is, and has no reservation of its own yet.
    """
    found = _in_batch(session, request, body)
    if found is None:
        sent_by_itself()
    return found


def _in_batch(
    session: Session, request: httpx.Request, body: bytes
) -> tuple[Address, Mapping[str, Any]] | httpx.Response | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:  # a file, a form, or nothing that is looked at
        return None
    if not isinstance(content, Mapping):
        return None
    address = session.client.address(request.url.raw_path.decode("ascii"), content)
    if address is None:
        session.passed(str(content.get("model", "")), request.url.path)
        return None
    if content.get("stream"):
        return response_to(request, failed(400, _STREAMED, "batch_streaming"))
    return address, content


def response_to(request: httpx.Request, answer: Answer) -> httpx.Response:
    """An answer as the provider would have given it."""
    worked_as(answer.processing)
    # SDKs repeat what failed at once, which is for the courier to decide.
    headers = {"content-type": _JSON, "x-should-retry": "false"}
    library = next((one for one in _libraries() if isinstance(request, one.Request)), httpx)
    response: httpx.Response = library.Response(answer.status, headers=headers, content=answer.body, request=request)
    return response


@cache
def _libraries() -> tuple[Any, ...]:
    """Those whose transports SDKs send through, as far as they are installed: a run may load an SDK that nobody has before it."""
    return (httpx, import_module(_NEWER)) if find_spec(_NEWER) else (httpx,)


@contextmanager
def collecting() -> Iterator[None]:
    """The transports of httpx, and of its like, collect the requests of runs in this block."""
    with ExitStack() as stack:
        for library in _libraries():
            stack.enter_context(detour(library.AsyncHTTPTransport, "handle_async_request", _asynchronous))
            stack.enter_context(detour(library.HTTPTransport, "handle_request", _synchronous))
        yield


@cache
def collect_for_good() -> ExitStack:
    """From now on the transports look whose a request is: what is left of a run in threads may ask at any time, and must not."""
    stack = ExitStack()
    stack.enter_context(collecting())
    return stack


def _asynchronous(original: Callable[..., Any]) -> Callable[..., Any]:
    async def handle_async_request(self: Any, request: httpx.Request) -> httpx.Response:
        answer = await collect(request)
        response: httpx.Response = answer if answer is not None else await original(self, request)
        return response

    return handle_async_request


def _synchronous(original: Callable[..., Any]) -> Callable[..., Any]:
    def handle_request(self: Any, request: httpx.Request) -> httpx.Response:
        answer = collect_blocking(request)
        response: httpx.Response = answer if answer is not None else original(self, request)
        return response

    return handle_request
