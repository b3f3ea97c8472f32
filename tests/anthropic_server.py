"""A server of Anthropic's messages API on this machine, with its prompt cache: what is marked, long enough and known is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MINIMUM = 1_024


class AnthropicServer:
    """What was asked, and what is in the cache. Four letters are a token.

    Attributes:
        bodies: of all requests.
        usages: of all answers, in the form of the API.
        problems: what the real API would refuse.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.usages: list[dict[str, int]] = []
        self.problems: list[str] = []
        self.base_url = ""
        self._cache: set[str] = set()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        usage = self._billed(body)
        self.usages.append(usage)
        return {
            "id": f"msg_{len(self.bodies)}", "type": "message", "role": "assistant", "model": body["model"],
            "content": [{"type": "text", "text": "It is so."}], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
        }  # fmt: skip

    def _billed(self, body: dict[str, Any]) -> dict[str, int]:
        total, marks, digest, read, written = 0, 0, sha256(), 0, 0
        for block in _blocks(body):
            marked = block.pop("cache_control", None)
            text = json.dumps(block, sort_keys=True)
            digest.update(text.encode())
            total += len(text) // 4
            if marked is None:
                continue
            marks += 1
            if block.get("type") == "text" and not block["text"]:
                self.problems.append("cache_control on an empty text")
            if total < MINIMUM:
                continue
            key = digest.hexdigest()
            if key in self._cache:
                read, written = total, 0
            else:
                written = total - read
            self._cache.add(key)
        if marks > 4:
            self.problems.append("more than four breakpoints")
        return {
            "input_tokens": total - read - written, "output_tokens": 4,
            "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
        }  # fmt: skip


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that is sent, in the order of the cache: tools, instructions, messages."""
    yield from ({**tool} for tool in body.get("tools", ()))
    for message in ({"role": "system", "content": body.get("system") or []}, *body["messages"]):
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            yield {"role": message["role"], **block}


@contextmanager
def anthropic_server() -> Iterator[AnthropicServer]:
    """One that runs as long as the block."""
    served = AnthropicServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            sent = json.dumps(served.answer(told)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.base_url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
