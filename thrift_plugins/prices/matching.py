"""Whether a price list's rule for a model's name fits a name because it means that model, or only by its beginning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo

# What providers add to a model's name without its price changing: dates, versions, stages. Anything else ("-ours",
# ":free") names another product.
_HARMLESS: Final = re.compile(
    r"(?:[-@._:/ ]*(?:v?\d+|latest|preview|exp|experimental|customtools|instruct|beta|stable|default))*[-@._:]*"
)
_PLACES: Final = ("/", ".", ":")  # where what comes before a model's name ends: a path, a region, a provider


def is_meant(model: ModelInfo, name: str) -> bool:
    """Whether a name that fits a model's rule is the model's."""
    if name == model.id.lower() or name.startswith("ft:"):  # what follows a fine-tune's base is its owner's
        return True
    pieces = list(_pieces(model.match, name))
    return not pieces or any(_is_whole(before, after) for before, after in pieces)


def _is_whole(before: str, after: str) -> bool:
    return (not before or before.endswith(_PLACES)) and _HARMLESS.fullmatch(after) is not None


def _pieces(rule: MatchLogic, name: str) -> Iterator[tuple[str, str]]:
    """What stands before and after each part of the name that the rule asks for; nothing where it asks for all of it."""
    from genai_prices import types  # noqa: PLC0415 - at first need

    match rule:
        case types.ClauseEquals() if rule.is_match(name):
            yield "", ""
        case types.ClauseStartsWith() if rule.is_match(name):
            yield "", name[len(rule.starts_with) :]
        case types.ClauseEndsWith() if rule.is_match(name):
            yield name[: -len(rule.ends_with)], ""
        case types.ClauseContains() if rule.is_match(name):
            before, _, after = name.partition(rule.contains.lower())
            yield before, after
        case types.ClauseOr():
            for one in rule.or_:
                yield from _pieces(one, name)
        case types.ClauseAnd():
            for one in rule.and_:
                yield from _pieces(one, name)
        case _:
            return
