"""What recorded models say: the answers of one request, put on before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from thrift_plugins.types import Reply


class Tape:
    """The recorded answers to the request that is being asked now. Not for several threads at once.

    Attributes:
        sent: gives the text of what the last model to answer was sent; None if none was asked.
    """

    def __init__(self) -> None:
        self._replies: Mapping[str, Reply] = {}
        self._asked = ""
        self.sent: Callable[[], str] | None = None

    def load(self, replies: Mapping[str, Reply], asked: str = "") -> None:
        """Put on the answers of the next request, by model.

        Args:
            asked: the text of all its messages, where less of it may be sent; "" where that cannot be.
        """
        self._replies, self._asked = replies, asked
        self.sent = None

    def play(self, model: str, sent: Callable[[], str]) -> Reply:
        """What `model` answered.

        Raises:
            LookupError: it was never asked, so nobody can know.
        """
        try:
            reply = self._replies[model]
        except KeyError:
            raise LookupError(f"no answer of {model!r} was recorded for this request") from None
        self.sent = sent
        return self._shortened(reply, sent()) if self._asked else reply

    def _shortened(self, reply: Reply, sent: str) -> Reply:
        """The answer with the input that a shorter prompt would have used, by its letters: nobody recorded one."""
        if len(sent) >= len(self._asked):
            return reply
        usage = reply.usage
        cached = usage.cache_read + usage.cache_write + usage.cache_write_1h
        left = round(usage.input_tokens * len(sent) / len(self._asked))
        return replace(reply, usage=replace(usage, input_tokens=min(usage.input_tokens, max(cached, left))))
