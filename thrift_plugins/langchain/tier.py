"""One of the app's models: what it can do, and a digest of its settings that follows when the app changes them."""

# ruff: noqa: SLF001  LangChain's facts about a model are behind underscores

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, ModelProfile

from thrift_plugins.caching import canonical
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.prices import Prices
from thrift_plugins.types import Tier


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
        """Its own temperature, output limit and number of answers, where it says so."""
        self._refresh()
        return self._params

    def _refresh(self) -> None:
        """Read the settings again if the app has changed one. Comparing them costs little, digesting them more."""
        now = self.model.__dict__
        if self._seen == now:
            return
        self._seen = {name: _copied(value) for name, value in now.items()}
        told = self.model._get_ls_params()
        params = {
            "temperature": told.get("ls_temperature"),
            "max_tokens": told.get("ls_max_tokens"),
            "n": getattr(self.model, "n", None),
        }
        self._params = {name: value for name, value in params.items() if value is not None}
        self._identity = _identity(self.model)


def _copied(value: Any) -> Any:
    """A setting that an app may change in place, like `model_kwargs`, as it is now."""
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _identity(model: BaseChatModel) -> str | None:
    kind = type(model)
    told = dict(model._identifying_params)
    try:
        settings = {**_fields(model, strict=not told), **decisive(told)}
        named = canonical([kind.__module__, kind.__qualname__, model._llm_type, settings])
    except (NoCanonicalForm, TypeError):
        return None
    return sha256(named).hexdigest()


def _fields(model: BaseChatModel, *, strict: bool) -> dict[str, Any]:
    """The fields that may decide an answer: many a model leaves some of them out of what it says identifies it.

    Args:
        strict: whether a field with no canonical form, such as a client, is an error; it is where nothing else tells.
    """
    fields: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        if field.exclude:
            continue
        try:
            fields.update(decisive({name: getattr(model, name)}))
        except NoCanonicalForm:
            if strict:
                raise
    return fields


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
