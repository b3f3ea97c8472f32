"""One model call of an agent over the tiers of a `ThriftChatModel`, each asked for a structured answer in its own way.

`create_agent` asks a model for structured output by the provider's own means where that has any, and by a tool where not. It
chooses once for the model that it is given; over several tiers that would be what all of them can do. Here each tier goes
through the agent's own handler, which chooses for that tier, binds it, and reads its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from langchain.agents import factory
from langchain.agents.middleware import ModelRequest, ModelResponse
from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, StructuredOutputError, ToolStrategy
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config

from thrift_plugins import drive
from thrift_plugins.effects import Call, Flow, Replay, counted
from thrift_plugins.langchain.chat_model import ThriftChatModel
from thrift_plugins.langchain.convert import message_out
from thrift_plugins.langchain.replay import ReplayChatModel, replay
from thrift_plugins.langchain.request import begin
from thrift_plugins.langchain.turn import Turn, broke, sent_form, unheard_here
from thrift_plugins.types import Reply

Handler: TypeAlias = Callable[[ModelRequest[Any]], ModelResponse[Any]]
AsyncHandler: TypeAlias = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]

_judged: Final[Callable[..., bool] | None] = getattr(factory, "_supports_provider_strategy", None)
"""By which an agent chooses, where this LangChain has it. It goes by names of models, too."""


def by_tier(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
    """Make a model call of an agent, tier by tier where they differ in how they give structured answers."""
    if not _differs(request):
        return handler(request)
    flow, turn, model = _begun(request)
    turn.handler = handler
    drive.run(flow, model.runtime, turn)
    return turn.given_back()


async def aby_tier(request: ModelRequest[Any], handler: AsyncHandler) -> ModelResponse[Any]:
    """`by_tier` without blocking the event loop."""
    if not _differs(request):
        return await handler(request)
    flow, turn, model = _begun(request)
    turn.ahandler = handler
    await drive.arun(flow, model.runtime, turn)
    return turn.given_back()


def _differs(request: ModelRequest[Any]) -> bool:
    """Whether the way to a structured answer depends on the tier. One that the app has chosen holds for all."""
    model = request.model
    if not isinstance(model, ThriftChatModel) or not isinstance(request.response_format, AutoStrategy):
        return False
    ways = {_gives_its_own(tier, request.tools) for tier in model.tiers}
    return len(ways) > 1


def _gives_its_own(model: BaseChatModel, tools: Sequence[Any]) -> bool:
    """Whether an agent asks this model for structured output by the provider's own means."""
    if _judged is not None:
        return bool(_judged(model, tools=list(tools)))
    return bool((model.profile or {}).get("structured_output"))


def _begun(request: ModelRequest[Any]) -> tuple[Flow, AgentTurn, ThriftChatModel]:
    model, wanted = request.model, request.response_format
    assert isinstance(model, ThriftChatModel)  # noqa: S101  see `_differs`
    assert isinstance(wanted, AutoStrategy)  # noqa: S101
    asked: list[BaseMessage] = [*([request.system_message] if request.system_message else []), *request.messages]
    by_tool = [_as_tool(spec.name, spec.description, spec.json_schema) for spec in ToolStrategy(wanted.schema).schema_specs]
    kwargs = {**request.model_settings, "tools": [*request.tools, *by_tool], "response_format": wanted.schema}
    flow, turn = begin(
        AgentTurn,
        model.runtime,
        tiers=model._tiers,  # noqa: SLF001  ours
        baseline=model._index,  # noqa: SLF001
        given=asked,
        messages=asked,
        config=model._config(ensure_config()),  # noqa: SLF001
        kwargs=kwargs,
    )
    turn.asked, turn.schema = request, wanted.schema
    return flow, turn, model


def _as_tool(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The tool by which a tier without structured output of its own gives one."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": dict(parameters)}}


class _Shown(ReplayChatModel):
    """A stored answer, with tools bound to it that it has no use for."""

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Runnable[Any, AIMessage]:  # noqa: ARG002
        return self.bind()


