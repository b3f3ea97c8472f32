"""What recorded models say: the answers of one request, put on before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from thrift_plugins.types import Reply

Heard: TypeAlias = Callable[[Reply, str], Reply]
"""(recorded answer, text that was sent) -> the answer to that text, with what it used."""


class Tape:
    """The recorded answers to the request that is being asked now. Not for several threads at once.

    Attributes:
        sent: gives the text of what the last model to answer was sent; None if none was asked.
    """

    def __init__(self) -> None:
        self._replies: Mapping[str, Reply] = {}
        self._heard: Heard | None = None
        self.sent: Callable[[], str] | None = None

    def load(self, replies: Mapping[str, Reply], heard: Heard | None = None) -> None:
        """Put on the answers of the next request, by model.

        Args:
            heard: what becomes of an answer where another text is sent than was recorded; None: nothing.
        """
        self._replies, self._heard = replies, heard
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
        return self._heard(reply, sent()) if self._heard else reply
