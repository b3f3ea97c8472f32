"""One of the app's models: what it can do, and a digest of its settings that follows when the app changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from thrift_plugins.caching import canonical
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.prices import Prices
from thrift_plugins.types import Json, Tier

_ENDPOINTS = ("openai_api_base", "azure_endpoint", "base_url", "api_base", "anthropic_api_url", "endpoint", "endpoint_url")


class ModelTier:
    """A child model and its facts.

    Attributes:
        model: the app's own model, never changed.
        facts: what routing knows of it.
    """

    def __init__(self, model: BaseChatModel, name: str | None, prices: Prices) -> None:
        self.model = model
        self.facts = _facts(model, name, prices)
        self._seen: dict[str, Any] = {}
        self._identity: str | None = None
        self._params: dict[str, Any] = {}

    @property
    def identity(self) -> str | None:
        """A digest of the settings that decide its answers, or None where they have no canonical form."""
        self._refresh()
        return self._identity

    @property
    def params(self) -> Mapping[str, Any]:
        """Its own temperature and output limit, where it says so."""
        self._refresh()
        return self._params

    def _refresh(self) -> None:
        """Read the settings again if the app has changed one. Comparing them costs little, digesting them more."""
        now = self.model.__dict__
        if self._seen == now:
            return
        self._seen = dict(now)
        told = self.model._get_ls_params()
        self._params = {
            name: told[key]
            for name, key in (("temperature", "ls_temperature"), ("max_tokens", "ls_max_tokens"))
            if key in told
        }
        self._identity = _identity(self.model)


def _identity(model: BaseChatModel) -> str | None:
    settings: dict[str, Any] = dict(model._identifying_params)
    if not settings:  # the base class's own: it tells nothing, so the fields must
        fields = type(model).model_fields
        settings = {name: getattr(model, name) for name in fields if not fields[name].exclude}
    settings.update({name: model.__dict__[name] for name in _ENDPOINTS if model.__dict__.get(name)})
    kind = type(model)
    try:
        told = canonical([kind.__module__, kind.__qualname__, model._llm_type, decisive(settings)])
    except (NoCanonicalForm, TypeError):
        return None
    return sha256(told).hexdigest()


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
    )


@dataclass(frozen=True, slots=True)
class Binding:
    """Tools or a schema, bound to every tier by the tier's own method when the app binds.

    Attributes:
        tools: function objects: name, description, parameters.
        schema: JSON schema of a structured answer.
        options: how it was bound (tool choice, method, strictness).
        runnables: for each tier the bound model, None where it cannot.
        cacheable: False where part of it has no canonical form.
    """

    tools: tuple[Mapping[str, Json], ...]
    schema: Mapping[str, Json] | None
    options: Mapping[str, Json]
    runnables: tuple[Runnable[Any, AIMessage] | None, ...]
    cacheable: bool = True


class BoundTools(list[Any]):
    """The tools as the app gave them, for whoever looks at the keyword arguments, and behind them the binding."""

    def __init__(self, tools: Sequence[Any], binding: Binding) -> None:
        super().__init__(tools)
        self.binding = binding


def common_profile(models: Sequence[BaseChatModel]) -> ModelProfile | None:
    """What every tier can do: AND of what they can, the least of what they hold; None if one does not say.

    A profile that promises more than a tier keeps makes `create_agent` choose a strategy that the tier lacks.
    """
    profiles = [model.profile for model in models]
    if not all(profiles):
        return None
    known = [dict(profile) for profile in profiles if profile]
    common: dict[str, Any] = {}
    for name in set(known[0]).intersection(*known[1:]):
        values = [profile[name] for profile in known]
        if all(isinstance(value, bool) for value in values):
            common[name] = all(values)
        elif all(isinstance(value, int) for value in values):
            common[name] = min(values)
    return common  # type: ignore[return-value]  # built by the profile's own keys
