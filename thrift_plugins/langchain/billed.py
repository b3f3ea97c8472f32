"""What a call has cost whose answer came, was counted, and was then refused by the SDK.

OpenAI's SDK raises for a structured answer that was cut or filtered, and hangs the whole answer on the error. Where it is not of
the schema, pydantic raises, and LangChain hangs the provider's response on that.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from thrift_plugins.types import Usage

_DEPTH = 8
"""Links of a chain of causes that are looked at: a chain may be a circle."""

_OK = 200


def billed(error: BaseException) -> Usage | None:
    """The provider's own count on an error, or on what caused it; None where there is none."""
    link: BaseException | None = error
    for _ in range(_DEPTH):
        if link is None:
            return None
        counted = getattr(getattr(link, "completion", None), "usage", None) or _told(getattr(link, "response", None))
        if counted is not None:
            return _usage(counted)
        link = link.__cause__
    return None


def _told(response: Any) -> Any:
    """The count in the body of a response that the provider gave, None where there is none."""
    if getattr(response, "status_code", None) != _OK:
        return None
    try:
        body = json.loads(response.content, object_hook=lambda told: SimpleNamespace(**told))
    except Exception:  # noqa: BLE001  it may be of any SDK, not read yet, or no JSON
        return None
    return getattr(body, "usage", None)


def _usage(counted: Any) -> Usage | None:
    """A count in the form of OpenAI's chat API, None if it is of another."""
    asked, said = _count(counted, "prompt_tokens"), _count(counted, "completion_tokens")
    if not asked and not said:
        return None
    read, written = getattr(counted, "prompt_tokens_details", None), getattr(counted, "completion_tokens_details", None)
    return Usage.told(
        asked,
        said,
        cache_read=_count(read, "cached_tokens"),
        reasoning=_count(written, "reasoning_tokens"),
        input_audio=_count(read, "audio_tokens"),
        output_audio=_count(written, "audio_tokens"),
    )


def _count(of: Any, name: str) -> int:
    count = getattr(of, name, None)
    return count if isinstance(count, int) else 0
