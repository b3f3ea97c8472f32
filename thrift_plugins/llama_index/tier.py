"""One of the app's models: what it can do, a digest of its settings, and twins of it that report to us."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from thrift_plugins.caching import canonical
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.prices import Prices
from thrift_plugins.types import Tier

_RENDERERS = ("messages_to_prompt", "completion_to_prompt")
"""Excluded from a model's dump although they decide what is sent."""


class ModelTier:
    """A child model and its facts.

    Attributes:
        model: the app's own model, never changed.
        facts: what routing knows of it.
    """

    def __init__(self, model: LLM, name: str | None, prices: Prices) -> None:
        self.model = model
        self.facts = _facts(model, name, prices)
        self._seen: dict[str, Any] = {}
        self._identity: str | None = None
        self._params: dict[str, Any] = {}
        self._observed: dict[int, tuple[CallbackManager, LLM]] = {}

    @property
    def identity(self) -> str | None:
        """A digest of the settings that decide its answers, or None where they have no canonical form."""
        self._refresh()
        return self._identity

    @property
    def params(self) -> Mapping[str, Any]:
        """Its own temperature and output limit, where it has them."""
        self._refresh()
        return self._params

    def _refresh(self) -> None:
        """Read the settings again if the app has changed one. Comparing them costs little, digesting them more."""
        now = self.model.__dict__
        if self._seen == now:
            return
        self._seen = dict(now)
        self._observed.clear()
        self._params = {name: now[name] for name in ("temperature", "max_tokens") if now.get(name) is not None}
        self._identity = _identity(self.model)

    def under(self, manager: CallbackManager) -> LLM:
        """The model, reporting to the wrapper's callback manager where that has handlers of its own.

        `Settings.llm` sets its manager on the wrapper only, and must not change the app's own model.
        """
        if not manager.handlers or manager is self.model.callback_manager:
            return self.model
        known = self._observed.get(id(manager))
        if known is None:
            known = (manager, twin(self.model, callback_manager=manager))
            self._observed[id(manager)] = known
        return known[1]


def twin(model: LLM, *, methods: Mapping[str, Callable[..., Any]] | None = None, **fields: Any) -> LLM:
    """A copy of a model that shares its clients, with other fields, and some methods put in front of its own."""
    double = copy.copy(model)
    object.__setattr__(double, "__pydantic_private__", model.__pydantic_private__)
    double.__dict__.update(fields)
    if methods:
        double.__dict__.update(methods)  # found before the class's own, which are plain functions
    return double


def _identity(model: LLM) -> str | None:
    kind = type(model)
    settings = {
        name: model.__dict__.get(name)
        for name, field in kind.model_fields.items()
        if not field.exclude or name in _RENDERERS
    }
    extra = settings.pop("additional_kwargs", None) or {}
    try:
        told = canonical([kind.__module__, kind.__qualname__, decisive(settings), decisive(extra)])
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
