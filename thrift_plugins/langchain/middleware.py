"""`ThriftMiddleware`: for agents of `langchain.agents` budgets, and structured answers by tier. Extra `agents`."""

# ruff: noqa: ARG002  LangChain's signatures

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NotRequired, TypeAlias
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ExtendedModelResponse, PrivateStateAttr
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.types import Command, interrupt

from thrift_plugins.budgeting import Budget, Usd
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.errors import BudgetExceeded, ConfigError
from thrift_plugins.langchain.agent_turn import aby_tier, by_tier
from thrift_plugins.langchain.billed import billed
from thrift_plugins.langchain.chat_model import ThriftChatModel
from thrift_plugins.langchain.convert import message_in, reply_in, schema_in, tool_in
from thrift_plugins.langchain.request import DIALECT, scope_of
from thrift_plugins.langchain.tier import ModelTier
from thrift_plugins.metering import Heard, Meter, Metered
from thrift_plugins.purse import Remaining
from thrift_plugins.runtime import Runtime
from thrift_plugins.tries import Lost
from thrift_plugins.types import Json, Reply, Usage

Ending: TypeAlias = Literal["error", "summary", "ask"]
Summary: TypeAlias = Callable[[BudgetExceeded, Sequence[AnyMessage]], str]
Answer: TypeAlias = AIMessage | ModelResponse[Any] | ExtendedModelResponse[Any]

_SHOWN = 500
"""Characters of the last thing said that a summary shows."""


class ThriftState(AgentState[Any]):
    """What an agent's thread keeps.

    Attributes:
        thrift_run: name of the run, for budgets with `window="run"`.
        thrift_allowed: budget to how much more than its limit the user has allowed.
    """

    thrift_run: NotRequired[Annotated[str, PrivateStateAttr]]
    thrift_allowed: NotRequired[Annotated[dict[str, int], PrivateStateAttr]]


