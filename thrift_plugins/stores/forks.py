"""Locks after a fork: one that another thread held at that moment would stay held in the child for ever."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """What has locks."""

    def renew(self) -> None:
        """Take new locks; called in a forked child, before anything else runs there."""


_kept: WeakSet[Renewable] = WeakSet()


def renew_after_fork(renewable: Renewable) -> None:
    """Have it renewed in every forked child for as long as it lives."""
    _kept.add(renewable)


def _after_fork_in_child() -> None:
    for renewable in list(_kept):
        renewable.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
