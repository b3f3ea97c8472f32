"""Prompts that say what time it is: asked again after a crash they are other prompts, and are paid again."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Final

logger = logging.getLogger("thrift_plugins")

_MOMENT: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)|\b(\d{10})(?:\.\d+|\d{3})?\b")
_NEAR_S: Final = 600.0
_LOOKED_AT: Final = 100


def says_now(body: bytes, now: float) -> bool:
    """Whether a prompt holds a moment of the last minutes, in UTC, in local time, or in seconds since the epoch."""
    for found in _MOMENT.finditer(body):
        if found[6]:
            if abs(float(found[6]) - now) < _NEAR_S:
                return True
            continue
        try:
            moment = datetime(*(int(found[place]) for place in range(1, 6)))  # type: ignore[arg-type]  # noqa: DTZ001  both zones follow
        except ValueError:
            continue
        zones = (moment.replace(tzinfo=UTC), moment.astimezone())
        if any(abs(zone.timestamp() - now) < _NEAR_S for zone in zones):
            return True
    return False


def warn_of_clocks(bodies: Iterable[bytes], now: float) -> bool:
    """Say so where prompts have the time in them; whether it was said."""
    looked = list(islice(bodies, _LOOKED_AT))
    telling = sum(says_now(body, now) for body in looked)
    if 2 * telling <= len(looked):
        return False
    logger.warning(
        "batch: the prompts say what time it is: run again, they are other prompts, are not found in the journal, and are paid"
        " again; leave the time out, or give it to the chain as a part of each input"
    )
    return True