class ThriftMiddleware(AgentMiddleware[ThriftState, Any, Any]):
    """Holds budgets around the model calls of an agent: reserved before, the answer's length capped, settled after.

    A budget with `window="run"` is for one run of the agent, questions to the user between included; one with
    `per=("session",)` for one thread (`thread_id`), as long as its window says. It takes any chat model. Where that is a
    `ThriftChatModel`, the budgets of both hold, those of one name once, and what they refuse ends here the same way. Where its
    tiers differ in how they give structured answers (`response_format=Schema`), each is asked in its own way: by the
    provider's means, or by a tool. Without this middleware all are asked in the way that all of them know.

    Args:
        budgets: those to hold; by default those of the runtime.
        runtime: whose accounts, prices and ledger; by default those of the process.
        exceeded: what happens where a hard budget has no room for a call: "error" raises `BudgetExceeded`; "summary" ends
            the run with a message that says what was done; "ask" puts a question to the user by LangGraph's `interrupt`,
            which needs a checkpointer. Resume with `True` for as much again as the limit, with a number of tokens or US
            dollars for so much more, or with `False` for the summary.
        summary: makes the last message of the refusal and of what was said; by default without a model, in English.

    Raises:
        ConfigError: no budgets are given, and the runtime has none; or no such way to end.

    Put it last in the list, so that retries and other models of other middleware are reserved for. A model that such a
    middleware puts in the place of another inside a call is priced as the one that it stands for.

    Example:
        ```python
        budgets = [Budget.tokens("run", 50_000, window="run"), Budget.usd("thread", 1, window="total", per=("session",))]
        agent = create_agent(model, tools, middleware=[ThriftMiddleware(budgets, exceeded="summary")])
        ```
    """

    state_schema = ThriftState

    def __init__(
        self,
        budgets: Sequence[Budget] | None = None,
        *,
        runtime: Runtime | None = None,
        exceeded: Ending = "error",
        summary: Summary | None = None,
    ) -> None:
        super().__init__()
        if exceeded not in ("error", "summary", "ask"):
            raise ConfigError(f"exceeded must be 'error', 'summary' or 'ask', not {exceeded!r}")
        self._meter = Meter(budgets, runtime, dialect=DIALECT, imposes=True)
        self._exceeded: Ending = exceeded
        self._summary = summary or summarised

    def remaining(self) -> list[Remaining]:
        """What is left of every budget that covers the scope of the block, and when it starts anew.

        Raises:
            StoreUnavailable: the accounts are down.
        """
        return self._meter.remaining()

    # Runs ---------------------------------------------------------------------------------------------------------

    def before_agent(self, state: ThriftState, runtime: Any) -> dict[str, Any]:
        """Begin a run. What was allowed for the thread stays allowed."""
        lasting = {budget.name for budget in self._meter.budgets if budget.window not in ("run", "call")}
        allowed = state.get("thrift_allowed") or {}
        return {
            "thrift_run": uuid4().hex,
            "thrift_allowed": {name: more for name, more in allowed.items() if name in lasting},
        }

    async def abefore_agent(self, state: ThriftState, runtime: Any) -> dict[str, Any]:
        """Begin a run."""
        return self.before_agent(state, runtime)

    # Calls --------------------------------------------------------------------------------------------------------

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> Answer:
        """Reserve, call, settle; or end."""
        allowed = _allowed(request)
        while True:
            try:
                return _with(self._called(request, partial(by_tier, handler=handler), allowed), allowed, request)
            except BudgetExceeded as error:
                ended = self._end(error, request, allowed)
            if ended is not None:
                return ended

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> Answer:
        """`wrap_model_call` without blocking the event loop."""
        allowed = _allowed(request)
        while True:
            try:
                return _with(await self._acalled(request, partial(aby_tier, handler=handler), allowed), allowed, request)
            except BudgetExceeded as error:
                ended = self._end(error, request, allowed)
            if ended is not None:
                return ended

    def _called(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
        allowed: Mapping[str, int],
    ) -> ModelResponse[Any]:
        heard, names = self._heard(request, allowed)
        metered = self._meter.begin(heard)
        if metered is None:
            return handler(request)
        while True:
            try:
                with metered.counted(request.model):
                    response = handler(_capped(request, metered, names))
            except Lost as lost:
                metered.again(lost)
            except BaseException as error:
                metered.fail(error, _paid(billed(error)))
                raise
            else:
                metered.end(_reply(response))
                return response

    async def _acalled(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
        allowed: Mapping[str, int],
    ) -> ModelResponse[Any]:
        heard, names = self._heard(request, allowed)
        metered = await self._meter.abegin(heard)
        if metered is None:
            return await handler(request)
        while True:
            try:
                with metered.counted(request.model):
                    response = await handler(_capped(request, metered, names))
            except Lost as lost:
                await metered.aagain(lost)
            except BaseException as error:
                await metered.afail(error, _paid(billed(error)))
                raise
            else:
                await metered.aend(_reply(response))
                return response

    def _heard(self, request: ModelRequest[Any], allowed: Mapping[str, int]) -> tuple[Heard, list[str]]:
        """The call in our words, and the names of the settings that limit its answer."""
        model, settings = request.model, request.model_settings
        tier = ModelTier(model, None, self._meter.runtime.prices)
        asked = [*([request.system_message] if request.system_message else []), *request.messages]
        ours = self._meter.runtime.request(
            dialect=DIALECT,
            model=tier.facts.model,
            identities=[None],
            messages=[message_in(message) for message in asked],
            tools=tuple(tool_in(tool) for tool in request.tools),
            schema=_schema(request.response_format),
            params={**tier.read().params, **_params(settings)},
            scope=scope_of(_config()),
            run=str(request.state.get("thrift_run") or ""),
        )
        return Heard(ours, tier.told(settings), known=_known(model), allowed=allowed), tier.limit_names(settings)

    # The end ------------------------------------------------------------------------------------------------------

    def _end(self, error: BudgetExceeded, request: ModelRequest[Any], allowed: dict[str, int]) -> AIMessage | None:
        """The last message of the run; None where the user lets it go on."""
        if self._exceeded == "error":
            raise error
        if self._exceeded == "ask":
            answer = interrupt(_question(error))
            more = _more(error, answer)
            if more > 0:
                allowed[error.budget] = allowed.get(error.budget, 0) + more
                return None
        told = {"thrift": {"budget": error.budget, "left": error.left, "limit": error.limit, "unit": error.unit}}
        return AIMessage(self._summary(error, request.messages), response_metadata=told)


