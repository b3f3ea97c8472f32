"""Which errors another tier may cure, and which of them the provider may bill.

No SDK is imported: every one of them (openai, anthropic, google, httpx, aiohttp) names its errors alike and carries
an HTTP status, and a wrapper keeps the original as `__cause__`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping

from thrift_plugins.errors import StreamClosed, ThriftError

_DEPTH = 5  # wrappers around a provider's error; more would be a loop

_BY_STATUS: Mapping[int, str] = {408: "timeout", 413: "context overflow", 429: "rate limit", 504: "timeout"}
_SERVER_ERRORS = range(500, 600)

_BY_WORD: Mapping[str, str] = {  # codes that providers put in a body or a `code` attribute
    "context_length_exceeded": "context overflow",
    "string_above_max_length": "context overflow",
    "request_too_large": "context overflow",
    "content_filter": "content filter",
    "content_policy_violation": "content filter",
    "rate_limit_exceeded": "rate limit",
    "insufficient_quota": "rate limit",
    "resource_exhausted": "rate limit",
    "rate_limit_error": "rate limit",
    "overloaded_error": "server error",
    "api_error": "server error",
    "server_error": "server error",
    "internal": "server error",
    "unavailable": "server error",
    "deadline_exceeded": "timeout",
}
_OVERFLOW = re.compile(
    r"context[ _](?:length|window)|maximum context|prompt is too long|too many (?:input )?tokens|"
    r"exceeds? the (?:maximum|max) (?:number of )?(?:input )?tokens|input token count",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[ _](?:filter|management policy|policy violation)|responsibleai", re.IGNORECASE)

_BY_CLASS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"RateLimit|TooManyRequests|ResourceExhausted|QuotaExceeded|Throttl"), "rate limit"),
    (re.compile(r"ContextWindow|ContextOverflow|ContextLength"), "context overflow"),
    (re.compile(r"ContentFilter|ContentPolicy"), "content filter"),
    (re.compile(r"Time[Oo]ut|DeadlineExceeded"), "timeout"),
    (re.compile(r"LengthFinishReason"), "truncated"),
    (re.compile(r"OutputParser|^ValidationError$"), "wrong form"),  # a chain or an SDK has read the answer itself
    (re.compile(r"InternalServer|ServiceUnavailable|Overloaded|BadGateway"), "server error"),
    (re.compile(r"^JSONDecodeError$|ResponseValidation"), "server error"),  # a page of some gateway, say
    (
        re.compile(
            r"Connection(?:Error|Reset|Refused)|APIConnection|ConnectError|ClientConnect|ClientOSError|"
            r"ServerDisconnected|ClientPayload|ReadError|WriteError|CloseError|RemoteProtocol|IncompleteRead"
        ),
        "connection",
    ),
)
# The connection never stood, so no prompt was sent.
_NEVER_SENT = re.compile(
    r"Connect(?:Error|Timeout|ionRefused)|ClientConnector|ConnectionTimeoutError|PoolTimeout|gaierror|SSLCertVerification"
)


def recoverable(error: BaseException) -> str | None:
    """Why another tier may be tried after this error, or None where it must reach the app.

    Returns:
        "rate limit", "server error", "timeout", "connection", "context overflow", "content filter", "truncated", "wrong
        form", or None for refused keys, bad requests, bugs, our own errors, cancellation, and the end of the process.
    """
    for link in _chain(error):
        if not isinstance(link, Exception) or isinstance(link, (ThriftError, asyncio.CancelledError)):
            return None
        status = _status(link)
        if status is not None:
            return _of_status(link, status)
        reason = _of_body(link) or _of_class(link)
        if reason is not None:
            return reason
    return None


def misread(error: BaseException) -> str | None:
    """Why another tier may be tried after an error that is met where a structured answer is read: also one of plain values.

    SDKs and frameworks read such an answer themselves, inside the call, and raise where it is not of its schema.
    """
    links = tuple(_chain(error))
    ours = any(isinstance(link, (ThriftError, asyncio.CancelledError)) for link in links)
    return "wrong form" if not ours and isinstance(error, ValueError) else None


def input_billed(error: BaseException) -> bool:
    """Whether the provider may have read, and so billed, the prompt before this error.

    True for time-outs, for connections that broke once the prompt was on its way, and for cancellation. False for
    an HTTP status (the provider refused), for connections that never stood, and for errors of other kinds.
    """
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, StreamClosed)):
        return True
    links = tuple(_chain(error))
    if any(_status(link) is not None or _never_sent(link) for link in links):
        return False
    return recoverable(error) in {"timeout", "connection"}


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(_DEPTH):
        if link is None:
            return
        yield link
        link = link.__cause__  # not __context__: a bug met while handling an outage is still a bug


def _never_sent(link: BaseException) -> bool:
    return any(_NEVER_SENT.search(kind.__name__) for kind in type(link).__mro__)


def _status(error: BaseException) -> int | None:
    """The HTTP status an error carries, wherever its SDK puts it."""
    response = getattr(error, "response", None)
    candidates = [getattr(error, name, None) for name in ("status_code", "http_status", "status", "code")]
    for status in (*candidates, getattr(response, "status_code", None), getattr(response, "status", None)):
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600:
            return int(status)
    return None


def _of_status(error: BaseException, status: int) -> str | None:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in _SERVER_ERRORS:
        return "server error"
    # A 4xx is the app's mistake, except for the two that a model with other limits would not make.
    reason = _of_body(error)
    if reason in {"context overflow", "content filter"}:
        return reason
    text = str(error)
    if _OVERFLOW.search(text):
        return "context overflow"
    return "content filter" if _FILTERED.search(text) else None


def _of_body(error: BaseException) -> str | None:
    """The reason that a provider's own error code gives, from attributes or from the parsed body."""
    body = getattr(error, "body", None)
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        body = body["error"]
    inner = (body.get("code"), body.get("type"), body.get("status")) if isinstance(body, Mapping) else ()
    for word in (getattr(error, "code", None), getattr(error, "type", None), *inner):
        if isinstance(word, str) and word.lower() in _BY_WORD:
            return _BY_WORD[word.lower()]
    return None


def _of_class(error: BaseException) -> str | None:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "connection"
    for kind in type(error).__mro__:
        for pattern, reason in _BY_CLASS:
            if pattern.search(kind.__name__):
                return reason
    return None
