"""One HTTP request, made once, and how it ended. The only module of the batch clients that touches the network.

Nothing here tries again: a create that is sent a second time can be paid a second time.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

import httpx
import orjson

from thrift_plugins.batching.client import BatchError, BatchRefused, BatchUnknown

_SPOOL: Final = 16_000_000
_CHUNK: Final = 1 << 18
_UNSURE: Final = frozenset({408})  # besides 5xx: the answer of a proxy that gave up waiting, not of the provider
_LATER: Final = frozenset({409, 423, 425, 429})
_FULL_CODES: Final = frozenset(
    {"token_limit_exceeded", "enqueued_token_limit_exceeded", "too_many_batches", "queue_full"}
)
_FULL_WORDS: Final = ("enqueued token", "queued token", "queue is full", "batch queue", "too many batches")
_TIMEOUT: Final = httpx.Timeout(60.0, connect=15.0, write=300.0, read=300.0)

Json = Mapping[str, Any]


class BatchWire:
    """HTTP to one account.

    Args:
        base_url: where paths begin.
        headers: of every request; the key is in them, and they are never shown.
        params: of every request's query.
        http: a client of the app's own, for proxies and certificates; it is not closed. Its time limits count, unless they
            are httpx's 5 s, in which no file can be sent.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        params: Mapping[str, str] | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._params = dict(params or {})
        self._own = http is None
        self._timeout = _TIMEOUT if http is None or http.timeout == httpx.Timeout(5.0) else http.timeout
        # No connection is kept: one that the provider closed in the meantime makes a create's outcome unknown.
        self._http = http or httpx.AsyncClient(verify=_certificates(), limits=httpx.Limits(max_keepalive_connections=0))

    @property
    def host(self) -> str:
        """Host, and port where it says one."""
        return httpx.URL(self.base_url).netloc.decode()

    async def aclose(self) -> None:
        """Close connections."""
        if self._own:
            await self._http.aclose()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """The JSON of an address."""
        return _object(await self.send("GET", path, params=params))

    async def post(self, path: str, body: Json, *, params: Mapping[str, str] | None = None) -> Json:
        """The JSON that a JSON is answered with."""
        headers = {"content-type": "application/json"}
        return _object(await self.send("POST", path, params=params, content=orjson.dumps(body), headers=headers))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to one request, which was a success.

        Raises:
            BatchRefused: the provider refused, and did nothing.
            BatchUnknown: nobody knows whether it did.
        """
        async with self.stream(method, path, params=params, content=content, headers=headers) as response:
            await _read(response)
            return response

    async def send_any(self, method: str, path: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer to one request, whatever it says.

        Raises:
            BatchRefused: nothing was sent.
            BatchUnknown: no answer came.
        """
        async with self._opened(method, path, None, content, headers) as response:
            await _read(response)
            return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The same with a body that is still to be read. Raises as `send`, also where reading breaks off."""
        async with self._opened(method, path, params, content, headers) as response:
            if response.status_code >= 300:
                await _read(response)
                raise failure(response)
            yield response

    @asynccontextmanager
    async def _opened(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        content: bytes | AsyncIterator[bytes] | None,
        headers: Mapping[str, str] | None,
    ) -> AsyncIterator[httpx.Response]:
        url = path if path.startswith("http") else self.base_url + path
        asked = self._http.build_request(
            method,
            url,
            params={**self._params, **(params or {})} or None,
            content=content,
            headers={**self._headers, **(headers or {})},
            timeout=self._timeout,
        )
        try:
            response = await self._http.send(asked, stream=True, follow_redirects=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            # Nothing was sent, so nothing was made.
            raise BatchRefused(_told(error), code=type(error).__name__, again=True) from error
        except httpx.HTTPError as error:
            raise BatchUnknown(_told(error), code=type(error).__name__) from error
        try:
            yield response
        except httpx.HTTPError as error:
            raise BatchUnknown(_told(error), code=type(error).__name__) from error
        finally:
            await response.aclose()

    async def lines(
        self, path: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Json]:
        """The JSON objects of a file of JSON lines as it is read; what is none is left out.

        Raises:
            BatchUnknown: the download broke off; what came before it is good.
        """
        async with self.stream("GET", path, params=params, headers=headers) as response:
            rest = b""
            async for chunk in response.aiter_bytes():
                # By "\n" alone: JSON may hold the other characters at which text has lines.
                *whole, rest = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
                for line in whole:
                    if (row := parsed(line)) is not None:
                        yield row
            if (row := parsed(rest)) is not None:
                yield row

    async def upload(self, path: str, fields: Mapping[str, str], name: str, rows: Iterable[bytes], **more: Any) -> Json:
        """Send rows as a file in a form; a large one waits on disk, in a file that has no name and vanishes.

        Args:
            more: as for `send`.
        """
        with spooled(rows) as (file, size):
            head, tail, boundary = _form(fields, name)
            headers = {
                "content-type": f"multipart/form-data; boundary={boundary}",
                "content-length": str(len(head) + size + len(tail)),
            }
            return _object(await self.send("POST", path, content=_parts(head, file, tail), headers=headers, **more))


@cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes longer than anything else that a client is made of."""
    return httpx.create_ssl_context()