def summarised(error: BudgetExceeded, messages: Sequence[AnyMessage]) -> str:
    """What was done since the user last spoke: which tools were called, and what was said last."""
    begun = next((at for at in range(len(messages) - 1, -1, -1) if isinstance(messages[at], HumanMessage)), -1)
    done = messages[begun + 1 :]
    asked = [message for message in done if isinstance(message, AIMessage)]
    tools = Counter(call["name"] for message in asked for call in message.tool_calls)
    lines = [f"I had to stop: {error}.", f"Until then: {len(asked)} model call{'' if len(asked) == 1 else 's'}."]
    if tools:
        lines.append(f"Tools used: {', '.join(f'{name} ({times}x)' for name, times in tools.items())}.")
    last = next((text for message in reversed(done) if (text := str(message.text).strip())), "")
    if last:
        lines.append(f"The last result: {last if len(last) <= _SHOWN else last[:_SHOWN] + '...'}")
    return "\n".join(lines)


def _question(error: BudgetExceeded) -> dict[str, Json]:
    return {
        "type": "budget",
        "question": f"{error}. May it go on, and with how much more?",
        "budget": error.budget,
        "needed": error.needed,
        "left": error.left,
        "limit": error.limit,
        "unit": error.unit,
    }


def _more(error: BudgetExceeded, answer: object) -> int:
    """How much more the user allows, in nano-dollars or tokens.

    Raises:
        ConfigError: an answer that is no amount.
    """
    if answer is True:
        return error.limit
    if answer is None or answer is False or answer == 0:
        return 0
    if error.unit == "tokens" and isinstance(answer, int):
        return Budget.tokens("answer", answer).limit
    if error.unit == "usd" and isinstance(answer, Usd):
        return Budget.usd("answer", answer).limit
    raise ConfigError(f"resume with True, False or an amount in {error.unit}, not {answer!r}")


def _allowed(request: ModelRequest[Any]) -> dict[str, int]:
    state: Mapping[str, Any] = request.state
    return dict(state.get("thrift_allowed") or {})


def _with(response: ModelResponse[Any], allowed: Mapping[str, int], request: ModelRequest[Any]) -> Answer:
    """The response, with what the user has allowed for the calls that come."""
    if allowed == _allowed(request):
        return response
    return ExtendedModelResponse(response, Command(update={"thrift_allowed": dict(allowed)}))


def _capped(request: ModelRequest[Any], metered: Metered, names: Sequence[str]) -> ModelRequest[Any]:
    if not metered.imposed:
        return request
    return request.override(model_settings={**request.model_settings, **dict.fromkeys(names, metered.most)})


def _reply(response: ModelResponse[Any]) -> Reply:
    answers = [message for message in response.result if isinstance(message, AIMessage)]
    return reply_in(answers[0]) if answers else Reply("", Usage(source="provider"), storable=False)


def _paid(used: Usage | None) -> Reply | None:
    return Reply("", used, storable=False) if used is not None else None


def _known(model: object) -> list[str] | None:
    """Names of the budgets that hold for a model by itself, None for one that keeps no books."""
    if not isinstance(model, ThriftChatModel):
        return None
    purse = model.runtime.purse
    return [budget.name for budget in purse.budgets] if purse else []


def _schema(wanted: Any) -> Mapping[str, Json] | None:
    """The schema of a structured answer, None where it has none that can be told before the model is bound."""
    schema = getattr(wanted, "schema", None)
    try:
        return schema_in(schema) if schema is not None else None
    except Exception:  # noqa: BLE001  a union of schemas has none of its own; the bound learns what it adds
        return None


def _params(settings: Mapping[str, Any]) -> Mapping[str, Json]:
    """The settings of a call, over the model's own: how many answers, marks for a prompt cache."""
    try:
        return decisive(settings)
    except (NoCanonicalForm, TypeError):
        return {"n": settings.get("n")}


def _config() -> RunnableConfig:
    """The config of the node that we are in, with the thread's name among its metadata."""
    config = ensure_config()
    thread = (config.get("configurable") or {}).get("thread_id")
    metadata = config.get("metadata") or {}
    return RunnableConfig(metadata={"thread_id": thread, **metadata} if thread is not None else metadata)
