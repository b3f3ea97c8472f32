"""What processes tell each other through the store: a question that has an answer now, and what a check came to.

Records are small, binary and versioned; the store seals them. A record that is not well formed is passed over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

_QUESTION = struct.Struct("<B16sdHf")  # version, space, expires, dimensions, scale
_CHECK = struct.Struct(
    "<B16s8sdfIIII"
)  # version, scope, origin, at, share, lookups, hits, checked, wrong; then the name
_VERSION = 1
_MOST_LOOKUPS = 100_000
"""In one check; more is a forgery."""

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Question:
    """A question whose answer was kept.

    Attributes:
        space: 16 bytes: all that must be equal for its answer to be another question's.
        vector: float32 (dimensions,) of length 1; sent in eight bits.
        expires: seconds since the epoch.
    """

    space: bytes
    text: str
    vector: NDArray[np.float32]
    expires: float

    def pack(self) -> bytes:
        """As bytes.

        Raises:
            UnicodeEncodeError: the text has half a character.
        """
        scale = max(float(np.abs(self.vector).max()), 1e-9) / 127
        codes = np.rint(self.vector / scale).astype(np.int8)
        head = _QUESTION.pack(_VERSION, self.space, self.expires, len(codes), scale)
        packed: bytes = head + codes.tobytes() + self.text.encode()
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> Question | None:
        """What `pack` wrote, None where the bytes are not that."""
        try:
            version, space, expires, dimensions, scale = _QUESTION.unpack_from(data)
            codes = np.frombuffer(data, np.int8, dimensions, _QUESTION.size)
            text = data[_QUESTION.size + dimensions :].decode()
        except (struct.error, ValueError):
            return None
        vector = codes.astype(np.float32) * np.float32(scale)
        length = float(np.sqrt(vector @ vector))
        if version != _VERSION or not 0.9 < length < 1.1 or not text:
            return None
        return cls(space, text, vector / np.float32(length), expires)


@dataclass(frozen=True, slots=True)
class Check:
    """A round of a scope's lookups, in which hits were compared with real answers.

    Attributes:
        scope: 16 bytes.
        origin: 8 bytes: the process that saw them.
        at: seconds since the epoch.
        share: of hits that were compared, each by chance.
        lookups: in the round.
        hits: among them.
        checked: hits whose comparison came to something.
        wrong: among those.
        name: of the scope, for people.
    """

    scope: bytes
    origin: bytes
    at: float
    share: float
    lookups: int
    hits: int
    checked: int
    wrong: int
    name: str

    def pack(self) -> bytes:
        """As bytes; of a long name the beginning."""
        counts = (self.lookups, self.hits, self.checked, self.wrong)
        head: bytes = _CHECK.pack(_VERSION, self.scope, self.origin, self.at, self.share, *counts)
        return head + self.name[:_LONGEST_NAME].encode("utf-8", "replace")

    @classmethod
    def unpack(cls, data: bytes) -> Check | None:
        """What `pack` wrote, None where the bytes are not that."""
        try:
            version, scope, origin, at, share, *counts = _CHECK.unpack_from(data)
            name = data[_CHECK.size :].decode()
        except (struct.error, ValueError):
            return None
        lookups, hits, checked, wrong = counts
        in_order = wrong <= checked <= hits <= lookups and 0 < lookups <= _MOST_LOOKUPS
        if version != _VERSION or not isfinite(at) or not 0 < share <= 1 or not in_order or len(name) > _LONGEST_NAME:
            return None
        return cls(scope, origin, at, share, lookups, hits, checked, wrong, name)
