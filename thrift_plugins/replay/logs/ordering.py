"""Calls in the order of time, whatever the order of the file, and without holding them in memory.

Most logs are nearly in order: they are written when calls end and say when they began. Those wait in a small heap. An
export with the latest first is written once more, to a temporary file that can be read from any place.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterator
from heapq import heappush, heappushpop
from typing import IO, Any, Final

import orjson

from thrift_plugins.replay.logs.logged import Logged
from thrift_plugins.replay.logs.stream import Record

_NEAR: Final = 1_024
"""Places by which a record may be late."""


def in_order(
    read: Callable[[], Iterator[tuple[int, Record]]], call_of: Callable[[int, Record], Logged | None]
) -> Iterator[Logged]:
    """The calls of records, in the order of time.

    Args:
        read: begins to read anew.
        call_of: a record's call, None where it has none.
    """
    if _nearly(_times(read, call_of)):  # which reads to the end, whatever it finds
        yield from _merged(call for number, record in read() if (call := call_of(number, record)) is not None)
    else:
        yield from _sorted(read, call_of)


def _times(
    read: Callable[[], Iterator[tuple[int, Record]]], call_of: Callable[[int, Record], Logged | None]
) -> Iterator[float]:
    for number, record in read():
        call = call_of(number, record)
        if call is not None:
            yield call.at


def _nearly(times: Iterator[float]) -> bool:
    heap: list[float] = []
    latest, nearly = float("-inf"), True
    for at in times:
        nearly = nearly and at >= latest
        if len(heap) < _NEAR:
            heappush(heap, at)
        else:
            latest = heappushpop(heap, at)
    return nearly


def _merged(calls: Iterator[Logged]) -> Iterator[Logged]:
    heap: list[tuple[float, int, Logged]] = []
    for number, call in enumerate(calls):
        if len(heap) < _NEAR:
            heappush(heap, (call.at, number, call))
        else:
            yield heappushpop(heap, (call.at, number, call))[2]
    yield from (call for _, _, call in sorted(heap))


def _sorted(
    read: Callable[[], Iterator[tuple[int, Record]]], call_of: Callable[[int, Record], Logged | None]
) -> Iterator[Logged]:
    times, places = array("d"), array("Q")
    with tempfile.TemporaryFile() as file:
        for number, record in read():
            call = call_of(number, record)
            if call is not None:
                times.append(call.at)
                places.append(file.tell())
                file.write(orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE))
        order = array("Q", sorted(range(len(times)), key=times.__getitem__))
        for place in order:
            again = call_of(0, _at(file, places[place]))
            if again is not None:
                yield again


def _at(file: IO[bytes], place: int) -> Any:
    file.seek(place)
    return orjson.loads(file.readline())
