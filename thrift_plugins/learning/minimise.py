"""Finds the lowest point of a smooth function: limited-memory BFGS with a backtracking step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Sloped: TypeAlias = Callable[[Floats], tuple[float, Floats]]
"""A function of a vector that returns its value and its gradient there."""

_KEPT = 10  # steps remembered; more hardly help
_SUFFICIENT = 1e-4  # of the fall that the slope promises
_SHORTEST = 1e-12


def minimise(function: Sloped, start: Floats, *, tolerance: float = 1e-5, steps: int = 500) -> Floats:
    """The lowest point that `steps` steps reach from `start`, or sooner, where no slope is above `tolerance`.

    For a convex function that is the lowest point of all. The same input takes the same path.
    """
    point, (value, slope) = start, function(start)
    history: deque[tuple[Floats, Floats, float]] = deque(maxlen=_KEPT)
    for _ in range(steps):
        if float(np.abs(slope).max(initial=0.0)) <= tolerance:
            break
        direction = _downhill(slope, history)
        found = _step(function, point, value, slope, direction)
        if found is None:  # as low as the numbers can tell
            break
        target, value, new_slope = found
        moved, turned = target - point, new_slope - slope
        curvature = float(moved @ turned)
        if curvature > 0:
            history.append((moved, turned, curvature))
        point, slope = target, new_slope
    return point


def _downhill(slope: Floats, history: deque[tuple[Floats, Floats, float]]) -> Floats:
    """The slope turned by the inverse curvature that past steps have shown (two-loop recursion)."""
    direction = -slope
    shares: list[float] = []
    for moved, turned, curvature in reversed(history):
        share = float(moved @ direction) / curvature
        direction = direction - share * turned
        shares.append(share)
    if history:
        _, turned, curvature = history[-1]
        direction = direction * (curvature / float(turned @ turned))
    for (moved, turned, curvature), share in zip(history, reversed(shares), strict=True):
        direction = direction + (share - float(turned @ direction) / curvature) * moved
    return direction


def _step(
    function: Sloped, point: Floats, value: float, slope: Floats, direction: Floats
) -> tuple[Floats, float, Floats] | None:
    """The first of ever shorter steps that falls far enough, or None."""
    promised = float(slope @ direction)
    length = 1.0
    while length > _SHORTEST:
        target = point + length * direction
        reached, new_slope = function(target)
        if reached <= value + _SUFFICIENT * length * promised:
            return target, reached, new_slope
        length /= 2
    return None
