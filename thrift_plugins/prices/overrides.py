"""Prices that the user gives, in US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from thrift_plugins.errors import ConfigError
from thrift_plugins.prices.rates import CONTEXTS, Rates, pico_per_token
from thrift_plugins.types import Processing

OVERRIDE: Final = "override"

_RATES: Final[Mapping[str, str]] = {
    "input": "input",
    "output": "output",
    "cached_input": "cache_read",
    "cache_read": "cache_read",
    "cache_write": "cache_write",
    "cache_write_1h": "cache_write_1h",
    "input_audio": "input_audio",
    "output_audio": "output_audio",
    "reasoning": "reasoning",
}
_KEYS: Final[Mapping[str, tuple[Processing, str]]] = {
    (key if processing == "standard" else f"{processing}_{key}"): (processing, rate)
    for processing in CONTEXTS
    for key, rate in _RATES.items()
}


def parse(model: str, given: Mapping[str, float | int | str]) -> dict[Processing, Rates]:
    """The rates of a model in each processing mode that is given.

    Raises:
        ConfigError: a key that nobody knows, a rate given twice or that is no finite number of 0 or more, or a mode
            (the standard one always) without its input and output.
    """
    where = f"prices[{model!r}]"
    modes: dict[Processing, dict[str, int]] = {"standard": {}}
    for key, value in given.items():
        if key not in _KEYS:
            raise ConfigError.unknown_key(key, _KEYS, where)
        processing, rate = _KEYS[key]
        mode = modes.setdefault(processing, {})
        if rate in mode:
            raise ConfigError(f"{where} gives {rate} twice: {key!r} is another word for it")
        mode[rate] = _pico(value, f"{where}[{key!r}]")
    return {processing: _rates(mode, processing, where) for processing, mode in modes.items()}


def _rates(mode: Mapping[str, int], processing: Processing, where: str) -> Rates:
    for rate in ("input", "output"):
        if rate not in mode:
            key = rate if processing == "standard" else f"{processing}_{rate}"
            raise ConfigError(f"{where} needs {key!r}, in US dollars per million tokens (0 where nothing is charged)")
    plain, output = mode["input"], mode["output"]
    cache_write = mode.get("cache_write", plain)
    return Rates(
        input=plain,
        output=output,
        cache_read=mode.get("cache_read", plain),
        cache_write=cache_write,
        cache_write_1h=mode.get("cache_write_1h", cache_write),
        input_audio=mode.get("input_audio", plain),
        output_audio=mode.get("output_audio", output),
        reasoning=mode.get("reasoning", output),
        request=0,
        source=OVERRIDE,
        version=OVERRIDE,
    )


def _pico(value: float | str, where: str) -> int:
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal("NaN")
    if isinstance(value, bool) or not price.is_finite() or price < 0:
        raise ConfigError(f"{where} must be a number of US dollars per million tokens, 0 or more, not {value!r}")
    return pico_per_token(price)
