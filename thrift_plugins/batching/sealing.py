"""Texts of lines as a server keeps them: each line's by itself, with its key."""

from __future__ import annotations

import orjson

from thrift_plugins.batching.damage import no_answer
from thrift_plugins.batching.packs import Packs
from thrift_plugins.batching.pending import Answer
from thrift_plugins.errors import StoreCorrupt


class Sealing:
    """Nobody who has the server can pass one line's text for another's, where they are encrypted.

    Args:
        place: the journal, for people.
    """

    def __init__(self, packs: Packs, place: str) -> None:
        self._packs, self._place = packs, place

    def seal(self, key: bytes, *texts: bytes) -> bytes:
        """Texts of a line as one value."""
        return self._packs.pack([key, *texts])

    def seal_answer(self, key: bytes, answer: Answer) -> bytes:
        """An answer as one value."""
        return self.seal(key, answer.body, orjson.dumps([answer.status, answer.code, answer.processing]))

    def texts(self, key: bytes, value: bytes) -> list[bytes] | None:
        """What was sealed for a line, None where that cannot be read, or was sealed for another one."""
        try:
            own, *texts = self._packs.unpack(value)
        except StoreCorrupt:
            return None
        return texts if own == key else None

    def answer(self, key: bytes, value: bytes) -> Answer:
        """What was sealed as an answer; an error where it cannot be read."""
        texts = self.texts(key, value)
        if texts is None:
            return no_answer(self._place)
        body, told = texts
        status, code, processing = orjson.loads(told)
        return Answer(status, body, code, processing)
