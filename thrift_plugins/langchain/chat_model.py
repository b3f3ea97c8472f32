"""`ThriftChatModel`: the app's own chat models behind one object, with cache, routing and ledger in between.

It is a `BaseChatModel` that opens no run of its own: every call is delegated with the caller's config to the tier
that answers, so callbacks, usage, streaming, tools, structured output and events are those of the bare model.
"""

# ruff: noqa: A002, ARG002, SLF001  LangChain's names and signatures, and its facts behind underscores

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, cast, overload

from langchain_core.callbacks import CallbackManagerForLLMRun, Callbacks
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.retry import RunnableRetry
from langchain_core.runnables.schema import StreamEvent
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, PrivateAttr

from thrift_plugins import drive
from thrift_plugins.config import Config
from thrift_plugins.effects import Flow
from thrift_plugins.errors import BudgetExceeded, ConfigError
from thrift_plugins.given import listed
from thrift_plugins.langchain.binding import STRUCTURED, BoundTools, binding, per_tier
from thrift_plugins.langchain.events import aevents, events
from thrift_plugins.langchain.request import AnyTurn, begin
from thrift_plugins.langchain.structured import TierParser, native
from thrift_plugins.langchain.tier import ModelTier, common_profile
from thrift_plugins.langchain.turn import GenerateTurn, Turn
from thrift_plugins.lineup import lineup
from thrift_plugins.runtime import Runtime, chosen_runtime

_BELONGS_TO_TIERS = {"cache", "rate_limiter", "disable_streaming", "output_version", "custom_get_token_ids"}


_LINEUP = frozenset({"tiers", "names", "baseline"})


