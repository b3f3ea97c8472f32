"""`ThriftLLM`: the app's own LLMs behind one object, with cache, routing and ledger in between.

It carries no callback decorators: every call is made by the same method of the tier that answers, so events, callbacks
and token counts are those of the bare model, once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from thrift_plugins import drive
from thrift_plugins.config import Config
from thrift_plugins.engine import Flow
from thrift_plugins.lineup import lineup
from thrift_plugins.llama_index import request as asking
from thrift_plugins.llama_index.request import DIALECT, Asked
from thrift_plugins.llama_index.structured import StructuredTurn
from thrift_plugins.llama_index.tier import ModelTier
from thrift_plugins.llama_index.turn import Turn
from thrift_plugins.runtime import Runtime, chosen_runtime

AnyTurn = TypeVar("AnyTurn", bound=Turn)
AnyModel = TypeVar("AnyModel", bound=BaseModel)

_OWN_MANNERS = (
    "system_prompt", "messages_to_prompt", "completion_to_prompt", "output_parser", "pydantic_program_mode",
    "query_wrapper_prompt",
)  # fmt: skip
"""What the framework's own `predict` reads from a model; taken from the baseline."""


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

    Every call takes `thrift_route="name"` to insist on a tier; `with thrift_plugins.route("name"):` does it for calls
    that a query engine or an agent makes.

    Example:
        ```python
        Settings.llm = ThriftLLM(tiers=[OpenAI(model="gpt-4o-mini"), OpenAI(model="gpt-4o")])
        ```
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    tiers: list[Any] = Field(exclude=True, repr=False)
    runtime: Any = Field(exclude=True, repr=False)

    _tiers: tuple[ModelTier, ...] = PrivateAttr()
    _index: int = PrivateAttr()

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
        own = known[index].model
        manners = {name: value for name in _OWN_MANNERS if (value := getattr(own, name, None)) is not None}
        super().__init__(tiers=list(tiers), runtime=shared, **{**manners, **kwargs})
        self._tiers, self._index = known, index

    @classmethod
    def class_name(cls) -> str:
        return "thrift_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """The baseline's: a call that another tier cannot take never goes there."""
        return self._tiers[self._index].model.metadata

    # One call -----------------------------------------------------------------------------------------------------

    def _begin(
        self,
        turn_type: type[AnyTurn],
        operation: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        asked: Asked,
        *,
        native: Mapping[str, Any] | None = None,
        streamed: bool = False,
    ) -> tuple[Flow, AnyTurn]:
        """The flow of one call and its native half.

        Args:
            operation: the method that the app called; it is called on the tier that answers.
            kwargs: keyword arguments for the provider.
            native: keyword arguments of the method itself.
        """
        forced = kwargs.pop("thrift_route", None)
        request = asking.request(self.runtime, self._tiers, self._index, asked, kwargs, forced)
        turn = turn_type(
            tiers=self._tiers,
            manager=self.callback_manager,
            operation=operation,
            args=args,
            kwargs={**(native or {}), **kwargs},
            request_id=request.id,
        )
        facts = [tier.facts for tier in self._tiers]
        return self.runtime.engine.call(request, facts, self._index, dialect=DIALECT, streamed=streamed), turn

    def _run(self, started: tuple[Flow, Turn]) -> Any:
        flow, turn = started
        drive.run(flow, self.runtime, turn)
        return turn.answer

    async def _arun(self, started: tuple[Flow, Turn]) -> Any:
        flow, turn = started
        await drive.arun(flow, self.runtime, turn)
        return turn.answer

    # Chat and completion ------------------------------------------------------------------------------------------

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._run(self._begin(Turn, "chat", (messages,), kwargs, asking.chat(messages)))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await self._arun(self._begin(Turn, "achat", (messages,), kwargs, asking.chat(messages)))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        flow, turn = self._begin(Turn, "stream_chat", (messages,), kwargs, asking.chat(messages), streamed=True)
        return drive.stream(flow, self.runtime, turn)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        flow, turn = self._begin(Turn, "astream_chat", (messages,), kwargs, asking.chat(messages), streamed=True)
        return drive.astream(flow, self.runtime, turn)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return self._run(self._begin(Turn, "complete", (prompt, formatted), kwargs, asking.completion(prompt)))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return await self._arun(self._begin(Turn, "acomplete", (prompt, formatted), kwargs, asking.completion(prompt)))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        asked = asking.completion(prompt)
        flow, turn = self._begin(Turn, "stream_complete", (prompt, formatted), kwargs, asked, streamed=True)
        return drive.stream(flow, self.runtime, turn)

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        asked = asking.completion(prompt)
        flow, turn = self._begin(Turn, "astream_complete", (prompt, formatted), kwargs, asked, streamed=True)
        return drive.astream(flow, self.runtime, turn)

    # Tools --------------------------------------------------------------------------------------------------------

    def _with_tools(
        self,
        operation: str,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None,
        chat_history: list[ChatMessage] | None,
        verbose: bool,
        allow_parallel_tool_calls: bool,
        tool_required: bool,
        kwargs: dict[str, Any],
        *,
        streamed: bool = False,
    ) -> tuple[Flow, Turn]:
        asked = asking.with_tools(
            tools, user_msg, chat_history, parallel=allow_parallel_tool_calls, required=tool_required
        )
        native = {
            "user_msg": user_msg,
            "chat_history": chat_history,
            "verbose": verbose,
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
            "tool_required": tool_required,
        }
        return self._begin(Turn, operation, (tools,), kwargs, asked, native=native, streamed=streamed)

    def chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return self._run(
            self._with_tools(
                "chat_with_tools", tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required,
                kwargs,
            )
        )  # fmt: skip

    async def achat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return await self._arun(
            self._with_tools(
                "achat_with_tools", tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required,
                kwargs,
            )
        )  # fmt: skip

    def stream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        flow, turn = self._with_tools(
            "stream_chat_with_tools", tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required,
            kwargs, streamed=True,
        )  # fmt: skip
        return drive.stream(flow, self.runtime, turn)

    async def astream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        flow, turn = self._with_tools(
            "astream_chat_with_tools", tools, user_msg, chat_history, verbose, allow_parallel_tool_calls,
            tool_required, kwargs, streamed=True,
        )  # fmt: skip
        return drive.astream(flow, self.runtime, turn)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls in a response, read by the tier that gave it."""
        told = response.additional_kwargs.get("thrift") or {}
        tiers = {tier.facts.name: tier.model for tier in self._tiers}
        model = tiers.get(told.get("tier", ""), self._tiers[self._index].model)
        return model.get_tool_calls_from_response(response, error_on_no_tool_call, **kwargs)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """For callers below the public surface: the baseline's own preparation."""
        model = self._tiers[self._index].model
        return model._prepare_chat_with_tools(
            tools, user_msg=user_msg, chat_history=chat_history, verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls, tool_required=tool_required, **kwargs,
        )  # fmt: skip

    # Structured prediction ----------------------------------------------------------------------------------------

    def _structured(
        self,
        operation: str,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
        *,
        streamed: bool = False,
    ) -> tuple[Flow, StructuredTurn]:
        options = dict(llm_kwargs or {})
        if "thrift_route" in prompt_args:
            options["thrift_route"] = prompt_args.pop("thrift_route")
        asked = asking.structured(output_cls, prompt, prompt_args)
        flow, turn = self._begin(
            StructuredTurn, operation, (output_cls, prompt), options, asked, native=prompt_args, streamed=streamed
        )
        turn.kwargs = {**prompt_args, "llm_kwargs": options}
        return flow, turn

    def structured_predict(
        self, output_cls: type[AnyModel], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AnyModel:
        return self._run(self._structured("structured_predict", output_cls, prompt, llm_kwargs, prompt_args))

    async def astructured_predict(
        self, output_cls: type[AnyModel], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AnyModel:
        return await self._arun(self._structured("astructured_predict", output_cls, prompt, llm_kwargs, prompt_args))

    def stream_structured_predict(
        self, output_cls: type[AnyModel], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[AnyModel, None, None]:
        flow, turn = self._structured(
            "stream_structured_predict", output_cls, prompt, llm_kwargs, prompt_args, streamed=True
        )
        return drive.stream(flow, self.runtime, turn)

    async def astream_structured_predict(
        self, output_cls: type[AnyModel], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[AnyModel, None]:
        flow, turn = self._structured(
            "astream_structured_predict", output_cls, prompt, llm_kwargs, prompt_args, streamed=True
        )
        return drive.astream(flow, self.runtime, turn)
