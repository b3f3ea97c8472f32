"""From LangChain's arguments to a flow: what is asked in our words, and the native half that asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from thrift_plugins.canonical import decisive
from thrift_plugins.effects import Flow
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain.around import entered
from thrift_plugins.langchain.binding import STRUCTURED, Binding, BoundTools
from thrift_plugins.langchain.convert import as_json, message_in, schema_in, tool_as_given, tool_in
from thrift_plugins.langchain.tier import ModelTier, Reading, overrides
from thrift_plugins.langchain.turn import Turn
from thrift_plugins.runtime import Runtime
from thrift_plugins.scope import current_scope, merged
from thrift_plugins.types import Json, Scope, Tier

DIALECT = "langchain"

AnyTurn = TypeVar("AnyTurn", bound=Turn)


def begin(
    turn_type: type[AnyTurn],
    runtime: Runtime,
    *,
    tiers: Sequence[ModelTier],
    baseline: int,
    given: Any,
    messages: Sequence[BaseMessage],
    config: RunnableConfig,
    kwargs: dict[str, Any],
    streamed: bool = False,
) -> tuple[Flow, AnyTurn]:
    """The flow of one call, and its native half.

    Args:
        given: the input as the app gave it; it goes to the tier unchanged.
        messages: the same as messages.
        kwargs: the call's keyword arguments; what belongs to a binding is taken out.
    """
    binding = _binding(kwargs)
    facts = _facts(tiers, binding, kwargs)
    tools, schema, params, cacheable = _params(kwargs, binding)
    readings = [tier.read() for tier in tiers]
    request = runtime.request(
        dialect=DIALECT,
        model=facts[baseline].model,
        identities=[reading.identity for reading in readings],
        messages=[message_in(message) for message in messages],
        tools=tools,
        schema=schema,
        params=_decided(readings, baseline, params),
        scope=scope_of(config),
        cacheable=cacheable,
        forced=(config.get("configurable") or {}).get("thrift_route"),
        run=run_of(config),
    )
    request = entered(runtime, request, facts)
    turn = turn_type(
        tiers=tiers,
        bindings=binding.runnables if binding else (),
        given=given,
        config=config,
        kwargs=kwargs,
        request_id=request.id,
        identities=[reading.identity for reading in readings],
    )
    return runtime.engine.call(request, facts, baseline, dialect=DIALECT, streamed=streamed), turn


def _facts(tiers: Sequence[ModelTier], binding: Binding | None, kwargs: Mapping[str, Any]) -> list[Tier]:
    """What the tiers can do in this call. One that was not bound cannot; and a call may name another model for all."""
    facts = [tier.told(kwargs) for tier in tiers]
    model: str | None = kwargs.get("model")
    if binding and None in binding.runnables:
        facts = [
            known if bound is not None else replace(known, tools=False, structured=False)
            for known, bound in zip(facts, binding.runnables, strict=True)
        ]
    return [replace(known, model=model) for known in facts] if model else facts


def _binding(kwargs: dict[str, Any]) -> Binding | None:
    structured: Binding | None = kwargs.pop(STRUCTURED, None)
    if structured is not None:
        return structured
    tools = kwargs.get("tools")
    if not isinstance(tools, BoundTools):
        return None
    del kwargs["tools"]
    return tools.binding


def _params(
    kwargs: Mapping[str, Any], binding: Binding | None
) -> tuple[tuple[Mapping[str, Json], ...], Mapping[str, Json] | None, dict[str, Json], bool]:
    """Tools, schema and parameters of a call, and whether all of them have a canonical form."""
    bound = dict(binding.options) if binding else {}
    tools = binding.tools if binding else ()
    schema = binding.schema if binding else None
    cacheable = binding.cacheable if binding else True
    if not kwargs:
        return tools, schema, bound, cacheable
    free = {name: value for name, value in kwargs.items() if name not in ("tools", "response_format")}
    wanted = kwargs.get("response_format")
    try:
        if kwargs.get("tools"):
            tools = tuple(tool_in(tool) for tool in kwargs["tools"])
            bound["tools"] = [tool_as_given(tool) for tool in kwargs["tools"]]
        if wanted is not None:
            schema, bound["schema"] = schema_in(wanted), as_json(wanted)
        unset = {name: None for name in _SAMPLING if free.get(name, 0) is None}
        return tools, schema, {**bound, **decisive(free), **unset}, cacheable
    except Exception:  # noqa: BLE001  what we cannot read, the tier may: the call is made, with no key
        return tools, schema, bound, False


_SAMPLING = ("temperature", "top_p", "top_k", "seed", "max_tokens", "max_completion_tokens")
"""What a call may unset: None is then the provider's own default, and not that of the model's settings."""


def _decided(readings: Sequence[Reading], baseline: int, params: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters of a call over the model's own, with the temperature of the hottest tier that may answer."""
    decided: dict[str, Json] = {**readings[baseline].params, **params}
    own = (
        [params["temperature"]]
        if "temperature" in params
        else [reading.params.get("temperature") for reading in readings]
    )
    heats = [*own, *overrides(params), *(heat for reading in readings for heat in reading.overrides)]
    known = [heat for heat in heats if isinstance(heat, int | float)]
    return {**decided, "temperature": max(known)} if known else decided


def scope_of(config: RunnableConfig) -> Scope:
    """The scope of the block, with what the run's metadata says over it."""
    scope = current_scope()
    metadata = config.get("metadata")
    if not metadata:
        return scope
    named = {name: metadata[key] for name, key in _SCOPE_KEYS if key in metadata}
    walls = metadata.get("thrift_keys") or {}
    if not isinstance(walls, Mapping):
        raise ConfigError(f"thrift_keys in a run's metadata must map names to strings, not be a {type(walls).__name__}")
    named.update(walls)
    if not scope.session and "session" not in named and "thread_id" in metadata:
        named["session"] = str(metadata["thread_id"])
    tags = metadata.get("thrift_tags") or ()
    if not isinstance(tags, str | Sequence):
        raise ConfigError(f"thrift_tags in a run's metadata must be a list of strings, not a {type(tags).__name__}")
    return merged(scope, named, tags) if named or tags else scope


def run_of(config: RunnableConfig) -> str:
    """The run that a call belongs to: as its metadata says, else the chain that made it."""
    told = (config.get("metadata") or {}).get("thrift_run")
    return str(told or getattr(config.get("callbacks"), "parent_run_id", None) or "")


_SCOPE_KEYS = tuple((name, f"thrift_{name}") for name in ("tenant", "user", "feature", "session"))
