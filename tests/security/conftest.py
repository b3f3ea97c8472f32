"""What the searches for canaries share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from thrift_plugins.stores.compress import Compressor


@pytest.fixture(scope="module")
def in_clear() -> Iterator[None]:
    """Entries are kept as they are given: a canary in a compressed one would not be found."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Compressor, "smaller", lambda self, data: None)
        yield
