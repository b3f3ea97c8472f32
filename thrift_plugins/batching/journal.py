"""What was asked, what was sent, and what came back, where it survives the process; and where that may be.

Whatever may cost money is committed to a journal before it is done, so that a process that starts again knows what it may
have bought. Each line is known by the hash of its content. Its prompt is kept until it is answered (where lines are kept
together, until their batch is read), its answer for `BatchSettings.retention`.

A batch goes through these states, each committed:

    planned    lines are chosen; nothing is sent
    sending    the create is about to go out, or has: only the provider knows
    sent       the provider's id is known
    done       its results are read
    absent     it was not to be found within the grace; its lines are queued again, and a stray may still turn up
    refused    the provider made nothing
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from secrets import token_hex
from typing import NamedTuple, Protocol

from thrift_plugins.batching.client import Address, Intent
from thrift_plugins.batching.packs import Packs
from thrift_plugins.batching.pending import Answer, Pending
from thrift_plugins.batching.records import Records, Sending
from thrift_plugins.errors import ConfigError, ThriftError


class Line(NamedTuple):
    """A line that is not answered, with its prompt."""

    key: bytes
    attempt: int
    body: bytes


class Queued(NamedTuple):
    """A line that is not answered, without its prompt.

    Attributes:
        size: bytes of its prompt.
        deadline: seconds since the epoch, None where it may wait.
        wanted: whether somebody is there who waits for that: a process that was killed does not any more.
    """

    key: bytes
    address: Address
    size: int
    deadline: float | None
    wanted: bool = True


class Deposed(ThriftError):
    """Another worker leads this journal by now: it goes on with what this one had under way, and nothing was written."""


class Journal(Records, Protocol):
    """The journal of one account's batches.

    Where several workers share one, all of them admit lines, and one at a time *leads*: it alone sends, looks and reads. What
    only a leader may do raises `Deposed` where another one has taken over.

    Attributes:
        shared: whether other workers may have it too.
    """

    @property
    def shared(self) -> bool: ...

    def lead(self) -> bool:
        """Lead, or go on leading, if nobody else does. To be called again well before the lease is over."""
        ...

    def news(self, wanted: Container[bytes]) -> list[tuple[bytes, Answer]]:
        """What was answered since this was called last, by whomever, of those lines that are wanted."""
        ...

    # Lines

    def admit(self, asked: Sequence[Pending], stops: int = 0) -> list[tuple[Pending, Answer]]:
        """Take requests in. Gives those that are answered already; the others are, or will be, under way.

        An answer that cannot be read is an error; the line stays answered, because it is paid.

        One that ended in an error is asked anew. One that is under way is wanted by the earliest deadline of those who are there
        and wait for it; where nobody does any more, by the new one. Without a deadline, it keeps the one that it had.

        Args:
            stops: how often the journal had been stopped when they were asked.
        """
        ...

    def stopped(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of these lines that nobody has asked since the journal was stopped last."""
        ...

    def fresh(self) -> list[Queued]:
        """For the leader: the lines to be sent of which it was not told yet; at first all that there are."""
        ...

    def moved(self) -> dict[bytes, float]:
        """For the leader: by when lines are wanted that were under way, and asked again since this was called last."""
        ...

    def members(self, batch: Sending) -> list[Queued]:
        """The lines of a batch that are not answered."""
        ...

    def lines(self, batch: Sending) -> Iterator[Line]:
        """The same with their prompts.

        Raises:
            Damaged: some cannot be read; the others came before it.
        """
        ...

    def line(self, key: bytes) -> Line | None:
        """For the leader, who is about to send it: a line that is not answered, with its prompt.

        Raises:
            Damaged: it cannot be read.
        """
        ...

    def book(self, calls: Mapping[bytes, str]) -> None:
        """What these lines have cost is booked, by calls of these names, or "": their answers say so from now on."""
        ...

    def paid(self, call: str) -> bool:
        """Whether a call of this name has booked a line whose answer is here."""
        ...

    def waits(self, key: bytes) -> bool:
        """Whether a line is not answered."""
        ...

    def knows(self, key: bytes) -> bool:
        """Whether a line was ever asked here."""
        ...

    def at_once(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of these lines that were answered, and not by a batch."""
        ...

    def attempts(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """How often each line was given to a batch before."""
        ...

    def failures(self, keys: Iterable[bytes], *, whole: bool = False) -> list[tuple[bytes, int]]:
        """Note that lines failed, each by itself or with their `whole` batch, and give how often each has so by now.

        One attempt fails once, however often its results are read: a process may be killed between the count and the batch's end.
        """
        ...

    def take(
        self, batch: Sending | None, answers: Sequence[tuple[bytes, Answer]], at: float, *, stopped: bool = False
    ) -> set[bytes]:
        """Keep answers, one for a line, at most 500. Gives the keys of those lines that had none yet.

        What those have used counts for the batch; the others may be told again, where results are read a second time.

        Args:
            stopped: keep them for those lines alone that nobody has asked since the journal was stopped last.
        """
        ...

    # Batches

    def plan(self, intent: Intent, keys: Sequence[bytes], tokens: int, deadline: float | None) -> Sending:
        """Commit which lines are about to be sent, and how many: those that were answered meanwhile are not."""
        ...

    def sending(self, batch: Sending, upload: str, at: float) -> Sending:
        """Commit that the create goes out now: this must outlive a loss of power."""
        ...

    def sent(self, batch: Sending, remote: str) -> Sending:
        """Commit the provider's id."""
        ...

    def forget(self, batch: Sending, state: str, at: float) -> list[bytes]:
        """Give a batch up as absent or refused, and queue its lines again; gives their keys.

        One that was refused was no attempt at its lines: a provider may refuse for days what it takes in the end.
        """
        ...

    def ended(self, batch: Sending, how: str, at: float, *, begun: bool = True) -> list[bytes]:
        """A batch's results are read. Gives the keys of those of its lines that have none, which are queued again.

        Args:
            begun: False where the provider had no room for it: that is no attempt at its lines.
        """
        ...

    def strays(self, since: float) -> list[Sending]:
        """Batches that were given up as absent after `since`, and may turn up."""
        ...

    def adopted(self, batch: Sending, remote: str, at: float) -> None:
        """A batch that was given up has turned up, and is read."""
        ...

    def ours(self, remote: str) -> bool:
        """Whether a provider's batch is one that the journal knows by its id."""
        ...


def belonging(place: str, known: dict[str, str], account: str, packs: Packs) -> dict[str, str]:
    """What a journal is to note of which it is, whose, and how it is encrypted, given what it has noted.

    Raises:
        ConfigError: the key is missing, too many, or not the right one.
    """
    cipher = packs.cipher
    facts = {"account": account, "encrypted": "yes" if cipher else "no", "id": known.get("id") or token_hex(8)}
    if known.get("encrypted", facts["encrypted"]) != facts["encrypted"]:
        encrypted = known["encrypted"] == "yes"
        how = "is encrypted, and needs its key (for `thrift-plugins batch resume`, in THRIFT_JOURNAL_KEY)" if encrypted else "is not encrypted, and cannot become so"
        raise ConfigError(f"the journal {place} {how}")
    if cipher and "check" in known and cipher.decrypt(bytes.fromhex(known["check"])) is None:
        raise ConfigError(f"the journal {place} is encrypted with another key")
    if cipher and "check" not in known:
        facts["check"] = cipher.encrypt(b"thrift").hex()
    return facts
