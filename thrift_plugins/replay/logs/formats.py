"""Which log a file is, and its calls in the order of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from thrift_plugins.errors import ConfigError, TraceError
from thrift_plugins.replay.logs import langfuse, langsmith, litellm, openai_style, ours
from thrift_plugins.replay.logs.logged import Logged, Unread
from thrift_plugins.replay.logs.ordering import in_order
from thrift_plugins.replay.logs.stream import Record, records
from thrift_plugins.scope import merged


class Format(NamedTuple):
    """How a log is read.

    Attributes:
        title: for people.
        fits: whether a record is of it.
        read: a record's call, None for what is none; raises `Unread`.
    """

    title: str
    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], Logged | None]


FORMATS: Final[Mapping[str, Format]] = {
    name: Format(module.NAME, module.fits, module.read)
    for name, module in {
        "ledger": ours, "litellm": litellm, "langsmith": langsmith, "langfuse": langfuse, "openai": openai_style,
    }.items()
}  # fmt: skip
"""By name, the most particular first."""

_SNIFFED: Final = 200
"""Records that are looked at to tell a format."""


class Log:
    """A log file, read anew by each iteration and never held in memory.

    Attributes:
        format: what it is.
        unread: records that are of its format and could not be read, by what is wrong with them, after an iteration.
        other: records that are no calls of a model.
        models: of its calls, all of them as soon as an iteration gives its first call.
        first_unread: the number of the first that could not be read, 0 if there is none.
    """

    def __init__(self, path: Path, format: Format) -> None:  # noqa: A002  it is what it is
        self.path, self.format = path, format
        self.unread: Counter[str] = Counter()
        self.models: set[str] = set()
        self.other = 0
        self.first_unread = 0
        self.named: Callable[[Record], Mapping[str, str]] = lambda _record: {}

    def __iter__(self) -> Iterator[Logged]:
        """The calls in the order of time.

        Raises:
            TraceError: the file cannot be read, or none of its records can.
        """
        seen = 0
        for call in in_order(self._records, self._call):
            seen += 1
            yield call
        if not seen and self.unread:
            (problem, _), *_ = self.unread.most_common(1)
            raise TraceError(str(self.path), self.first_unread, f"no record can be read: {problem}")

    def _records(self) -> Iterator[tuple[int, Record]]:
        """Those of a new reading that are records at all."""
        self.unread, self.other, self.first_unread = Counter(), 0, 0
        for number, record in records(self.path):
            if isinstance(record, str):
                self._note(number, record)
            else:
                yield number, record

    def _call(self, number: int, record: Record) -> Logged | None:
        try:
            call = self.format.read(record)
        except (Unread, ValueError, TypeError, KeyError, AttributeError) as error:
            self._note(number, str(error) if isinstance(error, Unread) else f"{type(error).__name__}: {error}"[:200])
            return None
        if call is None:
            self.other += 1
        else:
            self.models.add(call.model)
            names = self.named(record)
            if names:
                call = replace(call, scope=merged(call.scope, dict(names)))
        return call

    def _note(self, number: int, problem: str) -> None:
        self.unread[problem] += 1
        self.first_unread = self.first_unread or number


def open_log(path: Path, name: str | None = None) -> Log:
    """A log file.

    Args:
        name: of its format, from `FORMATS`; None to find out.

    Raises:
        ConfigError: no such format.
        TraceError: it cannot be read, or is none that is known.
    """
    if name is not None:
        if name not in FORMATS:
            raise ConfigError(f"no format {name!r}; there are {', '.join(FORMATS)}")
        return Log(path, FORMATS[name])
    found = [record for _, record in islice(records(path), _SNIFFED)]
    whole = [record for record in found if not isinstance(record, str)]
    if not whole:
        raise TraceError(str(path), 1, found[0] if found and isinstance(found[0], str) else "the file is empty")
    counts = {each: sum(map(each.fits, whole)) for each in FORMATS.values()}
    best = max(counts, key=lambda each: counts[each])
    if not counts[best]:
        keys = ", ".join(list(whole[0])[:8])
        known = "; ".join(each.title for each in FORMATS.values())
        raise TraceError(str(path), 1, f"no log that is known: its records have {keys}. Known are: {known}")
    return Log(path, best)
