"""`ThriftLLM`: the app's own LLMs behind one object, with cache, routing and ledger in between.

It carries no callback decorators: every call is made by the same method of the tier that answers, so events, callbacks
and token counts are those of the bare model, once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from llama_index.core.base.llms.types import ChatResponse, LLMMetadata
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool
from pydantic import ConfigDict, Field, PrivateAttr, field_serializer

from thrift_plugins.config import Config
from thrift_plugins.effects import Flow
from thrift_plugins.errors import ConfigError, UnsupportedByTier
from thrift_plugins.given import listed
from thrift_plugins.lineup import lineup
from thrift_plugins.llama_index import request as asking
from thrift_plugins.llama_index.calls import astreamed, awhole, streamed, whole
from thrift_plugins.llama_index.request import DIALECT, Ask
from thrift_plugins.llama_index.restore import redeem, ticket
from thrift_plugins.llama_index.structured import StructuredTurn
from thrift_plugins.llama_index.tier import ModelTier
from thrift_plugins.llama_index.turn import Turn
from thrift_plugins.runtime import Runtime, chosen_runtime

_PREDICTING = ("system_prompt", "output_parser", "pydantic_program_mode", "query_wrapper_prompt")
"""What the framework's own `predict` and `structured_predict` read from a model."""

_MANNERS = (*_PREDICTING, "messages_to_prompt", "completion_to_prompt", "callback_manager")
"""What is taken over from the baseline, unless it is given."""


class _Line(NamedTuple):
    """The tiers in their order, and the index of the baseline."""

    tiers: tuple[ModelTier, ...]
    baseline: int


_FIXED = ("tiers", "names", "baseline")


def _refuse(changed: Iterable[str]) -> None:
    fixed = sorted({*changed} & {*_FIXED})
    if fixed:
        raise ConfigError(f"{fixed[0]} cannot be changed on a ThriftLLM: make a new one, which may share the runtime")


