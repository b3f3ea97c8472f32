"""A provider of batches that the real SDKs of a test find by themselves."""

from __future__ import annotations

from collections.abc import Iterator
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
