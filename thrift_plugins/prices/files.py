"""A file of prices that the user keeps: one table of rates for each model, in TOML or JSON."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from thrift_plugins.errors import ConfigError
from thrift_plugins.prices.names import tidy
from thrift_plugins.prices.overrides import parse

Given = Mapping[str, float | int | str]
"""Rates of a model, as a user gives them."""


def read_prices(path: str | Path) -> dict[str, Given]:
    """Each model's rates in US dollars per million tokens, as `Prices` takes them, from a `.toml` or `.json` file.

    No digit is lost: a number with a point is read as the decimal that it is.

    Raises:
        ConfigError: no such file, neither TOML nor JSON, or a model whose rates cannot be used; says which.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        tables = json.loads(text, parse_float=str) if Path(path).suffix == ".json" else _toml(text)
        return _checked(tables)
    except OSError as error:
        raise ConfigError(f"cannot read the prices in {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prices in {path} are neither TOML nor, in a file named .json, JSON: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def over(kept: Mapping[str, Given], given: Mapping[str, Given]) -> dict[str, Given]:
    """The second prices over the first, however a model's name is spelt in each."""
    named = {tidy(model) for model in given}
    return {model: rates for model, rates in kept.items() if tidy(model) not in named} | dict(given)


def _toml(text: str) -> object:
    return tomllib.loads(text, parse_float=lambda digits: str(Decimal(digits)))


def _checked(tables: object) -> dict[str, Given]:
    if not isinstance(tables, dict):
        raise ConfigError(f"prices must be a table of models, not {type(tables).__name__}")
    spelt: dict[str, str] = {}
    for model, rates in tables.items():
        if not isinstance(rates, dict):
            raise ConfigError(f"prices[{model!r}] must be a table of a model's rates, not {type(rates).__name__}")
        first = spelt.setdefault(tidy(model), model)
        if first != model:
            raise ConfigError(f"prices has both {first!r} and {model!r}, which are one model: leave one of them")
        parse(model, rates)
    return tables
