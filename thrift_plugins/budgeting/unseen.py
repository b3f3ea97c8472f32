"""Which models write what nobody is shown: of a stream that broke off, what shows says little of what is billed then."""

from __future__ import annotations

import re
from typing import Final

from thrift_plugins.types import Request, Usage

_KNOWN: Final = re.compile(
    r"(?:^|[/:._-])(?:o[1-9](?:-|$)|gpt-5(?!.*chat)|gpt-oss|gemini-(?:2\.5|[3-9])|deepseek-r\d|qwq|magistral)"
    r"|thinking|reason",
    re.IGNORECASE,
)
_ASKED: Final = ("reasoning_effort", "reasoning", "thinking", "thinking_budget")
_MOST: Final = 1_000


class Unseen:
    """Models that reason in hiding: by their names, by what a call asks for, or since one of their answers said so."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def learn(self, model: str, usage: Usage) -> None:
        """Remember a model that was billed for what it has not shown."""
        if usage.reasoning and len(self._seen) < _MOST:
            self._seen.add(model)

    def may_be(self, request: Request, model: str) -> bool:
        """Whether more may have been written than was shown."""
        asked = any(request.params.get(name) for name in _ASKED)
        return asked or model in self._seen or _KNOWN.search(model) is not None
