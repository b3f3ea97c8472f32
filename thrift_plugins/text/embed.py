"""Questions as vectors, made on this machine: hashed words, and learnt word vectors where the package `wordllama` is.

Hashed words need no data and know every script. Joined with wordllama's English vectors they find 97 of 100 repeats among
the first three neighbours in a stream of real questions, against 94 of 100 alone (`tests/benchmarks/semantic.py`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.text.words import FUNCTION_WORDS, MAX_CHARACTERS, plain, unspaced, words

Vectors = NDArray[np.float32]
"""One row a text."""


class Embedder(Protocol):
    """What turns questions into vectors. Two embedders of one name give the same vectors."""

    @property
    def name(self) -> str:
        """Names the space of its vectors; entries of another name are never compared."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows of length 1, float32 (n, dimensions); a row of zeros for a text without words. May raise what it likes.

        One that has an `async def aembed` of the same kind is not called on the event loop's thread.
        """
        ...


_WIDTH = 256  # one byte of a digest chooses a dimension


class StaticEmbedder:
    """The default: needs no download, and some tens of microseconds a question.

    Args:
        learnt: add wordllama's vectors; None: where that package is installed. They are English.

    Raises:
        ModuleNotFoundError: `learnt` is True and wordllama, or tokenizers, is not installed.
    """

    def __init__(self, *, learnt: bool | None = None) -> None:
        if learnt is None:
            learnt = all(importlib.util.find_spec(name) is not None for name in ("wordllama", "tokenizers"))
        self._learnt = _LearntWords() if learnt else None
        self.word = lru_cache(maxsize=8_192)(self._unit_word)
        """A word's direction by its meaning where vectors are learnt, else by its letters, float32 (word_width,)."""

    @property
    def name(self) -> str:
        """Tells the two kinds and later versions of this class apart."""
        return "static-1" if self._learnt is None else "static-1+wordllama-256"

    @property
    def dimensions(self) -> int:
        """256, and as many again with learnt vectors."""
        return _WIDTH if self._learnt is None else _WIDTH + self._learnt.width

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows of length 1, float32 (n, dimensions); a row of zeros for a text without words."""
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[:_WIDTH] = _unit(_hashed(text))
            if self._learnt is not None:
                row[_WIDTH:] = self._learnt.vector(text)
                row[:] = _unit(row)  # half of the weight is the hashed words'
        return rows

    @property
    def word_width(self) -> int:
        """Numbers in a vector of `word`."""
        return _WIDTH if self._learnt is None else self._learnt.width

    def plain_word(self, word: str) -> Vectors:
        """A word's vector before it is brought to length 1: what says more is longer. float32 (word_width,)."""
        return _word_vector(word) if self._learnt is None else self._learnt.piece(word)

    def _unit_word(self, word: str) -> Vectors:
        return _unit(_word_vector(word)) if self._learnt is None else _unit(self._learnt.piece(word))


_FUNCTION_WEIGHT = 0.35  # of a word that says little; 0.2 to 0.5 find as many repeats
_CHARACTER_WEIGHT = 0.7  # of a character of a script without spaces
_SPELLING_WEIGHT = 1.5  # of a word's letter groups together, against 1 for the word


def _unit(vector: Vectors) -> Vectors:
    length = float(np.sqrt(vector @ vector))
    return vector if length == 0 else vector / np.float32(length)


def _hashed(text: str) -> Vectors:
    """The sum of a text's words, each where its letters put it."""
    found = words(plain(text))
    total = np.zeros(_WIDTH, np.float32)
    for word in found:
        total += _word_vector(word)
    for first, second in pairwise(found):
        if unspaced(first) and unspaced(second):
            total += _pair_vector(first, second)
    return total


@lru_cache(maxsize=8_192)  # 1 kB each
def _word_vector(word: str) -> Vectors:
    vector = np.zeros(_WIDTH, np.float32)
    if word in FUNCTION_WORDS or unspaced(word):
        _add(vector, word, _FUNCTION_WEIGHT if word in FUNCTION_WORDS else _CHARACTER_WEIGHT)
        return vector
    _add(vector, word, 1.0)
    marked = f"<{word}>"
    groups = [marked[start : start + size] for size in (3, 4) for start in range(len(marked) - size + 1)]
    for group in groups:
        _add(vector, group, _SPELLING_WEIGHT / len(groups) ** 0.5)
    return vector


