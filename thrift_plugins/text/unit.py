"""Vectors of an app's own embedder, as the semantic tier reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def unit_rows(vectors: Iterable[Sequence[float]]) -> NDArray[np.float32]:
    """Rows of length 1, float32 (n, dimensions); a row of zeros stays one.

    Raises:
        ValueError: the rows differ in length, or hold what is no finite number.
    """
    rows = np.array([list(vector) for vector in vectors], np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError("an embedder gives one vector of finite numbers for each text, all of one length")
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def name_of(embedder: object, names: Iterable[str]) -> str:
    """What tells an embedder from others: its class, and the first of these attributes that it has."""
    kind = type(embedder)
    model = next((value for name in names if isinstance(value := getattr(embedder, name, None), str)), "")
    return f"{kind.__module__}.{kind.__qualname__}:{model}"
