"""Fake servers of batch APIs by other hands, run where the environment says how.

`THRIFT_AIMOCK`: a command that runs `llmock` of npm's `@copilotkit/aimock` (it names its plain server so).
`THRIFT_LLMOCK`: a command that runs `llmock` of PyPI's package `llmock`.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Elsewhere:
    """One of them.

    Attributes:
        lacks: what our own loopback provider has and it does not, so that a test is skipped by its name.
        bases: provider to the address for its client.
    """

    name: str
    variable: str
    arguments: tuple[str, ...]
    bases: dict[str, str]
    lacks: frozenset[str]


AIMOCK = Elsewhere(
    "aimock",
    "THRIFT_AIMOCK",
    ("--port", "{port}", "--log-level", "silent", "--fixtures", "{fixtures}"),
    {"openai": "http://127.0.0.1:{port}/v1"},
    frozenset(
        {
            "answers of the question",  # every line is answered with the same words
            "anthropic", "mistral", "azure",  # OpenAI's batch API alone
            "part of an expired batch",  # an expired or cancelled batch has no file
            "paid ledger", "resets", "late listing", "validation", "line errors", "shuffled", "lost and doubled lines",
        }
    ),
)  # fmt: skip
LLMOCK = Elsewhere(
    "llmock",
    "THRIFT_LLMOCK",
    ("serve", "--port", "{port}", "--log-level", "error", "--response-style", "echo"),
    {
        "openai": "http://127.0.0.1:{port}/v1",
        "anthropic": "http://127.0.0.1:{port}/anthropic",
        "mistral": "http://127.0.0.1:{port}/mistral",
    },
    frozenset(
        {
            "azure",
            "part of an expired batch",  # no batch ever expires
            "paid ledger", "resets", "late listing", "validation", "line errors", "shuffled", "lost and doubled lines",
        }
    ),
)  # fmt: skip


@contextmanager
def running(server: Elsewhere) -> Iterator[dict[str, str]]:
    """The addresses of a server that runs for as long; the test is skipped where nobody says how to run it."""
    command = os.environ.get(server.variable)
    if not command:
        pytest.skip(f"{server.name} is not here: set {server.variable} to the command that runs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as fixtures:
        fixtures.write('{"fixtures": []}')
        fixtures.flush()
        arguments = [argument.format(port=port, fixtures=fixtures.name) for argument in server.arguments]
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen([*shlex.split(command), *arguments], stdout=nowhere, stderr=nowhere, stdin=nowhere)
        try:
            _await(port, process)
            yield {provider: base.format(port=port) for provider, base in server.bases.items()}
        finally:
            process.terminate()
            process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not listen in time")
