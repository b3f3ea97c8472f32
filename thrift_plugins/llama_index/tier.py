"""One of the app's models: what it can do, a digest of its settings, and twins of it that report to us."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import FunctionType
from typing import Any

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from thrift_plugins.caching import canonical
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.prices import Prices
from thrift_plugins.types import Json, Tier

_RENDERERS = ("messages_to_prompt", "completion_to_prompt")
"""Excluded from a model's dump although they decide what is sent."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a model's settings were when they were last read.

    Attributes:
        seen: its fields, containers copied, so that a change inside one shows.
        hidden: its private attributes that may decide an answer.
        identity: a digest of both, None where they have no canonical form.
        params: its own temperature and output limit, where it has them.
    """

    seen: Mapping[str, Any]
    hidden: Mapping[str, Any]
    identity: str | None
    params: Mapping[str, Json]


class ModelTier:
    """A child model and its facts.

    Attributes:
        model: the app's own model, never changed.
        facts: what routing knows of it.
    """

    def __init__(self, model: LLM, name: str | None, prices: Prices) -> None:
        self.model = model
        self.facts = _facts(model, name, prices)
        self._reading: _Reading | None = None
        self._observed: tuple[Mapping[str, Any], CallbackManager, LLM] | None = None

    @property
    def identity(self) -> str | None:
        """A digest of the settings that decide its answers, or None where they have no canonical form."""
        return self._read().identity

    @property
    def params(self) -> Mapping[str, Json]:
        """Its own temperature and output limit, where it has them."""
        return self._read().params

    def _read(self) -> _Reading:
        """Its settings, read again if the app has changed one. Comparing them costs little, digesting them more."""
        known, now, hidden = self._reading, self.model.__dict__, _hidden(self.model)
        if known is not None and known.seen == now and known.hidden == hidden:
            return known
        seen = {name: _kept(value) for name, value in now.items()}
        params = {name: now[name] for name in ("temperature", "max_tokens") if now.get(name) is not None}
        self._reading = _Reading(seen, hidden, _identity(self.model, hidden), params)
        return self._reading

    def under(self, wrapper: LLM) -> LLM:
        """The model, with the wrapper's callback manager and rate limiter where the wrapper has some.

        `Settings.llm` sets its manager on the wrapper only, and must not change the app's own model.
        """
        own, manager, limiter = self.model, wrapper.callback_manager, wrapper.rate_limiter
        if (not manager.handlers or manager is own.callback_manager) and limiter is None:
            return own
        seen, known = self._read().seen, self._observed
        if known is None or known[0] is not seen or known[1] is not manager or known[2].rate_limiter is not limiter:
            fields = {"callback_manager": manager, "rate_limiter": limiter}
            known = self._observed = (seen, manager, twin(own, fields))
        return known[2]


def twin(model: LLM, attributes: Mapping[str, Any], kind: type[LLM] | None = None) -> LLM:
    """A copy of a model that shares its clients.

    Args:
        attributes: fields to set, or methods to put in front of its own.
        kind: a subclass of the model's class for it to be of.
    """
    double = copy.copy(model)
    object.__setattr__(double, "__pydantic_private__", model.__pydantic_private__)
    if kind is not None:
        object.__setattr__(double, "__class__", kind)
    vars(double).update(attributes)
    return double


def _hidden(model: LLM) -> dict[str, Any]:
    """Private attributes that may decide an answer: plain values and functions. Clients and locks cannot."""
    private = model.__pydantic_private__ or {}
    return {
        name.lstrip("_"): value
        for name, value in private.items()
        if isinstance(value, str | int | float | FunctionType)
    }


def _kept(value: Any) -> Any:
    """A value with containers of its own."""
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    return [_kept(item) for item in value] if isinstance(value, list) else value


def _identity(model: LLM, hidden: Mapping[str, Any]) -> str | None:
    kind = type(model)
    settings = {
        name: model.__dict__.get(name)
        for name, field in kind.model_fields.items()
        if not field.exclude or name in _RENDERERS
    }
    extra = settings.pop("additional_kwargs", None) or {}
    try:
        parts = [decisive(settings), decisive(extra), decisive(hidden)]
        told = canonical([kind.__module__, kind.__qualname__, *parts])
    except (NoCanonicalForm, TypeError):
        return None
    return sha256(told).hexdigest()


def _facts(model: LLM, name: str | None, prices: Prices) -> Tier:
    told = model.metadata
    known = told.model_name
    return Tier(
        name=name or known,
        model=known,
        tools=told.is_function_calling_model and isinstance(model, FunctionCallingLLM),
        window=told.context_window if told.context_window > 0 else prices.window(known),
    )
