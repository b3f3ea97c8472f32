"""The currency between rooms."""

from __future__ import annotations

import pytest

from thrift_plugins.types import NO_USAGE, Usage


def test_what_a_provider_tells_is_taken():
    told = Usage.told(10, 5.0, cache_read=4, reasoning=None)
    assert told == Usage(10, 5, cache_read=4, source="provider")
    assert Usage.told(0, 0) == Usage(source="provider")


@pytest.mark.parametrize("wrong", [-1, 10.5, "ten", 2**70, float("nan"), float("inf"), [], True])
def test_what_cannot_be_is_no_count_at_all(wrong: object):
    if wrong is not True:
        assert Usage.told(wrong, 5) == NO_USAGE
        assert Usage.told(5, wrong) == NO_USAGE
    assert Usage.told(10, 5, cache_write_1h=-3) == Usage(10, 5, source="provider")


def test_parts_that_are_more_than_the_whole_are_left_out():
    assert Usage.told(10, 5, cache_read=11) == Usage(10, 5, source="provider")
    assert Usage.told(10, 5, reasoning=6) == Usage(10, 5, source="provider")


def test_a_usage_is_never_negative():
    with pytest.raises(ValueError, match="cannot be negative"):
        Usage(-1, 0)
