"""Verdicts from the ledger, for reports: what was compared, and what followed from it, is booked there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from thrift_plugins.quality.gate import Gate, Terms
from thrift_plugins.quality.judges import ExactJudge
from thrift_plugins.quality.trial import Standing


def verdicts(entries: Iterable[Mapping[str, Any]]) -> list[Standing]:
    """How every tactic does in every feature: what is broken first, then by how much was compared.

    Args:
        entries: ledger records (see `Ledger.records`), in the order of time. Those of calls are passed over at once.
    """
    gate = Gate(Terms(rolls_back=False), ExactJudge())  # what was rolled back is told; the judge is that of each line
    for entry in entries:
        line = entry.get("extra", {}).get("quality")
        if line:
            with suppress(KeyError, TypeError, ValueError):  # of a later version
                gate.take(entry["at"], line["what"], *line["told"])
    return gate.standings()
