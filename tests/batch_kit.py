"""A provider of batches that the real SDKs of a test find by themselves, and patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from thrift_plugins.testing import LoopbackBatches


@contextmanager
def found_by_sdks(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[LoopbackBatches]:
    """One whose batches take so long, with its address and a key in the environment."""
    with LoopbackBatches(seconds=seconds) as made:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", made.base_url)
        yield made


def until(true: Callable[[], object]) -> None:
    """Wait for it, a minute at most."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
