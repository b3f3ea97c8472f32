"""What a call would have been without us, and how it came to what it was: one patch for each thing that a tactic has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

from thrift_plugins.ledger.event import Cost
from thrift_plugins.types import Patch, Processing, Provenance, Tier, Usage


class Shorter(Protocol):
    """What a compressed prompt tells of itself."""

    @property
    def saved(self) -> int: ...
    @property
    def read(self) -> int: ...
    @property
    def breaks(self) -> tuple[int, ...]: ...
    def notes(self) -> list[str]: ...
    def undoings(self) -> list[str]: ...


class Served(NamedTuple):
    """An answer that was paid for.

    Attributes:
        tier: who gave it.
        usage: what it used.
        asked: how it would have been processed, had no batch run waited for it.
    """

    tier: Tier
    usage: Usage
    asked: Processing


def without_us(
    baseline: Tier, served: Served, *, known: Usage | None, compressed: Shorter | None, shortened: Patch | None
) -> tuple[Cost, tuple[Patch, ...]]:
    """The call of an app without us, and the patches from it to the one that was made.

    Args:
        baseline: whom the app alone asks.
        known: what that one used for the same, where a replay knows it.
        compressed: the prompt that was sent in the place of a longer one.
        shortened: what an output budget has changed.
    """
    tier, usage, asked = served
    patches: list[Patch] = []
    full = usage  # as the same model would have used it for the whole prompt
    if compressed is not None and (compressed.saved > 0 or compressed.breaks) and usage.input_tokens:
        full = _whole(compressed, usage)
        if known is not None and tier.model == baseline.model:
            full = replace(known, source=usage.source)  # a replay knows what the whole prompt was
        patches.append(Patch("compression", "usage", full, usage, "modelled" if compressed.read else "counted"))
    if shortened is not None and known is None:
        patches.append(shortened)
        full = _at_length(shortened.before, full, usage)
    own = tier.name == baseline.name  # as the app alone would have been served
    mode = asked if own else baseline.processing
    patches += _processed("routing", mode, served, "modelled")
    if tier.model == baseline.model:
        return Cost(baseline.model, full, processing=mode), tuple(patches)
    source: Provenance = "replayed" if known else "modelled"
    patches.append(Patch("routing", "model", baseline.model, tier.model, source))
    if known and replace(known, source=full.source) != full:
        patches.append(Patch("routing", "usage", known, full, source))
    return Cost(baseline.model, known or full, processing=mode), tuple(patches)


def without_student(baseline: Tier, served: Served, known: Usage | None) -> tuple[Cost, tuple[Patch, ...]]:
    """The same of a cheap answer that is given because a student thinks it likely too."""
    source: Provenance = "replayed" if known else "modelled"
    patches = [Patch("distillation", "model", baseline.model, served.tier.model, source)]
    patches += _processed("distillation", baseline.processing, served, source)
    if known and replace(known, source=served.usage.source) != served.usage:
        patches.append(Patch("distillation", "usage", known, served.usage, source))
    return Cost(baseline.model, known or served.usage, processing=baseline.processing), tuple(patches)


def _processed(tactic: str, mode: Processing, served: Served, source: Provenance) -> list[Patch]:
    """From how the app's own model is asked to how the one was that served, and from there into a batch."""
    patches = []
    if served.asked != mode:
        patches.append(Patch(tactic, "processing", mode, served.asked, source))
    if served.tier.processing != served.asked:
        patches.append(Patch("batch", "processing", served.asked, served.tier.processing))
    return patches


def _at_length(long: Usage, full: Usage, usage: Usage) -> Usage:
    """The usage of an answer of its full length to the whole prompt."""
    cached = {name: getattr(full, name) for name in ("cache_read", "cache_write", "cache_write_1h")}
    return replace(long, input_tokens=long.input_tokens + full.input_tokens - usage.input_tokens, **cached)


def _whole(prompt: Shorter, usage: Usage) -> Usage:
    """What the same model would have used for the whole prompt, without marks of ours for the provider's prompt cache."""
    full = replace(usage, input_tokens=usage.input_tokens + prompt.saved)
    if prompt.breaks:
        return replace(full, cache_read=0, cache_write=0, cache_write_1h=0)
    return replace(full, cache_read=max(usage.cache_read, min(prompt.read, full.input_tokens - usage.cache_write)))
