"""What each dialect of a batch API has to say: which request is which, and the answer to it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias
from urllib.parse import parse_qs

from thrift_plugins.testing.batches.account import BatchRefused
from thrift_plugins.testing.batches.faults import Step
from thrift_plugins.testing.connection import HttpRequest
from thrift_plugins.testing.delivery import dumps
from thrift_plugins.testing.script import Wire


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is about; `id` names a file or a batch."""

    step: Step
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Routes: TypeAlias = Sequence[tuple[str, str, Step]]
"""Method, pattern of the path with a group for the id, and what such a request is about."""


def routed(routes: Routes, method: str, path: str) -> Route | None:
    """What a request is about, by a dialect's table."""
    for wanted, pattern, step in routes:
        if method == wanted and (found := re.fullmatch(pattern, path)):
            return Route(step, found.group(1) if found.groups() else "")
    return None


class Dialect(Protocol):
    """One provider's words."""

    def route(self, http: HttpRequest) -> Route | None:
        """What a request is about, None where it is not this dialect's."""
        ...

    def serve(self, route: Route, http: HttpRequest) -> Reply:
        """The answer.

        Raises:
            BatchRefused: it is refused.
        """
        ...

    def refuse(self, refused: BatchRefused) -> Reply:
        """The answer to what is refused."""
        ...


def reply(body: Wire) -> Reply:
    """A JSON answer."""
    return Reply(dumps(body))


def parsed(http: HttpRequest) -> Wire:
    """The JSON object in a request.

    Raises:
        BatchRefused: there is none.
    """
    try:
        body = json.loads(http.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BatchRefused(400, "invalid_json", "the body is not a JSON object")
    return body


def asked(http: HttpRequest, name: str, default: str = "") -> str:
    """A parameter of the query."""
    return parse_qs(http.query).get(name, [default])[0]


def page_size(http: HttpRequest, name: str, default: int, most: int) -> int:
    """How many items are wanted on a page."""
    given = asked(http, name, str(default))
    return max(1, min(int(given), most)) if given.isdigit() else default


def form(http: HttpRequest) -> dict[str, tuple[str, bytes]]:
    """The parts of a multipart form: field to file name and content.

    Raises:
        BatchRefused: it is none.
    """
    _, found, boundary = http.headers.get("content-type", "").partition("boundary=")
    if not found:
        raise BatchRefused(400, "invalid_request", "a file is uploaded as multipart/form-data")
    parts: dict[str, tuple[str, bytes]] = {}
    for part in http.body.split(b"--" + boundary.strip('"').encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        told = head.decode("utf-8", "replace").replace("\r\n", ";").split(";")
        marks = {name: value for name, _, value in (mark.strip().partition("=") for mark in told)}
        parts[marks.get("name", "").strip('"')] = (marks.get("filename", "").strip('"'), content.removesuffix(b"\r\n"))
    return parts
