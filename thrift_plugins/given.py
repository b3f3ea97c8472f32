"""What an app has passed in, as it is at that moment: its lists and messages are its own, and may be others a moment later."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any


def listed(given: Any) -> Any:
    """An input whose list is not the app's, who may add to it while the call is under way. The messages are the app's own."""
    return copy(given) if type(given) in (list, dict) else given


def kept(given: Any, kinds: tuple[type, ...]) -> Any:
    """An input for a call that is made after the app has its answer, and may have gone on with the same list and messages.

    Args:
        given: the input.
        kinds: what its framework's messages are.
    """
    if type(given) in (list, tuple):
        return type(given)(kept(item, kinds) for item in given)
    if type(given) is dict:
        return {name: kept(item, kinds) for name, item in given.items()}
    if not isinstance(given, kinds):
        return given
    try:
        return deepcopy(given)
    except Exception:  # noqa: BLE001  an app may hang on a message what cannot be copied
        return copy(given)