class ThriftChatModel(BaseChatModel):
    """Chat models of the app, cheapest first, that answer as one.

    Args:
        tiers: the app's own models, cheapest first; a single one is fine.
        names: a name for each tier, by default its model name.
        baseline: the tier that the app would use without us, by index or name; by default the last.
        runtime: shared policies, store and ledger; by default one for the process.
        config: settings for a runtime of its own, or the path of a `thrift.toml`.

    Whose call it is, is read when the model is called. `chain.stream(...)` calls it at the first piece, so a `scope`
    must be around the reading, or the tenant in the run's metadata as `thrift_tenant`. Headers are no part of what an
    answer is known by: a gateway that chooses a model by header needs a further wall, `scope(route=...)`.

    Raises:
        ConfigError: no tiers, two of one name, an unknown baseline, a setting that belongs to a tier, or another
            lineup for a model that has one.

    Example:
        ```python
        model = ThriftChatModel(tiers=[ChatOpenAI(model="gpt-4o-mini"), ChatOpenAI(model="gpt-4o")])
        chain = prompt | model | StrOutputParser()
        ```
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    tiers: list[BaseChatModel] = Field(exclude=True, repr=False)
    names: list[str] | None = Field(default=None, exclude=True)
    baseline: int | str = Field(default=-1, exclude=True)
    runtime: Runtime = Field(exclude=True, repr=False)

    _tiers: tuple[ModelTier, ...] = PrivateAttr()
    _index: int = PrivateAttr()

    def __init__(
        self,
        *,
        tiers: Sequence[BaseChatModel],
        names: Sequence[str] | None = None,
        baseline: int | str = -1,
        runtime: Runtime | None = None,
        config: Config | str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        for name in _BELONGS_TO_TIERS & kwargs.keys():
            if kwargs[name] != BaseChatModel.model_fields[name].get_default(call_default_factory=True):
                raise ConfigError(f"{name} belongs to a tier: set it on your own models, not on ThriftChatModel")
        shared = chosen_runtime(runtime, config)
        known, index = lineup(tiers, names, baseline, lambda model, name: ModelTier(model, name, shared.prices))
        fields = {"tiers": list(tiers), "names": names and list(names), "baseline": baseline, "runtime": shared}
        super().__init__(**{"profile": common_profile(tiers), **kwargs, **fields})
        self._tiers, self._index = known, index

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_lineup({name})
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        _refuse_lineup(update or ())
        return super().model_copy(update=update, deep=deep)

    # One call -----------------------------------------------------------------------------------------------------

    def _begin(
        self,
        turn_type: type[AnyTurn],
        given: LanguageModelInput,
        config: RunnableConfig | None,
        kwargs: dict[str, Any],
        *,
        streamed: bool = False,
    ) -> tuple[Flow, AnyTurn]:
        given = listed(given)
        return begin(
            turn_type,
            self.runtime,
            tiers=self._tiers,
            baseline=self._index,
            given=given,
            messages=self._convert_input(given).to_messages(),
            config=self._config(config),
            kwargs=kwargs if kwargs["stop"] is not None else {name: kwargs[name] for name in kwargs if name != "stop"},
            streamed=streamed,
        )

    def _config(self, config: RunnableConfig | None) -> RunnableConfig:
        """The caller's config, with what the app set on this object.

        The versions that LangChain notes in the metadata of every model are those of the tier, which notes them too.
        """
        metadata = {name: value for name, value in (self.metadata or {}).items() if name != "lc_versions"}
        if not (self.callbacks or self.tags or metadata):
            return ensure_config(config)
        own = RunnableConfig(callbacks=self.callbacks, tags=self.tags or [], metadata=metadata)
        return merge_configs(own, config)

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        flow, turn = self._begin(Turn, input, config, {"stop": stop, **kwargs})
        drive.run(flow, self.runtime, turn)
        return turn.answer

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        flow, turn = self._begin(Turn, input, config, {"stop": stop, **kwargs})
        await drive.arun(flow, self.runtime, turn)
        return turn.answer

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """The answer in pieces. Whose call it is, is read here and not at the first piece."""
        flow, turn = self._begin(Turn, input, config, {"stop": stop, **kwargs}, streamed=True)
        return drive.stream(flow, self.runtime, turn)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """`stream` without blocking the event loop."""
        flow, turn = self._begin(Turn, input, config, {"stop": stop, **kwargs}, streamed=True)
        return drive.astream(flow, self.runtime, turn)

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        results: list[LLMResult] = []
        for conversation, config, free in _each(messages, stop, callbacks, kwargs):
            flow, turn = self._begin(GenerateTurn, conversation, config, free)
            drive.run(flow, self.runtime, turn)
            results.append(turn.result)
        return self._joined(results)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        async def one(conversation: list[BaseMessage], config: RunnableConfig, free: dict[str, Any]) -> LLMResult:
            flow, turn = self._begin(GenerateTurn, conversation, config, free)
            await drive.arun(flow, self.runtime, turn)
            return turn.result

        calls = (one(*each) for each in _each(messages, stop, callbacks, kwargs))
        ended = await asyncio.gather(*calls, return_exceptions=True)  # one that fails leaves the others paid and booked
        for result in ended:
            if isinstance(result, BaseException):
                raise result
        return self._joined([result for result in ended if isinstance(result, LLMResult)])

    def _joined(self, results: Sequence[LLMResult]) -> LLMResult:
        """The results of several conversations as one, as the baseline joins them."""
        told = self._tiers[self._index].model._combine_llm_outputs([result.llm_output for result in results])
        runs = [run for result in results for run in result.run or ()]
        return LLMResult(
            generations=[generations for result in results for generations in result.generations],
            llm_output=told,
            run=runs or None,
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """For callers below the public surface; they have opened a run of their own, so theirs is not passed on."""
        return ChatResult(
            generations=[ChatGeneration(message=self.invoke(messages, {"callbacks": []}, stop=stop, **kwargs))]
        )

    # Events -------------------------------------------------------------------------------------------------------

    @overload  # type: ignore[override]  # as LangChain's own: narrower than what any Runnable promises
    def stream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2"] = "v2",
        **kwargs: Any,
    ) -> Iterator[StreamEvent]: ...

    @overload
    def stream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v3"],
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> ChatModelStream: ...

    def stream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2", "v3"] = "v2",
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[StreamEvent] | ChatModelStream:
        if version != "v3":
            return super().stream_events(input, config, version=version, stop=stop, **kwargs)
        flow, turn = self._begin(Turn, input, config, {"stop": stop, **kwargs}, streamed=True)
        return events(flow, self.runtime, turn)

    @overload
    def astream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2"] = "v2",
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]: ...

    @overload
    def astream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v3"],
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Awaitable[AsyncChatModelStream]: ...

    def astream_events(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2", "v3"] = "v2",
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent] | Awaitable[AsyncChatModelStream]:
        if version != "v3":
            return super().astream_events(input, config, version=version, stop=stop, **kwargs)
        flow, turn = self._begin(Turn, input, config, {"stop": stop, **kwargs}, streamed=True)
        return aevents(flow, self.runtime, turn)

    # Binding ------------------------------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools to every tier by its own method.

        Raises:
            UnsupportedByTier: no tier can be given tools.
        """
        options = {"tool_choice": tool_choice, **kwargs} if tool_choice is not None else kwargs
        bound = per_tier(self._tiers, lambda model: model.bind_tools(tools, **options), "tool calling")
        return self.bind(tools=BoundTools(tools, binding(bound, options, tools=tools)))

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Structured output by each tier's own method, read by its own parser.

        Raises:
            UnsupportedByTier: no tier can give structured output.
        """
        pairs = per_tier(
            self._tiers,
            lambda model: native(model, schema, include_raw=include_raw, options=kwargs),
            "structured output",
        )
        bound = binding([pair and pair[0] for pair in pairs], kwargs, schema=schema)
        parsers = {tier.facts.name: pair[1] for tier, pair in zip(self._tiers, pairs, strict=True) if pair}
        return self.bind(**{STRUCTURED: bound}) | TierParser(parsers)

    def with_retry(self, **options: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """As LangChain's, but what a budget refuses is not asked again: it would be refused again.

        A chain's own `with_retry` cannot be told so from here: give it `retry_if_exception_type`.
        """
        wanted = options.get("retry_if_exception_type", (Exception,))
        if not callable(wanted) and _RETRY_ASKS:
            options["retry_if_exception_type"] = partial(_worth_another_try, wanted)
        return super().with_retry(**options)

    # Facts --------------------------------------------------------------------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "thrift"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"tiers": [dict(tier.model._identifying_params) for tier in self._tiers], "baseline": self._index}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._tiers[self._index].model._get_ls_params(stop=stop, **kwargs)

    def get_token_ids(self, text: str) -> list[int]:
        return self._tiers[self._index].model.get_token_ids(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        return self._tiers[self._index].model.get_num_tokens_from_messages(messages, tools)


_RETRY_ASKS = "Callable" in str(RunnableRetry.model_fields["retry_exception_types"].annotation)
"""Whether this LangChain lets a function decide what is retried."""


def _worth_another_try(kinds: tuple[type[BaseException], ...], error: BaseException) -> bool:
    return isinstance(error, kinds) and not isinstance(error, BudgetExceeded)


def _refuse_lineup(changed: Iterable[str]) -> None:
    for name in _LINEUP.intersection(changed):
        raise ConfigError(f"{name} cannot be changed once the model is made: make another ThriftChatModel")


def _each(
    messages: list[list[BaseMessage]], stop: list[str] | None, callbacks: Callbacks, kwargs: dict[str, Any]
) -> Iterator[tuple[list[BaseMessage], RunnableConfig, dict[str, Any]]]:
    """Each conversation of a `generate` with its config and its own copy of the other arguments."""
    free = dict(kwargs)
    told = {name: value for name in ("tags", "metadata", "run_name", "run_id") if (value := free.pop(name, None))}
    config = cast("RunnableConfig", {"callbacks": callbacks, **told})
    for conversation in messages:
        yield conversation, config, {"stop": stop, **free}
