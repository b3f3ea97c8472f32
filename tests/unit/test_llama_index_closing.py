"""A row of generators is closed to its end, whoever keeps a part of it alive."""

# ruff: noqa: UP028  (generators that loop, as those of SDKs and integrations do)

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from thrift_plugins.llama_index.closing import aclose, close


class Response:
    """Reads from a generator of its own, in a reference cycle, like an SDK's stream."""

    def __init__(self) -> None:
        self.open = True
        self._pieces = self._read()

    def _read(self) -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            self.open = False

    def __iter__(self) -> Iterator[int]:
        for piece in self._pieces:
            yield piece

    async def __aiter__(self) -> AsyncIterator[int]:
        for piece in self._pieces:
            yield piece


def test_close_reaches_what_is_looped_over() -> None:
    response = Response()

    def integration() -> Iterator[int]:
        for piece in response:
            yield piece

    inner = integration()

    def callback() -> Iterator[int]:
        for piece in inner:
            yield piece

    outer = callback()
    assert next(outer) == 0
    close(outer)
    assert not response.open


async def test_aclose_reaches_what_is_looped_over() -> None:
    response = Response()

    async def integration() -> AsyncIterator[int]:
        async for piece in response:
            yield piece

    outer = integration()
    assert await anext(outer) == 0
    await aclose(outer)
    assert not response.open


async def test_what_is_no_generator_is_left_alone() -> None:
    close(None)
    close(iter([1, 2]))
    await aclose(iter([1, 2]))
    done: Iterator[int] = (number for number in (1,))
    assert list(done) == [1]
    close(done)
