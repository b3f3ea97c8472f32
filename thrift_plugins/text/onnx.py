"""A sentence encoder in ONNX form, such as all-MiniLM-L6-v2, run on this machine's processor. Extra `encoder`.

Nothing is downloaded: the app names the folder with `model.onnx` and `tokenizer.json`, as sentence-transformers and
optimum export them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from thrift_plugins.errors import ConfigError
from thrift_plugins.text.embed import Vectors

_FILES: Final = ("model.onnx", "tokenizer.json")
_AT_ONCE: Final = 32  # texts; more of them gain no time on a processor, and take memory
_TINY: Final = 1e-12


class OnnxEmbedder:
    """An `Embedder` over a sentence encoder: the mean of its tokens' vectors, of length 1.

    Better at meaning than `StaticEmbedder`, and some hundred times slower: milliseconds a text.

    Args:
        folder: has `model.onnx` and `tokenizer.json`.
        longest: tokens of a text that are read.
        threads: of the processor, for one call.

    Raises:
        ConfigError: a file is not there, is damaged, or is no sentence encoder.
        ModuleNotFoundError: the extra `encoder` is not installed.
    """

    def __init__(self, folder: str | Path, *, longest: int = 256, threads: int = 1) -> None:
        place = Path(folder)
        for name in _FILES:
            if not (place / name).is_file():
                raise ConfigError(f"{place} has no {name}: export a sentence encoder to ONNX there, or name its folder")
        onnxruntime, tokenizers = _needed("onnxruntime"), _needed("tokenizers")
        weights = (place / _FILES[0]).read_bytes()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session: Any = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
            self._tokens: Any = tokenizers.Tokenizer.from_file(str(place / _FILES[1]))
        except Exception as error:  # both packages raise kinds of their own
            raise ConfigError(f"the encoder in {place} cannot be read: {error}") from error
        self._tokens.enable_truncation(longest)
        self._tokens.enable_padding()
        self._inputs = {each.name for each in self._session.get_inputs()}
        if "input_ids" not in self._inputs or not self._session.get_outputs():
            raise ConfigError(f"the model in {place} is no sentence encoder: it takes {sorted(self._inputs)}")
        self._name = f"onnx-{hashlib.blake2b(weights, digest_size=8).hexdigest()}-{longest}"

    @property
    def name(self) -> str:
        """Of these weights and this length: vectors of others are never compared with its own."""
        return self._name

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows of length 1, float32 (n, dimensions); a row of zeros for a text without tokens."""
        parts = [self._some(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def _some(self, texts: Sequence[str]) -> Vectors:
        # Half of a surrogate pair is no text for the tokenizer.
        read = self._tokens.encode_batch([text.encode("utf-8", "replace").decode() for text in texts])
        mask = np.array([each.attention_mask for each in read], np.int64)
        given = {
            "input_ids": np.array([each.ids for each in read], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        if not mask.shape[1]:
            return np.zeros((len(texts), 0), np.float32)
        [found, *_] = self._session.run(None, {name: given[name] for name in self._inputs & given.keys()})
        rows = np.asarray(found, np.float32)
        if rows.ndim == 3:  # a vector for each token, where others give one for the text
            weight = mask[:, :, None].astype(np.float32)
            rows = (rows * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1.0)
        length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        return np.where(length > _TINY, rows / np.maximum(length, _TINY), 0.0).astype(np.float32)


def _needed(package: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"an encoder needs {package}: pip install 'thrift-plugins[encoder]'", name=package
        ) from missing
