"""What a journal cannot read any more: that is an error for those who asked those lines, and for nobody else."""

from __future__ import annotations

from collections.abc import Sequence

from thrift_plugins.batching.pending import Answer, failed
from thrift_plugins.errors import StoreCorrupt


class Damaged(StoreCorrupt):
    """Prompts of lines cannot be read, and all others can.

    Attributes:
        keys: of the lines.
    """

    def __init__(self, place: object, keys: Sequence[bytes]) -> None:
        super().__init__(f"{len(keys)} prompts in the journal {place} are damaged, under another key, or another line's")
        self.keys = frozenset(keys)


def no_prompt(error: Damaged) -> Answer:
    """For whoever waits for such a line. It ends in an error, so that it is kept anew when it is asked again."""
    return failed(500, f"this request is not sent, because it is damaged ({error}): run its input again", "damaged")


def no_answer(place: object) -> Answer:
    """For whoever asks a line whose answer cannot be read. The journal keeps it as answered: it is paid."""
    message = (
        f"the answer to this request, which was paid for, is damaged in the journal {place}, and is not asked, and paid, again:"
        " bring back a copy of the journal, or run the inputs that end in this error with another journal"
    )
    return failed(500, message, "damaged")
