"""Builds the compression policy of an app from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from thrift_plugins.compression.calibration import Calibration
from thrift_plugins.compression.compressor import Compressor
from thrift_plugins.compression.extraction import Extractor
from thrift_plugins.compression.keeping import Keeping
from thrift_plugins.compression.limit import Limit
from thrift_plugins.compression.policy import CompressionPolicy
from thrift_plugins.compression.ranker import Ranker
from thrift_plugins.prices import Prices
from thrift_plugins.text.onnx import OnnxEmbedder


class Settings(NamedTuple):
    """Of one feature, as in `CompressionConfig`."""

    max_tokens: int | None = None
    ratio: float | None = None
    risk: float | None = None
    calibration: str = ""
    max_history: int | None = None
    cache_control: bool = False


def opened(
    features: Mapping[str, Settings | None],
    prices: Prices,
    *,
    ranker: str = "",
    encoder: str = "",
    spelling: bool = True,
    duplicates: bool = True,
    turns: int = 1,
) -> CompressionPolicy:
    """The policy for these features; "" is for all others, and None leaves one alone.

    Raises:
        ConfigError: a file that cannot be read, or a risk that its calibration cannot support.
        ModuleNotFoundError: an encoder, and the extra `encoder` is not installed.
    """
    extractor = extractor_of(ranker, encoder)
    made = {
        name: Compressor(limit_of(own, extractor), extractor=extractor, spelling=spelling, duplicates=duplicates)
        if own is not None
        else None
        for name, own in features.items()
    }
    keepings = {
        name: Keeping(own.max_history, own.cache_control, turns) for name, own in features.items() if own is not None
    }
    default = keepings.pop("", Keeping())
    return CompressionPolicy(made.pop("", None), made, prices, turns, default, keepings)


def extractor_of(ranker: str = "", encoder: str = "") -> Extractor:
    """What finds the sentences that a question needs.

    Args:
        ranker: file of one of the app's own, "" for the shipped one.
        encoder: folder of a sentence encoder in ONNX form, "" for the static word vectors.

    Raises:
        ConfigError: a file that cannot be read.
        ModuleNotFoundError: an encoder, and the extra `encoder` is not installed.
    """
    return Extractor(
        ranker=Ranker.load(ranker) if ranker else None, embedder=OnnxEmbedder(encoder) if encoder else None
    )


def limit_of(settings: Settings, extractor: Extractor) -> Limit:
    """The limit that settings ask for; a calibration must have been made with the same extractor."""
    if settings.risk is None:
        return Limit(settings.max_tokens, settings.ratio)
    calibration = Calibration.load(settings.calibration)
    calibration.check(extractor.name, settings.calibration)
    return Limit(risk=settings.risk, calibration=calibration)
