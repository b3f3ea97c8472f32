"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

PRIVATE: Final = 0o600
ORDINARY: Final = 0o666
"""What the umask leaves of it."""


@contextmanager
def drafted(path: Path, mode: int = PRIVATE) -> Iterator[IO[bytes]]:
    """A file to write beside another one, whose place it takes when all of it is written and on the disk.

    Args:
        mode: who may read it; by default its owner alone.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(draft, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
            if not file.closed:  # by a writer of text over it
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
