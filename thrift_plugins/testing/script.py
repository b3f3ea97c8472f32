"""What the loopback provider is asked, what it may answer, and how it may fail: the vocabulary of a test."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from thrift_plugins.types import ToolCall

Wire: TypeAlias = Mapping[str, Any]
"""A JSON object as it came over the wire."""

Endpoint: TypeAlias = Literal["chat/completions", "completions"]


def text_of(content: object) -> str:
    """The words of a message content: a string, or the text of its parts joined by newlines."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part if isinstance(part, str) else str(part.get("text") or "") for part in content)
    return "\n".join(part for part in parts if part)


@dataclass(frozen=True)
class WireRequest:
    """One request as the provider read it.

    Attributes:
        number: its place in the order of arrival, from 1.
        headers: names in lower case.
        body: the parsed JSON body.
    """

    number: int
    endpoint: Endpoint
    headers: Mapping[str, str]
    body: Wire

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model", ""))

    @property
    def stream(self) -> bool:
        """Whether the answer is to come token by token."""
        return bool(self.body.get("stream"))

    @cached_property
    def messages(self) -> Sequence[Wire]:
        """The chat so far; a legacy completion is one user turn."""
        if self.endpoint == "chat/completions":
            return tuple(self.body.get("messages") or ())
        prompt = self.body.get("prompt", "")
        return ({"role": "user", "content": prompt if isinstance(prompt, str) else "\n".join(map(str, prompt))},)

    @cached_property
    def functions(self) -> Sequence[Wire]:
        """The function objects of the tools offered: name, description, parameters."""
        return tuple(tool["function"] for tool in self.body.get("tools") or () if tool.get("type") == "function")

    @cached_property
    def text(self) -> str:
        """The words of every message, joined by newlines."""
        return "\n".join(text_of(message.get("content")) for message in self.messages)

    @cached_property
    def last_user(self) -> str:
        """The words of the last user turn, or of the last message where no user spoke."""
        spoken = [message for message in self.messages if message.get("role") == "user"] or self.messages
        return text_of(spoken[-1].get("content")) if spoken else ""

    @property
    def answers_tool(self) -> bool:
        """Whether the last message is the result of a tool."""
        return bool(self.messages) and self.messages[-1].get("role") in {"tool", "function"}

    @property
    def max_tokens(self) -> int | None:
        """The most output tokens wanted, reasoning included."""
        limit = self.body.get("max_completion_tokens") or self.body.get("max_tokens")
        return None if limit is None else int(limit)

    def unlimited(self) -> WireRequest:
        """The same request without a limit on the answer's length."""
        limits = ("max_tokens", "max_completion_tokens")
        return replace(self, body={name: value for name, value in self.body.items() if name not in limits})

    @property
    def stops(self) -> Sequence[str]:
        """The strings before which the answer ends."""
        stop = self.body.get("stop") or ()
        return (stop,) if isinstance(stop, str) else tuple(stop)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider is to say.

    Attributes:
        tool_calls: calls to ask for; an empty id gets one.
        finish_reason: the reason given, or None for the natural one: "tool_calls", "length" or "stop".
        reasoning_tokens: output tokens billed and never shown.
        cached_tokens: input tokens said to be read from the prompt cache, or None for what the provider's own
            simulation finds.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    reasoning_tokens: int = 0
    cached_tokens: int | None = None


Script: TypeAlias = Callable[[WireRequest], Answer | None]
"""Chooses an answer; None leaves it to the provider's default."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail one request. Make it with the class methods."""

    kind: Literal["refuse", "delay", "stall", "break", "truncate", "content_filter", "garbage", "overrun"]
    status: int = 200
    code: str = ""
    retry_after: float | None = None
    seconds: float = 0.0
    tokens: int = 0

    @classmethod
    def refuse(cls, status: int, code: str = "refused", *, retry_after: float | None = None) -> Fault:
        """Refuse with an HTTP status and an OpenAI error body; `retry_after` in seconds. Bills nothing."""
        return cls("refuse", status=status, code=code, retry_after=retry_after)

    @classmethod
    def delay(cls, seconds: float) -> Fault:
        """Wait before the first byte of the answer."""
        return cls("delay", seconds=seconds)

    @classmethod
    def stall_after(cls, tokens: int) -> Fault:
        """Write so many tokens (half the body of a whole answer), then wait until the client leaves."""
        return cls("stall", tokens=tokens)

    @classmethod
    def break_after(cls, tokens: int) -> Fault:
        """Write so many tokens, then close the connection; 0 closes it before any byte of the answer.

        Half the body of a whole answer is sent, and so many tokens are billed.
        """
        return cls("break", tokens=tokens)

    @classmethod
    def truncate(cls, tokens: int) -> Fault:
        """End properly after so many tokens, with finish reason "length"."""
        return cls("truncate", tokens=tokens)

    @classmethod
    def content_filter(cls) -> Fault:
        """Answer with no text and finish reason "content_filter"."""
        return cls("content_filter")

    @classmethod
    def overrun(cls) -> Fault:
        """Answer at full length, whatever limit is asked for."""
        return cls("overrun")

    @classmethod
    def garbage(cls) -> Fault:
        """Answer 200 with a body, or a first stream event, that is not JSON. Bills the answer that was meant."""
        return cls("garbage")


class FaultPlan:
    """Which requests fail, and how. Thread-safe; changes count from the next request on.

    Queued faults go first, one per request; then the rules, in the order in which they were added.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Fault | None] = deque()
        self._rules: list[Callable[[WireRequest], Fault | None]] = []

    def append(self, fault: Fault | None) -> None:
        """Fail the next request that has no fault yet; None lets one request pass."""
        with self._lock:
            self._queue.append(fault)

    def extend(self, faults: Iterable[Fault | None]) -> None:
        """Queue several, one per request."""
        with self._lock:
            self._queue.extend(faults)

    def on(self, substring: str, fault: Fault) -> None:
        """Fail every request whose messages contain a string."""
        self.rule(lambda request: fault if substring in request.text else None)

    def rule(self, decide: Callable[[WireRequest], Fault | None]) -> None:
        """Let a function decide for every request; it runs on the provider's thread."""
        with self._lock:
            self._rules.append(decide)

    def clear(self) -> None:
        """Forget every queued fault and every rule."""
        with self._lock:
            self._queue.clear()
            self._rules.clear()

    def take(self, request: WireRequest) -> Fault | None:
        """The fault for this request; a queued one is used up."""
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            rules = tuple(self._rules)
        return next((fault for rule in rules if (fault := rule(request)) is not None), None)
