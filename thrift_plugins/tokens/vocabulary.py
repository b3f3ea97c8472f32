"""True counts, by the vocabularies that OpenAI published, from files that are on this machine already."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from thrift_plugins.forks import new_lock
from thrift_plugins.prices import split_model
from thrift_plugins.tokens.approx import estimate

if TYPE_CHECKING:
    from tiktoken import Encoding

Measure: TypeAlias = Callable[[str], int]
"""Tokens of a text."""

_BLOB = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"  # tiktoken's cache is named by its digest
_FILES: Final[Mapping[str, str]] = {
    "cl100k_base": "cl100k_base",
    "o200k_base": "o200k_base",
    "o200k_harmony": "o200k_base",
}
_CACHE_DIR: Final = "TIKTOKEN_CACHE_DIR"
_loading = new_lock()

# Over one piece of its splitting tiktoken 0.9 takes quadratic time (0.14 does not); all panic on a million spaces.
_RUN = 1_000
# Looking behind, only the start of a run is tried: shorter runs are read once, not once from each of their characters.
_LONG_RUN = re.compile(rf"(?<!\S)\S{{{_RUN},}}|(?<!\s)\s{{{_RUN},}}")
# ASCII signs but the apostrophe, and East Asian ones: a letter or digit ends its piece before any of them, so that a cut
# there changes no count.
_SIGNS = r"!-&(-/:-@\[-`{-~\u3001\u3002\u300a-\u3011\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
_PIECES = re.compile(
    rf"\S{{1,{_RUN}}}(?:(?<=[^\W_])(?=[{_SIGNS}])|\Z)|\S{{{_RUN}}}|\s{{1,{_RUN}}}",
)


def count(text: str, model: str) -> int:
    """Tokens of a text: exact where `exact(model)` says so, else the estimate.

    In a run of a thousand characters or more without a break (one letter over and over, white space), which no
    natural text has, the count may be a few tokens too high: such runs are measured in parts.
    """
    return measure_for(model)(text)


def exact(model: str) -> bool:
    """Whether counts for the model are exact: it is OpenAI's, and its vocabulary is on this machine."""
    return encoding_of(model) is not None


def measure_for(model: str) -> Measure:
    """What counts the tokens of a text for a model."""
    encoding = encoding_of(model)
    if encoding is None:
        return estimate

    def measure(text: str) -> int:
        return sum(len(encoding.encode_ordinary(part)) for part in _parts(text))

    return measure


def _parts(text: str) -> Iterator[str]:
    """The text, cut inside its long runs."""
    start = 0
    if len(text) >= _RUN:
        for run in _LONG_RUN.finditer(text):
            for piece in _PIECES.finditer(text, run.start(), run.end()):
                if piece.end() < run.end():
                    yield text[start : piece.end()]
                    start = piece.end()
    yield text[start:]


@lru_cache(maxsize=1024)
def encoding_of(model: str) -> Encoding | None:
    """The vocabulary of a model, None where it is not on this machine."""
    from tiktoken.model import encoding_name_for_model  # noqa: PLC0415 - at first need

    provider, name = split_model(model)
    while provider is not None:  # openrouter/openai/gpt-4o
        provider, name = split_model(name)
    try:
        return _load(encoding_name_for_model(name))
    except KeyError:
        return None


def _load(name: str) -> Encoding | None:
    """An encoding from the files in llama-index-core, None where they do not have it.

    A file that is not there is never fetched. One that is damaged tiktoken tries to fetch again.
    """
    from tiktoken import get_encoding  # noqa: PLC0415 - at first need

    spec = find_spec("llama_index.core")  # finds it without importing it
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if name not in _FILES or not folders:
        return None
    folder = Path(folders[0], "_static", "tiktoken_cache")
    digest = sha1(_BLOB.format(_FILES[name]).encode(), usedforsecurity=False).hexdigest()
    if not (folder / digest).is_file():
        return None
    with _loading:
        before = os.environ.get(_CACHE_DIR)
        os.environ[_CACHE_DIR] = str(folder)
        try:
            return get_encoding(name)
        except (OSError, ValueError):  # the file is damaged, and no new one was to be had
            return None
        finally:
            if before is None:
                del os.environ[_CACHE_DIR]
            else:
                os.environ[_CACHE_DIR] = before
