"""A student in a file: one line of JSON and raw arrays behind it. There is no code in it, and nothing is run to read it.

The first line has the mark of the format and the SHA-256 of all that follows; the second is a JSON object of `about`, and
`arrays` with the name, type and shape of each; after it come the arrays, one after the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.distillation.dataset import write_private
from thrift_plugins.errors import ConfigError

_MARK: Final = "thrift-student/1"
LARGEST: Final = 25_000_000
"""Bytes of a file."""

_TYPES: Final = {"u4": np.uint32, "i4": np.int32, "f4": np.float32, "f2": np.float16, "u2": np.uint16}
_NAMES: Final = {np.dtype(kind): name for name, kind in _TYPES.items()}

Arrays = dict[str, NDArray[Any]]


def dump(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A student as bytes.

    Raises:
        ConfigError: it is too large.
    """
    told = [{"name": name, "type": _NAMES[array.dtype], "shape": list(array.shape)} for name, array in arrays.items()]
    head = json.dumps({"about": about, "arrays": told}, ensure_ascii=True, allow_nan=False).encode() + b"\n"
    body = head + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    if len(body) > LARGEST - 100:
        raise ConfigError(
            f"the student would have {len(body):,} bytes, and {LARGEST:,} are the most: train it on fewer examples"
        )
    return f"{_MARK} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def load(data: bytes, where: str) -> tuple[dict[str, Any], Arrays]:
    """What `dump` gave.

    Raises:
        ConfigError: it is something else, was cut, or was changed since; says that and what to do.
    """
    first, _, body = data.partition(b"\n")
    mark, _, digest = first.decode("ascii", "replace").partition(" ")
    if mark != _MARK:
        raise ConfigError(f"{where} is no student of this version: train it anew with `thrift-plugins distill run`")
    if hashlib.sha256(body).hexdigest() != digest or len(data) > LARGEST:
        raise ConfigError(f"{where} was cut or changed since it was trained: take it from its origin, or train it anew")
    head, _, raw = body.partition(b"\n")
    try:
        told = json.loads(head)
        return dict(told["about"]), _arrays(told["arrays"], raw)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where} is no student: {error}") from error


def _arrays(told: list[Mapping[str, Any]], raw: bytes) -> Arrays:
    found: Arrays = {}
    at = 0
    for each in told:
        kind, shape = np.dtype(_TYPES[each["type"]]), tuple(map(int, each["shape"]))
        size = kind.itemsize * prod(shape)
        if min(shape, default=0) < 0 or at + size > len(raw):
            raise ValueError(f"array {each['name']!r} does not fit")
        found[each["name"]] = np.frombuffer(raw, kind, prod(shape), at).reshape(shape)
        at += size
    if at != len(raw):
        raise ValueError("there is more in it than its arrays")
    return found


def read(path: str | Path) -> bytes:
    """The bytes of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the student {path}: {error.strerror}") from error


def write(path: str | Path, data: bytes) -> None:
    """Write a file that only its owner can read."""
    write_private(Path(path), data)
