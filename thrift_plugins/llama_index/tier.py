"""One of the app's models: what it can do, a digest of its settings, and twins of it that report to us."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import BaseModel

from thrift_plugins.caching import canonical
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.prices import Prices, processing_in
from thrift_plugins.tries import watch
from thrift_plugins.types import Json, Role, Tier

_RENDERERS = ("messages_to_prompt", "completion_to_prompt")
"""Excluded from a model's dump although they decide what is sent."""


_PLUMBING = ("callback_manager", "rate_limiter")
"""Fields whose objects change with every call and decide nothing."""

_TRANSPORT = ("client", "session", "lock")
"""Ends of the names of private attributes that carry a question, and decide no answer."""

_LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition, asyncio.Lock, asyncio.Semaphore)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model's settings were when they were last read.

    Attributes:
        seen: its fields, containers and objects with fields copied, so that a change inside one shows.
        hidden: its private attributes, likewise.
        identity: a digest of what of both decides its answers, None where that has no canonical form.
        params: its own temperature and output limit, where it has them.
        heats: temperatures inside its other settings, such as extra arguments for the provider.
    """

    seen: Mapping[str, Any]
    hidden: Mapping[str, Any]
    identity: str | None
    params: Mapping[str, Json]
    heats: tuple[float, ...]


class ModelTier:
    """A child model and its facts.

    Attributes:
        model: the app's own model, never changed.
        facts: what routing knows of it.
    """

    def __init__(self, model: LLM, name: str | None, prices: Prices) -> None:
        self.model = model
        self.facts = _facts(model, name, prices)
        self._reading: Reading | None = None
        self._watched: dict[bool, Reading] = {}
        self._observed: tuple[Mapping[str, Any], CallbackManager, LLM] | None = None

    @property
    def identity(self) -> str | None:
        """A digest of the settings that decide its answers, or None where they have no canonical form."""
        return self.read().identity

    def read(self) -> Reading:
        """Its settings, read again if the app has changed one. Comparing them costs little, digesting them more."""
        known, now, private = self._reading, self.model.__dict__, self.model.__pydantic_private__ or {}
        if known is not None and known.seen == now and known.hidden == private:
            return known
        seen = {name: value if name in _PLUMBING else _kept(value) for name, value in dict(now).items()}
        hidden = _kept(private)
        params = {name: seen[name] for name in ("temperature", "max_tokens") if seen.get(name) is not None}
        heats = tuple(heat for value in seen.values() if isinstance(value, Mapping) for heat in temperatures(value))
        reading = self._reading = Reading(seen, hidden, _identity(self.model, seen, hidden), params, heats)
        return reading

    def watch(self, *, asynchronous: bool) -> None:
        """Have the client counted that the next call uses; LlamaIndex makes it when it needs it."""
        reading = self.read()
        if self._watched.get(asynchronous) is reading:
            return
        make = getattr(self.model, "_get_aclient" if asynchronous else "_get_client", None)
        with suppress(Exception):  # it says at the call what it lacks
            if make is not None and getattr(self.model, "reuse_client", True):
                make()
        watch(self.model)
        self._watched[asynchronous] = self.read()

    def told(self, call: Mapping[str, Any]) -> Tier:
        """What routing knows of it for a call with these arguments."""
        limit = longest_answer(call)
        if limit is None:
            limit = longest_answer(self.model.__dict__)
        processing = processing_in(call, EXTRAS) or processing_in(self.model.__dict__, EXTRAS) or "standard"
        if (limit, processing) == (self.facts.limit, self.facts.processing):
            return self.facts
        return replace(self.facts, limit=limit, processing=processing)

    def under(self, wrapper: LLM) -> LLM:
        """The model, with the wrapper's callback manager and rate limiter where the wrapper has some.

        `Settings.llm` sets its manager on the wrapper only, and must not change the app's own model.
        """
        own, manager, limiter = self.model, wrapper.callback_manager, wrapper.rate_limiter
        if (not manager.handlers or manager is own.callback_manager) and limiter is None:
            return own
        seen, known = self.read().seen, self._observed
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


_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "max_new_tokens")
EXTRAS = ("additional_kwargs", "options", "generation_config")


def longest_answer(settings: Mapping[str, Any]) -> int | None:
    """The limit on an answer's length in settings, or in those inside them that are sent as they are."""
    inner = (value for name in EXTRAS if isinstance(value := settings.get(name), Mapping))
    found = [table.get(name) for table in (settings, *inner) for name in _LIMITS]
    return min((limit for limit in found if isinstance(limit, int) and limit > 0), default=None)


def capped(model: LLM, most: int) -> LLM:
    """The model, with answers of so many tokens at most."""
    extra = getattr(model, "additional_kwargs", None)
    if not isinstance(extra, Mapping):
        return twin(model, {"max_tokens": most})
    kept = {name: value for name, value in extra.items() if name not in _LIMITS}
    if "max_tokens" in type(model).model_fields:
        return twin(model, {"max_tokens": most, "additional_kwargs": kept})
    name = next(
        (name for name in _LIMITS if name in extra),
        "num_predict" if "ollama" in model.class_name().lower() else "max_tokens",
    )
    return twin(model, {"additional_kwargs": {**kept, name: most}})


def shortened(call: Mapping[str, Any], most: int) -> dict[str, Any]:
    """A call's own arguments, none of which allows longer answers."""
    return {name: most if name in _LIMITS and value is not None else value for name, value in call.items()}


def temperatures(settings: Mapping[str, Any]) -> Iterator[float]:
    """Every temperature that is set in settings or, like `extra_body`, inside one of them."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from temperatures(value)
        elif name == "temperature" and isinstance(value, int | float):
            yield value


def _kept(value: Any) -> Any:
    """A value with containers of its own, and with fields of its own where it has fields.

    Other threads may change it meanwhile, or make a client that its model keeps among its fields: a copy is walked.
    """
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in dict(value).items()}
    if isinstance(value, BaseModel):
        double = copy.copy(value)
        vars(double).update(_kept(vars(value)))
        return double
    return [_kept(item) for item in value] if isinstance(value, list) else value


def _decides(name: str, value: Any) -> bool:
    """Whether a private attribute may decide an answer. Clients and locks cannot."""
    return not (name.endswith(_TRANSPORT) or isinstance(value, _LOCKS))


def _identity(model: LLM, seen: Mapping[str, Any], hidden: Mapping[str, Any]) -> str | None:
    kind = type(model)
    deciding = {name.lstrip("_"): value for name, value in hidden.items() if _decides(name, value)}
    settings = {
        name: seen.get(name)
        for name, field in kind.model_fields.items()
        if not field.exclude or name in _RENDERERS
    }
    extra = settings.pop("additional_kwargs", None) or {}
    try:
        parts = [decisive(settings), decisive(extra), decisive(deciding)]
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
        breakpoints=_breakpoints(model),
    )


def _breakpoints(model: LLM) -> tuple[Role, ...]:
    """Whose messages can be marked for the prompt cache. Anthropic's class takes marks in what the user says alone."""
    own = model.class_name() == "Anthropic_LLM" and "cache_control" not in (getattr(model, "additional_kwargs", None) or {})
    return ("user",) if own else ()
