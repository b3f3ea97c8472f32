"""What a request asks, apart from everything around the question, which must be equal for answers to be shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

from thrift_plugins.caching.key import surroundings
from thrift_plugins.types import Message, Request

_LONGEST = 600
"""Characters of a question; what is longer is material with a question in it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in its surroundings.

    Attributes:
        space: 16 bytes: tenant, walls, models, settings and all turns but this one. Nothing is found across spaces.
        scope: 16 bytes: what errors are counted for.
        name: of that scope, for people.
        question: the words of the last turn.
    """

    request: Request
    space: bytes
    scope: bytes
    name: str
    question: str

    def put_otherwise(self, question: str) -> Request:
        """The request with another question in its place."""
        *before, last = self.request.messages
        return replace(self.request, messages=(*before, _saying(last, question)))


def asked(request: Request, readers: str) -> Asked | None:
    """What a request asks, None where its last turn is not a user's short question in plain text.

    Args:
        readers: names what reads questions: what one embedder or verifier has found is no other's.
    """
    last = request.messages[-1] if request.messages else None
    question = _words(last) if last is not None else None
    if last is None or question is None:
        return None
    around = surroundings(replace(request, messages=(*request.messages[:-1], _saying(last, ""))))
    if around is None:
        return None
    scope, feature = request.scope, request.scope.feature
    counted = repr((scope.tenant, scope.keys, feature, request.model, readers))
    name = f"{feature or 'calls without a feature'} on {request.model}"
    return Asked(
        request, _digest(readers.encode() + b"\0" + around), _digest(counted.encode("utf-8", "replace")), name, question
    )


def _words(turn: Message) -> str | None:
    if turn.role != "user" or turn.tool_calls or turn.extra:
        return None
    text = turn.content
    if not isinstance(text, str):
        if len(text) != 1 or not isinstance(text[0], Mapping) or not isinstance(text[0].get("text"), str):
            return None
        text = str(text[0]["text"])
    return text if text.strip() and len(text) <= _LONGEST else None


def _saying(turn: Message, words: str) -> Message:
    if isinstance(turn.content, str):
        return replace(turn, content=words)
    block = turn.content[0]
    return replace(turn, content=[{**block, "text": words}] if isinstance(block, Mapping) else turn.content)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