class spooled:  # noqa: N801  (used as a context manager, like a function)
    """Rows in a file that forgets itself: `with spooled(rows) as (file, size)`."""

    def __init__(self, rows: Iterable[bytes]) -> None:
        self._file: IO[bytes] = SpooledTemporaryFile(_SPOOL)  # noqa: SIM115  (closed in __exit__)
        try:
            self._file.writelines(rows)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> tuple[IO[bytes], int]:
        size = self._file.tell()
        self._file.seek(0)
        return self._file, size

    def __exit__(self, *_: object) -> None:
        self._file.close()


async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """A file piece by piece, from where it stands."""
    while chunk := file.read(_CHUNK):
        yield chunk


def parsed(line: bytes) -> Json | None:
    """A line's JSON object, None where it has none."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def failure(response: httpx.Response) -> BatchError:
    """What a response that is no success says: refused, or nobody knows."""
    status = response.status_code
    code, message = _problem(response.content)
    told = f"{response.request.method} {response.request.url.path} was answered with {status}: {message or code}"
    full = code in _FULL_CODES or any(words in message.lower() for words in _FULL_WORDS)
    if (status >= 500 or status in _UNSURE) and not full:
        return BatchUnknown(told, code=code, status=status)
    return BatchRefused(
        told, code=code, status=status, again=full or status in _LATER, full=full, retry_after=_retry_after(response)
    )


def account_id(provider: str, host: str, key: str) -> str:
    """The id of an account: the same for the same key, and none can tell the key from it."""
    return f"{provider}:{host}:{sha256(key.encode()).hexdigest()[:16]}"


def seconds(moment: object) -> float:
    """Seconds since the epoch of a time as a provider writes it: a number, or RFC 3339; 0 where it is neither."""
    if isinstance(moment, int | float):
        return float(moment)
    if not isinstance(moment, str):
        return 0.0
    try:
        # Python 3.11 reads up to nine digits of a second, with either way to say UTC.
        when = datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


async def _read(response: httpx.Response) -> None:
    try:
        await response.aread()
    except httpx.HTTPError as error:
        raise BatchUnknown(_told(error), code=type(error).__name__) from error


def _object(response: httpx.Response) -> Json:
    row = parsed(response.content)
    if row is None:
        # A success in words that nobody understands, as a proxy's login page: it may have been done.
        told = f"{response.request.method} {response.request.url.path} was answered with no JSON object"
        raise BatchUnknown(told, code="not_json", status=response.status_code)
    return row


def _problem(content: bytes) -> tuple[str, str]:
    """Code and message of an error body, in any provider's form."""
    body = parsed(content) or {}
    error = body.get("error", body.get("detail", body))
    if isinstance(error, Mapping):
        code = error.get("code") if isinstance(error.get("code"), str) else None
        code = code or error.get("status") or error.get("type") or ""
        return str(code), str(error.get("message", ""))[:500]
    return "", str(error)[:500]


def _retry_after(response: httpx.Response) -> float | None:
    told = response.headers.get("retry-after-ms")
    if told and told.isdigit():
        return int(told) / 1000
    told = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _told(error: httpx.HTTPError) -> str:
    asked = error.request
    return f"{asked.method} {asked.url.path}: {str(error) or type(error).__name__}"


def _form(fields: Mapping[str, str], name: str) -> tuple[bytes, bytes, str]:
    boundary = sha256(f"{name}{sorted(fields.items())}".encode()).hexdigest()
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/jsonl\r\n\r\n'
    return ("".join(parts) + file).encode(), f"\r\n--{boundary}--\r\n".encode(), boundary


async def _parts(head: bytes, file: IO[bytes], tail: bytes) -> AsyncIterator[bytes]:
    yield head
    async for chunk in chunks(file):
        yield chunk
    yield tail
