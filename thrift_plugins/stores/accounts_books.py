"""Where accounts are on servers: a book for each slot of a cluster that is asked, or one for all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from thrift_plugins.stores import accounts_words as words
from thrift_plugins.stores.accounts import AGAIN, Hold, Standing
from thrift_plugins.stores.accounts_prepaid import Prepaid

T = TypeVar("T")

COMMON: Final = "-"
"""The book of the accounts of no tenant."""
_TAG: Final = re.compile(r"\{([^}]+)\}")
_BOOKS: Final = 10_000


class Part(NamedTuple):
    """What a reservation holds in one book.

    Attributes:
        book: whose keys are in one slot.
        indexes: of its holds; all of them where there is one book.
        whole: whether there is one book.
        ahead: whether it is paid for several calls ahead; see `accounts_prepaid`.
    """

    book: str
    indexes: Sequence[int]
    whole: bool = False
    ahead: bool = False

    def of(self, holds: Sequence[T]) -> Sequence[T]:
        """Those of this book."""
        return holds if self.whole else [holds[index] for index in self.indexes]


class Open(NamedTuple):
    """A lease that this process has reserved.

    Attributes:
        holds: of all parts.
        parts: where they are held.
        spans: in which it was reserved, for each part.
    """

    holds: Sequence[Hold]
    parts: Sequence[Part]
    spans: Sequence[words.Span | None]


class Told(NamedTuple):
    """What became of one part of a reservation.

    Attributes:
        refused: the index, in this part, of the first hold that did not fit, -1 if all did.
        standings: how its accounts stand.
        span: in which it was reserved, None where it was taken from what is paid ahead, or was there before.
        shared: see `Grant`.
    """

    refused: int
    standings: Sequence[Standing]
    span: words.Span | None = None
    shared: bool = False


class Books:
    """The names of books, and which holds are in which.

    Args:
        namespace: goes before every name.
        clustered: whether there is more than one.
    """

    def __init__(self, namespace: str, *, clustered: bool) -> None:
        self.clustered = clustered
        self.start = f"{namespace}~b:{{"
        self._namespace = namespace
        self._names: dict[str, tuple[str, str, str]] = {}

    def parts(self, holds: Sequence[Hold], lease: str = "") -> tuple[Part, ...]:
        """The books of some holds, in an order that is the same for all.

        Args:
            lease: what is to be reserved. Another process may go on with one of `AGAIN`, and knows nothing of what this one has
                paid ahead.
        """
        if not self.clustered:
            return (Part(COMMON, range(len(holds)), whole=True),)
        books: dict[str, list[int]] = {}
        for index, hold in enumerate(holds):
            tagged = _TAG.match(hold.account)
            books.setdefault(tagged[1] if tagged else COMMON, []).append(index)
        alone = len(books) == 1 or lease.startswith(AGAIN)
        return tuple(self._part(book, tuple(books[book]), holds, alone=alone) for book in sorted(books))

    @staticmethod
    def _part(book: str, indexes: tuple[int, ...], holds: Sequence[Hold], *, alone: bool) -> Part:
        several = book == COMMON and not alone
        return Part(book, indexes, ahead=several and Prepaid.serves([holds[index] for index in indexes]))

    def names(self, book: str) -> tuple[str, str, str]:
        """The keys of a book."""
        names = self._names.get(book)
        if names is None:
            if len(self._names) >= _BOOKS:
                self._names.clear()
            space = self._namespace
            names = self._names[book] = f"{space}~b:{{{book}}}", f"{space}~bd:{{{book}}}", f"{space}~bo:{{{book}}}"
        return names
