"""Methods of `ThriftLLM`: each runs the flow of one call, in the signature of the framework's method that it stands for.

They are marked as spanned already, so that the framework opens no span of ours around that of the tier.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR

from thrift_plugins import drive
from thrift_plugins.llama_index.request import Ask

if TYPE_CHECKING:
    from thrift_plugins.llama_index.llm import ThriftLLM

P = ParamSpec("P")
R = TypeVar("R")


def whole(like: Callable[P, R], ask: Ask) -> Callable[P, R]:
    """A method that gives the whole answer.

    Args:
        like: the framework's method; its name is called on the tier.
        ask: reads its arguments.
    """

    def method(self: ThriftLLM, *args: Any, **kwargs: Any) -> Any:
        flow, turn = self._begin(like.__name__, ask, args, kwargs)
        drive.run(flow, self.runtime, turn)
        return turn.answer

    return _as(like, method)


def awhole(like: Callable[P, R], ask: Ask) -> Callable[P, R]:
    """`whole` without blocking the event loop."""

    async def method(self: ThriftLLM, *args: Any, **kwargs: Any) -> Any:
        flow, turn = self._begin(like.__name__, ask, args, kwargs)
        await drive.arun(flow, self.runtime, turn)
        return turn.answer

    return _as(like, method)


def streamed(like: Callable[P, R], ask: Ask) -> Callable[P, R]:
    """A method that gives the answer in pieces. The tier is asked at once, as without us; only its pieces wait."""

    def method(self: ThriftLLM, *args: Any, **kwargs: Any) -> Any:
        flow, turn = self._begin(like.__name__, ask, args, kwargs, streamed=True)
        pieces = drive.stream(flow, self.runtime, turn)
        next(pieces)  # the stream is open
        return pieces

    return _as(like, method)


def astreamed(like: Callable[P, R], ask: Ask) -> Callable[P, R]:
    """`streamed` without blocking the event loop."""

    async def method(self: ThriftLLM, *args: Any, **kwargs: Any) -> Any:
        flow, turn = self._begin(like.__name__, ask, args, kwargs, streamed=True)
        pieces = drive.astream(flow, self.runtime, turn)
        await anext(pieces)
        return pieces

    return _as(like, method)


def _as(like: Callable[P, R], method: Callable[..., Any]) -> Callable[P, R]:
    named = wraps(like, updated=())(method)
    setattr(named, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return cast("Callable[P, R]", named)
