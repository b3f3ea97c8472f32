"""Calls that no event handler and no span handler of LlamaIndex sees: those whose answer may yet be rejected.

The framework's dispatchers cannot be silenced for one task or thread: handlers hang on them for the whole process, and
integrations fire on dispatchers of their own. So the four methods by which every dispatcher tells its handlers are wrapped,
once and at the first such call, to do nothing in a context that asks for it. Everywhere else they do what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from typing import Any, Final

from llama_index_instrumentation.dispatcher import Dispatcher

_TELLING: Final = ("event", "span_enter", "span_exit", "span_drop")
_MARK: Final = "__thrift_unseen__"

_unseen: ContextVar[bool] = ContextVar("thrift_unseen", default=False)
_lock = Lock()


@contextmanager
def unseen() -> Iterator[None]:
    """What happens in this block is not told to any handler."""
    _wrap()
    token = _unseen.set(True)
    try:
        yield
    finally:
        _unseen.reset(token)


def _wrap() -> None:
    with _lock:
        for name in _TELLING:
            told = getattr(Dispatcher, name)
            if not hasattr(told, _MARK):
                setattr(Dispatcher, name, _gated(told))


def _gated(told: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(told)
    def gated(*args: Any, **kwargs: Any) -> Any:
        return None if _unseen.get() else told(*args, **kwargs)

    setattr(gated, _MARK, True)
    return gated
