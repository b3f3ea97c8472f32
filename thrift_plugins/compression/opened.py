"""Builds the compression policy of an app from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from thrift_plugins.compression.calibration import Calibration
from thrift_plugins.compression.compressor import Compressor
from thrift_plugins.compression.extraction import Extractor
from thrift_plugins.compression.limit import Limit
from thrift_plugins.compression.policy import CompressionPolicy
from thrift_plugins.compression.ranker import Ranker
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices import Prices

Settings: TypeAlias = tuple[int | None, float | None, float | None, str]
"""max_tokens, ratio, risk, and the file of a calibration."""


def opened(
    features: Mapping[str, Settings | None],
    prices: Prices,
    *,
    ranker: str = "",
    spelling: bool = True,
    duplicates: bool = True,
    turns: int = 1,
) -> CompressionPolicy:
    """The policy for these features; "" is for all others, and None leaves one alone.

    Raises:
        ConfigError: a file that cannot be read, or a risk that its calibration cannot support.
    """
    extractor = Extractor(ranker=Ranker.load(ranker) if ranker else None)
    made = {
        name: Compressor(limit_of(own, extractor), extractor=extractor, spelling=spelling, duplicates=duplicates)
        if own is not None
        else None
        for name, own in features.items()
    }
    return CompressionPolicy(made.pop("", None), made, prices, turns)


def limit_of(settings: Settings, extractor: Extractor) -> Limit:
    """The limit that settings ask for; a calibration must have been made with the same extractor."""
    max_tokens, ratio, risk, file = settings
    if risk is None:
        return Limit(max_tokens, ratio)
    calibration = Calibration.load(file)
    if calibration.extractor != extractor.name:
        raise ConfigError(
            f"{file} was made with another ranker or other word vectors ({calibration.extractor}, here {extractor.name}): "
            "calibrate again with 'thrift-plugins compress calibrate'"
        )
    return Limit(risk=risk, calibration=calibration)
