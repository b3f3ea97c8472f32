"""One of the app's models: what it can do, and a digest of its settings that follows when the app changes them."""

# ruff: noqa: SLF001  LangChain's facts about a model are behind underscores

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, ModelProfile
from pydantic import BaseModel

from thrift_plugins.caching import canonical
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.prices import Prices, processing_in
from thrift_plugins.tries import watch
from thrift_plugins.types import Json, Processing, Role, Tier

_INERT = ("client", "lock")
"""Ends of the names of private attributes that say how a model is reached, not what it answers."""

_EXTRAS = ("extra_body", "model_kwargs", "additional_kwargs")
"""Settings that are sent as they are, over those with a name of their own."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model's settings were when they were last read.

    Attributes:
        seen: its fields, containers copied, so that a change inside one shows.
        hidden: its private attributes that may decide an answer.
        identity: a digest of both, None where they have no canonical form.
        params: its own temperature, output limit and number of answers, where it says so.
        overrides: temperatures that it sends over any other.
        processing: how it asks its provider to work.
    """

    seen: Mapping[str, Any]
    hidden: Mapping[str, Any]
    identity: str | None
    params: Mapping[str, Json]
    overrides: tuple[float, ...]
    processing: Processing


class ModelTier:
    """A child model and its facts.

    Attributes:
        model: the app's own model, never changed.
        facts: what routing knows of it.
    """

    def __init__(self, model: BaseChatModel, name: str | None, prices: Prices) -> None:
        self.model = model
        self.facts = _facts(model, name, prices)
        self._reading: Reading | None = None

    def told(self, call: Mapping[str, Json]) -> Tier:
        """What routing knows of it for a call with these arguments."""
        limit = longest_answer(call)
        if limit is None:
            limit = longest_answer(self.read().params)
        processing = processing_in(call, _EXTRAS) or self.read().processing
        if (limit, processing) == (self.facts.limit, self.facts.processing):
            return self.facts
        return replace(self.facts, limit=limit, processing=processing)

    def limit_names(self, call: Mapping[str, Any]) -> list[str]:
        """The keyword arguments of a call that limit an answer's length: those it has, or the one that its class takes."""
        fields = type(self.model).model_fields
        own = next((name for name in _LIMITS if name in fields), "max_tokens")
        return [name for name in _LIMITS if call.get(name) is not None] or [own]

    @property
    def identity(self) -> str | None:
        """A digest of the settings that decide its answers, or None where they have no canonical form."""
        return self.read().identity

    def read(self) -> Reading:
        """Its settings, read again if the app has changed one. Comparing them costs little, digesting them more."""
        known, now, hidden = self._reading, self.model.__dict__, _hidden(self.model)
        if known is not None and known.seen == now and known.hidden == hidden:
            return known
        watch(self.model)
        reading = self._looked()
        if reading.seen != now:  # another thread has changed them meanwhile
            reading = self._looked()
        if reading.seen == now:  # else it is of no moment, and nothing to go by later
            self._reading = reading
        return reading

    def _looked(self) -> Reading:
        now, hidden = self.model.__dict__, _hidden(self.model)
        seen = _kept(now)
        told = self.model._get_ls_params()
        params: dict[str, Json] = {
            "temperature": told.get("ls_temperature"),
            "max_tokens": told.get("ls_max_tokens"),
            "n": getattr(self.model, "n", None),
        }
        return Reading(
            seen,
            hidden,
            _identity(self.model, seen, hidden),
            {name: value for name, value in params.items() if value is not None},
            overrides(seen),
            processing_in(seen, _EXTRAS) or "standard",
        )


_LIMITS = ("num_predict", "max_output_tokens", "max_new_tokens", "max_tokens", "max_completion_tokens")


def longest_answer(settings: Mapping[str, Any]) -> int | None:
    """The limit on an answer's length that settings set, None where they set none."""
    limits = [limit for name in _LIMITS if isinstance(limit := settings.get(name), int) and limit > 0]
    return min(limits, default=None)


