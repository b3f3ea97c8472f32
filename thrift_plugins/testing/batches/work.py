"""What a line of a batch is answered: the same as the same call would be answered at once."""

from __future__ import annotations

import itertools
from hashlib import sha256
from typing import Final

from thrift_plugins.testing.answers import default_answer
from thrift_plugins.testing.batches.jobs import Line, LineFate, Worked
from thrift_plugins.testing.batches.paid import NOTHING
from thrift_plugins.testing.billing import input_tokens, tokens_of
from thrift_plugins.testing.generation import generate
from thrift_plugins.testing.script import Endpoint, Script, Wire, WireRequest
from thrift_plugins.testing.validation import problem_of
from thrift_plugins.testing.wire import Envelope, error_body
from thrift_plugins.types import Json, Usage

_DIMENSIONS: Final = 8


def wire_request(number: int, url: str, body: Wire) -> WireRequest:
    """A line as the request that it would be by itself."""
    endpoint: Endpoint = "completions" if url.endswith("/completions") and "chat" not in url else "chat/completions"
    return WireRequest(number, endpoint, {}, body)


class LineWorker:
    """Answers lines; `script` may choose the answers, as at the provider itself."""

    def __init__(self, answer_tokens: int) -> None:
        self.script: Script | None = None
        self._answer_tokens = answer_tokens
        self._numbers = itertools.count(1)

    def __call__(self, line: Line, fate: LineFate) -> Worked:
        """The answer to a line, or its error."""
        if fate.status >= 400:
            failed = error_body(fate.status, "refused", f"refused with {fate.status} by the test's plan")
            return Worked(line, fate.status, failed, NOTHING, fate.copies)
        if "input" in line.body and "messages" not in line.body:
            return Worked(line, 200, *_embedded(line), fate.copies)
        request = wire_request(next(self._numbers), "/v1/chat/completions", line.body)
        if "prompt" in line.body:
            request = wire_request(request.number, "/v1/completions", line.body)
        if problem := problem_of(request):
            return Worked(line, 400, error_body(400, "invalid_request", problem), NOTHING, fate.copies)
        return Worked(line, 200, *self._answered(request, line), fate.copies)

    def _answered(self, request: WireRequest, line: Line) -> tuple[Wire, Usage]:
        answer = (self.script(request) if self.script else None) or default_answer(request, self._answer_tokens)
        generation = generate(answer, request)
        envelope = Envelope(request.number, line.model, request.endpoint, line.tokens, 0, with_usage=False)
        return envelope.whole(generation), Usage(line.tokens, generation.tokens, source="provider")


def line_tokens(url: str, body: Wire) -> int:
    """The input tokens of a line; 0 where it is not valid."""
    request = wire_request(0, url, body)
    if "input" in body and "messages" not in body:
        return sum(tokens_of(text) for text in _texts(body))
    return 0 if problem_of(request) else input_tokens(request)


def _texts(body: Wire) -> list[str]:
    given = body["input"]
    return [given] if isinstance(given, str) else [str(text) for text in given]


def _embedded(line: Line) -> tuple[Wire, Usage]:
    """Vectors that are a function of the text."""
    data: list[Json] = [
        {"object": "embedding", "index": index, "embedding": [byte / 255 for byte in sha256(text.encode()).digest()[:_DIMENSIONS]]}
        for index, text in enumerate(_texts(line.body))
    ]  # fmt: skip
    usage = {"prompt_tokens": line.tokens, "total_tokens": line.tokens}
    body = {"object": "list", "data": data, "model": line.model, "usage": usage}
    return body, Usage(line.tokens, 0, source="provider")
