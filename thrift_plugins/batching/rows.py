"""The JSON lines that OpenAI began and Azure, Mistral and vLLM's `run-batch` speak too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from thrift_plugins.batching.client import BatchLine, ResultLine

NEVER_RUN: Final = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})
_NO_ANSWER: Final = 500


def request_row(line: BatchLine) -> bytes:
    """A line as it goes into an input file; the body's bytes stay as the SDK wrote them."""
    # A raw line break can only be white space in JSON, and would end the row here.
    body = line.body.replace(b"\n", b" ").replace(b"\r", b" ")
    return b'{"custom_id":%b,"method":"POST","url":%b,"body":%b}\n' % (
        orjson.dumps(line.custom_id),
        orjson.dumps(line.url),
        body,
    )


def result_line(row: Mapping[str, Any]) -> ResultLine | None:
    """A row of an output or error file, None where it names no request."""
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str):
        return None
    response, error = row.get("response"), row.get("error")
    response = response if isinstance(response, Mapping) else {}
    request_id = str(response.get("request_id") or "")
    status = response.get("status_code")
    body = response.get("body")
    if isinstance(status, int) and 200 <= status < 300 and body is not None and not error:
        return ResultLine(custom_id, "answered", status, orjson.dumps(body), request_id=request_id)
    code = error_code(error) or error_code(body)
    if code in NEVER_RUN:
        return ResultLine(custom_id, "not_run", 0, _error_body(error, code), code, request_id)
    failed = status if isinstance(status, int) and status >= 400 else _NO_ANSWER
    said = orjson.dumps(body) if isinstance(body, Mapping) and "error" in body else _error_body(error or body, code)
    return ResultLine(custom_id, "errored", failed, said, code or "no_answer", request_id)


def error_code(error: object) -> str:
    """The word for an error, from its object, or from the body around it."""
    if not isinstance(error, Mapping):
        return ""
    inner = error.get("error")
    if isinstance(inner, Mapping):
        return error_code(inner)
    code = error.get("code")
    return str((code if isinstance(code, str) else "") or error.get("type") or code or "")


def _error_body(error: object, code: str) -> bytes:
    """An error as a call of its own would have had it, for the SDK's parser."""
    if isinstance(error, Mapping) and isinstance(error.get("error"), Mapping):
        return orjson.dumps(error)
    given = dict(error) if isinstance(error, Mapping) else {"message": str(error or "the provider gave no answer")}
    return orjson.dumps({"error": {"type": code or "server_error", "code": code or None, **given}})