def overrides(settings: Mapping[str, Any]) -> tuple[float, ...]:
    """Temperatures in what is sent as it is, where a named one does not show."""
    extras = (settings.get(name) for name in _EXTRAS)
    heats = (extra.get("temperature") for extra in extras if isinstance(extra, Mapping))
    return tuple(heat for heat in heats if isinstance(heat, int | float))


def _hidden(model: BaseChatModel) -> dict[str, Any]:
    """Private attributes that may decide an answer. Clients and locks cannot."""
    private = model.__pydantic_private__
    if not private:
        return {}
    named = ((name.lstrip("_"), value) for name, value in dict(private).items())
    return {name: _kept(value) for name, value in named if not name.endswith(_INERT)}


def _kept(value: Any) -> Any:
    """A setting that an app may change in place, like `model_kwargs`, as it is now.

    Other threads may change it meanwhile, or make a client that its model keeps among its fields: a copy is walked.
    """
    match value:
        case dict():
            return {name: _kept(item) for name, item in dict(value).items()}
        case list() | tuple():
            items = [_kept(item) for item in value]
            return items if isinstance(value, list) else tuple(items)
        case BaseModel():
            return value.model_copy(update=_kept(value.__dict__))
        case ModelTier():  # a wrapped model as a tier of another is known by what its own tiers are
            return value.identity or value
        case _:
            return value


def _identity(model: BaseChatModel, seen: Mapping[str, Any], hidden: Mapping[str, Any]) -> str | None:
    kind = type(model)
    fields = {name: seen.get(name) for name, field in kind.model_fields.items() if not field.exclude}
    try:
        settings = {**decisive(fields), **decisive(model._identifying_params)}
        named = canonical([kind.__module__, kind.__qualname__, model._llm_type, settings, decisive(hidden)])
    except (NoCanonicalForm, TypeError):
        return None
    return sha256(named).hexdigest()


def _facts(model: BaseChatModel, name: str | None, prices: Prices) -> Tier:
    told = model._get_ls_params().get("ls_model_name") or getattr(model, "model_name", None)
    known = str(told or model._llm_type)
    profile: Mapping[str, Any] = model.profile or {}
    binds = type(model).bind_tools is not BaseChatModel.bind_tools
    return Tier(
        name=name or known,
        model=known,
        tools=bool(profile.get("tool_calling", binds)),
        vision=bool(profile.get("image_inputs", True)),
        structured=bool(profile.get("structured_output", True) or profile.get("tool_calling", binds)),
        window=profile.get("max_input_tokens") or prices.window(known),
        max_output=profile.get("max_output_tokens"),
        breakpoints=_breakpoints(model),
    )


def _breakpoints(model: BaseChatModel) -> tuple[Role, ...]:
    """Whose messages can be marked for the prompt cache. Anthropic's own class takes marks; others may refuse or lose them."""
    own = model._llm_type == "anthropic-chat" and "cache_control" not in (getattr(model, "model_kwargs", None) or {})
    return ("system", "user", "tool") if own else ()


def common_profile(models: Sequence[BaseChatModel]) -> ModelProfile | None:
    """What every tier can do: AND of what they can, the least of what they hold; None if one does not say.

    A profile that promises more than a tier keeps makes `create_agent` choose a strategy that the tier lacks.
    """
    profiles = [cast("dict[str, Any]", model.profile) for model in models if model.profile]
    if len(profiles) < len(models):
        return None
    common: dict[str, Any] = {}
    for name in set(profiles[0]).intersection(*profiles[1:]):
        values = [profile[name] for profile in profiles]
        if all(isinstance(value, bool) for value in values):
            common[name] = all(values)
        elif all(isinstance(value, int) for value in values):
            common[name] = min(values)
    return cast("ModelProfile", common)
