"""A shorter way for the chat models of langchain-openai in a batch run: past the SDK and the HTTP client, to the collector.

The request is what the model's own method makes, and its own method reads the answer. What needs more of the SDK than that
(parsed structured output, the Responses API, Azure, headers of a call) goes the long way, and is collected at the transport.
"""

# ruff: noqa: SLF001  LangChain's methods for a payload and a result are behind underscores

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Final

import orjson

from thrift_plugins.batching.detour import detour
from thrift_plugins.batching.session import current
from thrift_plugins.tries import worked_as

_HOME: Final = "langchain_openai.chat_models.base"
_SDK_OPTIONS: Final = ("response_format", "extra_headers", "extra_query", "extra_body", "timeout", "stream_options")


@contextmanager
def shortcut() -> Iterator[None]:
    """Models of langchain-openai go the shorter way in this block, if the app has loaded them, and where they can."""
    with ExitStack() as stack:
        kind = getattr(sys.modules.get(_HOME), "BaseChatOpenAI", None)
        if kind is not None:
            stack.enter_context(detour(kind, "_agenerate", _shortened))
        yield


def _shortened(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def _agenerate(
        self: Any, messages: list[Any], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        path = _path(self)
        session = current()
        if session is None or path is None:
            return await original(self, messages, stop, run_manager, **kwargs)
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        address = session.client.address(path, payload) if _is_plain(self, payload) else None
        body = _encoded(payload) if address is not None else None
        if address is None or body is None:
            return await original(self, messages, stop, run_manager, **kwargs)
        asking = session.ask(address, body, payload)
        del body, payload  # of thousands that wait at once
        answer = await asking
        worked_as(answer.processing)
        if answer.status >= 400:
            raise _error(self, path, answer.status, answer.body)
        return self._create_chat_result(orjson.loads(answer.body), {})

    return _agenerate


def _path(model: Any) -> str | None:
    """Where the model's SDK would send a chat, None where that is not the run's provider, or the SDK is another one."""
    session, client = current(), model.root_async_client
    if session is None or type(client).__name__ != "AsyncOpenAI":
        return None
    url = client.base_url
    if session.client.host and url.netloc.decode() != session.client.host:
        return None
    return f"{url.raw_path.decode('ascii').rstrip('/')}/chat/completions"


def _is_plain(model: Any, payload: Mapping[str, Any]) -> bool:
    if model.include_response_headers or payload.get("stream") or any(name in payload for name in _SDK_OPTIONS):
        return False
    return not model._use_responses_api(payload)


def _encoded(payload: Mapping[str, Any]) -> bytes | None:
    try:
        return orjson.dumps(payload)
    except TypeError:  # something that the SDK knows how to send
        return None


def _error(model: Any, path: str, status: int, body: bytes) -> Exception:
    """The error that the SDK would have raised."""
    import httpx  # noqa: PLC0415  errors are rare, and the SDK has loaded it

    client = model.root_async_client
    response = httpx.Response(status, content=body, request=httpx.Request("POST", client.base_url.join(path)))
    error: Exception = client._make_status_error_from_response(response)
    return error