@dataclass(slots=True)
class AgentTurn(Turn):
    """A call by way of an agent's handler.

    Attributes:
        asked: the agent's request.
        schema: of the structured answer.
        handler, ahandler: asks a model as the agent does, and reads its answer. One of the two is there.
        unheard: whether nobody is to hear of it.
        response: what the agent gets.
        unread: why the answer could not be read, None where it could.
    """

    asked: ModelRequest[Any] = field(init=False)
    schema: Any = field(default=None, init=False)
    handler: Handler | None = field(default=None, init=False)
    ahandler: AsyncHandler | None = field(default=None, init=False)
    unheard: bool = field(default=False, init=False)
    response: ModelResponse[Any] | None = field(default=None, init=False)
    unread: StructuredOutputError | None = field(default=None, init=False)

    def given_back(self) -> ModelResponse[Any]:
        """What the agent gets. Raises where the answer that stands cannot be read."""
        if self.unread is not None:
            raise self.unread
        if self.response is None:
            raise RuntimeError("neither answer nor error")
        return self.response

    def call(self, effect: Call | Replay) -> Reply:
        """Ask, and keep the response for the agent."""
        if self.handler is None:
            raise RuntimeError("an asynchronous agent is not asked so")
        try:
            with self._around(effect):
                response = self.handler(self._request(effect))
        except StructuredOutputError as error:
            return self._unread(error, effect)
        except BaseException as error:
            broke(effect, error)
            raise
        return self._read(response, effect)

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        if self.ahandler is None:
            raise RuntimeError("a synchronous agent is not asked so")
        try:
            with self._around(effect):
                response = await self.ahandler(self._request(effect))
        except StructuredOutputError as error:
            return self._unread(error, effect)
        except BaseException as error:
            broke(effect, error)
            raise
        return self._read(response, effect)

    def _unheard(self, given: Any, kwargs: Mapping[str, Any]) -> AgentTurn:  # type: ignore[override]  # as quiet as the other
        told: RunnableConfig = {"callbacks": []}
        made = AgentTurn(self.tiers, self.bindings, given, told, kwargs, self.request_id, self.identities)
        made.asked, made.schema = self.asked, self.schema
        made.handler, made.ahandler, made.unheard = self.handler, self.ahandler, True
        return made

    @contextmanager
    def _around(self, effect: Call | Replay) -> Iterator[None]:
        """The config that a model in the handler finds, with the decision in it, or none; and its requests counted."""
        with counted(effect, self._own(effect)):
            if self.unheard:
                with unheard_here():
                    yield
                return
            token = var_child_runnable_config.set(self._told(effect))
            try:
                yield
            finally:
                var_child_runnable_config.reset(token)

    def _request(self, effect: Call | Replay) -> ModelRequest[Any]:
        """The agent's request, for the tier that is asked."""
        tier, settings = self.tiers[effect.decision.tier], dict(self.asked.model_settings)
        if isinstance(effect, Replay):
            tried = self._aside.answer if effect.tried and self._aside else None
            return self._replayed(tier.model, tried or message_out(effect.reply))
        effect.form = partial(sent_form, options=settings)
        if effect.imposed:
            settings |= dict.fromkeys(tier.limit_names(settings), effect.most)
        heat = effect.heat(settings.get("temperature", tier.read().params.get("temperature")))
        if heat is not None:
            settings["temperature"] = heat
        messages = list(self.asking(effect))
        first = messages.pop(0) if messages and isinstance(messages[0], SystemMessage) else None
        return self.asked.override(
            model=tier.model, model_settings=settings, system_message=first, messages=messages
        )

    def _replayed(self, model: BaseChatModel, message: AIMessage) -> ModelRequest[Any]:
        """A request that is answered with this message, and read as the tier's own answer was."""
        told = replay(model, message)
        shown = _Shown.model_construct(**{name: getattr(told, name) for name in told.model_fields_set})
        way = ToolStrategy if message.tool_calls else ProviderStrategy
        return self.asked.override(model=shown, response_format=way(self.schema))

    def _read(self, response: ModelResponse[Any], effect: Call | Replay) -> Reply:
        answer = next(message for message in response.result if isinstance(message, AIMessage))
        self.response, self.unread = response, None
        return self._take(answer, effect)

    def _unread(self, error: StructuredOutputError, effect: Call | Replay) -> Reply:
        """An answer that the agent cannot read: it may be the next tier's turn."""
        self.response, self.unread = None, error
        return self._take(error.ai_message, effect)