class ThriftLLM(FunctionCallingLLM):
    """LLMs of the app, cheapest first, that answer as one.

    Args:
        tiers: the app's own models, cheapest first; a single one is fine.
        names: a name for each tier, by default its model name.
        baseline: the tier that the app would use without us, by index or name; by default the last.
        runtime: shared policies, store and ledger; by default one for the process.
        config: settings for a runtime of its own, or the path of a `thrift.toml`.

    Raises:
        ConfigError: no tiers, two of one name, or an unknown baseline.

    Every call takes `thrift_route="name"` to insist on a tier (`structured_predict` in its `llm_kwargs` too);
    `with thrift_plugins.route("name"):` does it for calls that a query engine or an agent makes. Every response says
    in `additional_kwargs["thrift"]` who answered and why; so do the tags of instrumentation events.

    Headers are no part of a cache key. Where a gateway chooses the model by a header (`default_headers`), name the
    choice in a scope: `with thrift_plugins.scope(gateway="eu"):`.

    Example:
        ```python
        Settings.llm = ThriftLLM(tiers=[OpenAI(model="gpt-4o-mini"), OpenAI(model="gpt-4o")])
        ```
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    tiers: list[LLM] = Field(repr=False)
    runtime: Runtime = Field(exclude=True, repr=False)

    _line: _Line = PrivateAttr()

    def __init__(
        self,
        *,
        tiers: Sequence[LLM],
        names: Sequence[str] | None = None,
        baseline: int | str = -1,
        runtime: Runtime | None = None,
        config: Config | str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        shared = chosen_runtime(runtime, config)
        known, index = lineup(tiers, names, baseline, lambda model, name: ModelTier(model, name, shared.prices))
        manners = {name: value for name in _MANNERS if (value := getattr(known[index].model, name)) is not None}
        super().__init__(tiers=list(tiers), runtime=shared, **{**manners, **kwargs})
        self._line = _Line(known, index)

    @classmethod
    def class_name(cls) -> str:
        return "thrift_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """The baseline's: a call that another tier cannot take never goes there."""
        return self._baseline.model.metadata

    @property
    def _baseline(self) -> ModelTier:
        return self._line.tiers[self._line.baseline]

    def _begin(
        self, operation: str, ask: Ask, args: tuple[Any, ...], kwargs: dict[str, Any], *, streamed: bool = False
    ) -> tuple[Flow, Turn]:
        """The flow of one call and its native half.

        Args:
            operation: the method that the app called; it is called on the tier that answers.
            ask: reads its arguments.
        """
        args, kwargs = tuple(listed(value) for value in args), {name: listed(value) for name, value in kwargs.items()}
        forced = kwargs.pop("thrift_route", None)
        asked = ask(self, *args, **kwargs)
        runtime, (tiers, baseline) = self.runtime, self._line
        identities = [tier.identity for tier in tiers]
        if asked.schema is None:
            request = asking.request(runtime, tiers, baseline, asked, forced)
            turn = Turn(self, tiers, operation, args, kwargs, request.id, identities)
        else:
            forced = asked.params.pop("thrift_route", forced)
            request = asking.request(runtime, tiers, baseline, asked, forced)
            kwargs["llm_kwargs"] = asked.params
            manners = {name: getattr(self, name) for name in _PREDICTING}
            turn = StructuredTurn(self, tiers, operation, args[:2], kwargs, request.id, identities, manners=manners)
        told = [tier.told(asked.params) for tier in tiers]
        return runtime.engine.call(request, told, baseline, dialect=DIALECT, streamed=streamed), turn

    chat = whole(LLM.chat, asking.chat)
    achat = awhole(LLM.achat, asking.chat)
    stream_chat = streamed(LLM.stream_chat, asking.chat)
    astream_chat = astreamed(LLM.astream_chat, asking.chat)

    complete = whole(LLM.complete, asking.completion)
    acomplete = awhole(LLM.acomplete, asking.completion)
    stream_complete = streamed(LLM.stream_complete, asking.completion)
    astream_complete = astreamed(LLM.astream_complete, asking.completion)

    chat_with_tools = whole(FunctionCallingLLM.chat_with_tools, asking.with_tools)
    achat_with_tools = awhole(FunctionCallingLLM.achat_with_tools, asking.with_tools)
    stream_chat_with_tools = streamed(FunctionCallingLLM.stream_chat_with_tools, asking.with_tools)
    astream_chat_with_tools = astreamed(FunctionCallingLLM.astream_chat_with_tools, asking.with_tools)

    structured_predict = whole(LLM.structured_predict, asking.structured)
    astructured_predict = awhole(LLM.astructured_predict, asking.structured)
    stream_structured_predict = streamed(LLM.stream_structured_predict, asking.structured)
    astream_structured_predict = astreamed(LLM.astream_structured_predict, asking.structured)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls in a response, read by the tier that gave it."""
        told = response.additional_kwargs.get("thrift") or {}
        tiers = {tier.facts.name: tier for tier in self._line.tiers}
        model = self._calling(tiers.get(told.get("tier", ""), self._baseline))
        return model.get_tool_calls_from_response(response, error_on_no_tool_call, **kwargs)

    def _prepare_chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """For callers below the public surface: the baseline's own preparation."""
        return self._calling(self._baseline)._prepare_chat_with_tools(tools, *args, **kwargs)  # noqa: SLF001

    @staticmethod
    def _calling(tier: ModelTier) -> FunctionCallingLLM:
        if not isinstance(tier.model, FunctionCallingLLM):
            raise UnsupportedByTier({tier.facts.name: "tools"})
        return tier.model

    # As an object --------------------------------------------------------------------------------------------------

    @field_serializer("tiers")
    def _told_tiers(self, _tiers: list[LLM]) -> list[dict[str, str | None]]:
        """Tiers by name and digest of their settings: an ingestion cache sees a change, and nobody sees a key."""
        return [{"name": tier.facts.name, "settings": tier.identity} for tier in self._line.tiers]

    def _parts(self) -> dict[str, Any]:
        """What `__init__` takes, without runtime and callbacks."""
        names = [tier.facts.name for tier in self._line.tiers]
        manners = {name: getattr(self, name) for name in _MANNERS if name != "callback_manager"}
        return {"tiers": list(self.tiers), "names": names, "baseline": self._line.baseline, **manners}

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse((name,))
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other settings of its own, but of the same tiers."""
        _refuse(update or ())
        return super().model_copy(update=update, deep=deep)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> ThriftLLM:
        """A copy with models of its own. Cache, ledger and prices stay shared: they are the process's."""
        return type(self)(runtime=self.runtime, **copy.deepcopy(self._parts(), memo))

    def __getstate__(self) -> dict[Any, Any]:
        """For another process: the models, and the settings of the runtime."""
        return {**self._parts(), "ticket": ticket(self.runtime), "config": self.runtime.config}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        rest = dict(state)
        runtime = redeem(rest.pop("ticket"), rest.pop("config"))
        self.__init__(runtime=runtime, **rest)  # type: ignore[misc]  # as the base class does