@lru_cache(maxsize=8_192)
def _pair_vector(first: str, second: str) -> Vectors:
    """Two neighbouring characters: where words have no spaces, most are of two."""
    vector = np.zeros(_WIDTH, np.float32)
    _add(vector, first + second, _FUNCTION_WEIGHT if first in FUNCTION_WORDS or second in FUNCTION_WORDS else 1.0)
    return vector


def _add(vector: Vectors, name: str, weight: float) -> None:
    """Put a name at four places that only it decides: `hash` would differ from process to process."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=5).digest()
    for turn in range(4):
        vector[digest[turn]] += weight if digest[4] >> turn & 1 else -weight


class WordEmbedder:
    """wordllama's vectors alone, which mean the same in every text.

    Raises:
        ModuleNotFoundError: wordllama, or tokenizers, is not installed.
    """

    name = "wordllama-256"

    def __init__(self) -> None:
        self._learnt = _LearntWords()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows of length 1, float32 (n, 256); a row of zeros for a text without words."""
        return np.stack([self._learnt.vector(text) for text in texts])


def word_embedder() -> WordEmbedder | None:
    """Word vectors where the extra `semantic` is installed."""
    known = all(importlib.util.find_spec(name) is not None for name in ("wordllama", "tokenizers"))
    return WordEmbedder() if known else None


class _LearntWords:
    """wordllama's token vectors and its tokenizer, read from its two files: its own loader asks a server for them."""

    width = 256

    def __init__(self) -> None:
        found = importlib.util.find_spec("wordllama")  # finding does not import it, which would take half a second
        if found is None or found.origin is None:
            raise ModuleNotFoundError(
                "the learnt vectors need wordllama: pip install 'thrift-plugins[semantic]'", name="wordllama"
            )
        folder = Path(found.origin).parent
        self._table = _table(folder / "weights" / "l2_supercat_256.safetensors", self.width)
        self._tokens = _tokenizer(folder / "tokenizers" / "l2_supercat_tokenizer_config.json")

        self._piece = lru_cache(maxsize=8_192)(self._sum)  # 1 kB each; no token reaches across a space

    def vector(self, text: str) -> Vectors:
        """The direction of the mean of the text's token vectors."""
        total = np.zeros(self.width, np.float32)
        for piece in text[:MAX_CHARACTERS].split():
            total += self.piece(piece)
        return _unit(total)

    def piece(self, piece: str) -> Vectors:
        """The sum of the token vectors of what stands between two spaces."""
        return self._piece(piece) if len(piece) <= _LONGEST_PIECE else self._sum(piece)

    def _sum(self, piece: str) -> Vectors:
        whole = piece.encode("utf-8", "replace").decode()  # the tokenizer takes no half of a character
        found: Vectors = self._table[self._tokens(whole)].sum(axis=0, dtype=np.float32)
        return found


_LONGEST_PIECE = 24  # characters; longer ones, such as whole Chinese sentences, do not come back


@lru_cache(maxsize=1)
def _table(path: Path, width: int) -> NDArray[np.float16]:
    """The one tensor of a safetensors file, mapped, not loaded."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        about = json.loads(file.read(size))["embedding.weight"]
    if about["dtype"] != "F16" or about["shape"][1] != width:
        raise ValueError(
            f"{path.name} holds {about['dtype']} of shape {about['shape']}, not half floats of width {width}"
        )
    first, _ = about["data_offsets"]
    return np.memmap(path, np.float16, "r", offset=8 + size + first, shape=tuple(about["shape"]))


@lru_cache(maxsize=1)
def _tokenizer(path: Path) -> Callable[[str], list[int]]:
    from tokenizers import Tokenizer  # noqa: PLC0415 - of an extra

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    return ids
