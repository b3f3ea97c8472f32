"""JSON forms of what decides an answer, for cache keys: a model's settings and a call's parameters.

Both adapters use it. What has no JSON form that says all of it makes a call uncacheable; it is never guessed from
`str()`, where two different objects can look alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from hashlib import sha256
from math import isfinite
from types import CodeType, FunctionType
from typing import Any

from pydantic import BaseModel, SecretStr

_IRRELEVANT = frozenset(
    {
        "additional_headers", "async_client", "async_http_client", "azure_ad_token", "cache", "callback_manager",
        "callbacks", "client", "client_options", "custom_get_token_ids", "default_headers", "extra_headers", "headers",
        "http_async_client", "http_client", "http_socket_options", "ls_structured_output_format", "max_retries",
        "metadata", "name", "organization", "prompt_cache_key", "proxies", "rate_limiter", "request_timeout",
        "reuse_client", "root_async_client", "root_client", "safety_identifier", "stream", "stream_chunk_timeout",
        "stream_options", "stream_usage", "streaming", "structured_output_format", "tags", "timeout",
        "use_previous_response_id", "user", "verbose",
    }
)  # fmt: skip
"""Settings that do not change what a model answers."""

_SECRETS = ("api_key", "access_token", "api_token", "auth_token", "bearer_token", "session_token", "_secret", "password")
"""Ends of the names of credentials. Not every token is one: `eos_token` decides where an answer stops."""


class NoCanonicalForm(TypeError):
    """A value that decides the answer and has no JSON form."""


def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide an answer, as JSON. Names about transport, credentials and tracing are left out.

    Raises:
        NoCanonicalForm: a setting has no JSON form.
    """
    return {
        name: plain(value)
        for name, value in dict(settings).items()  # of a copy: another thread may be adding to it
        if value is not None and name not in _IRRELEVANT and not _is_secret(name, value)
    }


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, SecretStr) or name.endswith(_SECRETS)


def plain(value: Any) -> Any:
    """A value as JSON: models by their fields, classes by their schema, functions by name and code.

    Raises:
        NoCanonicalForm: it has none.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, float) and not isfinite(value):
        raise NoCanonicalForm(f"{value} has no JSON form")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in dict(value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [plain(item) for item in list(value)]
        return sorted(items, key=repr) if isinstance(value, set | frozenset) else items
    return _described(value)


def _described(value: Any) -> Any:
    try:
        if isinstance(value, BaseModel):
            return [type(value).__qualname__, value.model_dump(mode="json")]
        if isinstance(value, type) and issubclass(value, BaseModel):
            return value.model_json_schema()
    except Exception as error:  # a model's own serialiser may raise anything, and must not raise it in the app's call
        raise NoCanonicalForm(f"{type(value).__name__} has no JSON form: {error}") from error
    if isinstance(value, FunctionType) and "<" not in value.__qualname__ and value.__closure__ is None:
        return [value.__module__, value.__qualname__, _code(value.__code__), plain(value.__defaults__)]
    raise NoCanonicalForm(f"{type(value).__name__} has no JSON form")


def _code(code: CodeType) -> str:
    """A digest of what a function does: after a deploy, one of the same name may do something else."""
    inner = [_code(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts]
    return sha256(repr([code.co_code, code.co_names, inner]).encode()).hexdigest()
