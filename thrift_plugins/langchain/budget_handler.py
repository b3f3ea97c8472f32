"""`TokenBudgetHandler`: budgets for chat models and LLMs as they are, by callbacks alone."""

# ruff: noqa: ARG002  LangChain's signatures

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig

from thrift_plugins.budgeting import Budget
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.langchain.billed import billed
from thrift_plugins.langchain.convert import message_in, reply_in, schema_in, tool_in
from thrift_plugins.langchain.request import DIALECT, scope_of
from thrift_plugins.langchain.tier import longest_answer
from thrift_plugins.langchain.turn import shown
from thrift_plugins.metering import Heard, Meter
from thrift_plugins.prices import processing_in
from thrift_plugins.purse import Remaining
from thrift_plugins.runtime import Runtime
from thrift_plugins.types import NO_USAGE, Json, Message, Reply, Request, Tier, Usage


class TokenBudgetHandler(BaseCallbackHandler):
    """Holds budgets around models that are not wrapped: put it among the callbacks of a model, a chain or an agent.

    It reserves before a call, refuses with `BudgetExceeded` before anything is paid, stops a stream that gives more than
    was reserved, and settles by the usage that comes back. Every call is in the runtime's ledger. A call of a
    `ThriftChatModel` is not counted again for the budgets that hold there; a hit of its cache is not counted at all.

    Args:
        budgets: those to hold; by default those of the runtime.
        runtime: whose accounts, prices and ledger; by default those of the process.

    Raises:
        ConfigError: no budgets are given, and the runtime has none.

    Example:
        ```python
        handler = TokenBudgetHandler([Budget.usd("day", 5, window="day")])
        chain.invoke(question, {"callbacks": [handler]})
        ```

    What callbacks cannot do, and a `ThriftChatModel` can:

    * Tell a model how long its answer may be. With `max_tokens` on the model or the call, a budget holds to the token:
      the call is refused where that much is not left. Without, what is left is reserved, at most 16,384 tokens; a stream
      is stopped there, and a whole answer may go over it once, is charged in full, and said in the ledger.
    * Keep what was written of a stream that it stops: the reader has it, and then gets `BudgetExceeded`. `with_retry`
      asks again after it, as after any exception; each time it is refused before anything is paid.
    * See the cache of LangChain before it is asked: a hit is reserved for, and refused where nothing is left. It is
      charged nothing.
    * See retries inside an SDK (`max_retries` of `ChatOpenAI`), of which only the last is answered and charged. Providers
      bill no refused request; one that timed out may be billed.
    * See every end. LangChain tells nothing where `ainvoke` is cancelled, or another handler refuses after this one. The
      call is closed when its task ends, when the chain around it ends, when its caller makes another call, or after 15
      minutes: charged its prompt where it was cancelled, nothing where it was not made. The process dies: charged as its
      budget says (`orphans`).
    * Work beside the event loop. Only a synchronous handler can refuse in every way of calling, so a store of accounts
      on a server is asked while the loop waits; SQLite and memory answer in microseconds.
    """

    raise_error = True
    run_inline = True

    def __init__(self, budgets: Sequence[Budget] | None = None, *, runtime: Runtime | None = None) -> None:
        super().__init__()
        self._meter = Meter(budgets, runtime, dialect=DIALECT)
        self._roots: dict[UUID, UUID] = {}

    def remaining(self) -> list[Remaining]:
        """What is left of every budget that covers the scope of the block, and when it starts anew.

        Raises:
            StoreUnavailable: the accounts are down.
        """
        return self._meter.remaining()

    def close(self) -> None:
        """Settle what is under way, and let go of accounts that are not the runtime's. Idempotent."""
        self._meter.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: a copied model spends from the same accounts."""
        return self

    # Calls --------------------------------------------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Reserve, or refuse."""
        asked = [message_in(message) for message in messages[0]]
        self._starts(run_id, parent_run_id, asked, metadata or {}, kwargs)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Reserve, or refuse."""
        self._starts(run_id, parent_run_id, [Message("user", prompts[0])], metadata or {}, kwargs)

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Count a piece, and stop the stream where it goes over what was reserved."""
        message = getattr(chunk, "message", None)
        self._meter.piece(run_id, shown(message) if isinstance(message, AIMessageChunk) else str(token))

    def on_stream_event(
        self,
        event: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """The same for the events of `stream_events(version="v3")`."""
        delta = event.get("delta") or {}
        said = (delta.get(name) for name in ("text", "reasoning", "args"))
        self._meter.piece(run_id, "".join(text for text in said if isinstance(text, str)), by="events")

    def on_llm_end(
        self,
        response: LLMResult,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Settle."""
        self._meter.end(run_id, _reply(response))

    def on_llm_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Settle what was used until then."""
        used = billed(error)
        partial = Reply("", used, storable=False) if used is not None else _begun(kwargs.get("response"))
        self._meter.fail(run_id, error, partial)

    def _starts(
        self,
        run_id: UUID,
        parent: UUID | None,
        messages: Sequence[Message],
        metadata: Mapping[str, Any],
        told: Mapping[str, Any],
    ) -> None:
        wrapped = "thrift_request_id" in metadata
        if wrapped and metadata.get("thrift_policy") == "cache":
            return
        tier = _tier(metadata, told.get("invocation_params") or {})
        heard = Heard(
            self._request(messages, tier, metadata, told.get("invocation_params") or {}, parent),
            tier,
            parent=parent,
            alone=told.get("batch_size", 1) == 1,
            known=metadata.get("thrift_budgets", ()) if wrapped else None,
        )
        self._meter.start(run_id, heard)

    def _request(
        self,
        messages: Sequence[Message],
        tier: Tier,
        metadata: Mapping[str, Any],
        params: Mapping[str, Any],
        parent: UUID | None,
    ) -> Request:
        wanted = params.get("response_format")
        root = metadata.get("thrift_run") or (parent and self._roots.get(parent, parent)) or ""
        return self._meter.runtime.request(
            dialect=DIALECT,
            model=tier.model,
            identities=[None],
            messages=messages,
            tools=tuple(tool_in(tool) for tool in params.get("tools") or () if isinstance(tool, Mapping)),
            schema=schema_in(wanted) if wanted is not None else None,
            params=_plain(params),
            scope=scope_of(RunnableConfig(metadata=dict(metadata))),
            run=str(root),
        )

    # What makes calls ---------------------------------------------------------------------------------------------

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note which run it is part of."""
        self._opens(run_id, parent_run_id)

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note which run it is part of."""
        self._opens(run_id, parent_run_id)

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note which run it is part of."""
        self._opens(run_id, parent_run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Close calls of its own of whose end nothing was told."""
        self._closes(run_id, None)

    def on_tool_end(self, output: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Close calls of its own of whose end nothing was told."""
        self._closes(run_id, None)

    def on_retriever_end(
        self, documents: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Close calls of its own of whose end nothing was told."""
        self._closes(run_id, None)

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Close calls of its own of whose end nothing was told."""
        self._closes(run_id, error)

    def on_tool_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Close calls of its own of whose end nothing was told."""
        self._closes(run_id, error)

    def on_retriever_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Close calls of its own of whose end nothing was told."""
        self._closes(run_id, error)

    def _opens(self, run_id: UUID, parent: UUID | None) -> None:
        self._roots[run_id] = self._roots.get(parent, parent) if parent else run_id

    def _closes(self, run_id: UUID, error: BaseException | None) -> None:
        self._roots.pop(run_id, None)
        self._meter.left(run_id, error)


def _tier(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> Tier:
    """The model as it is called, with the limit on an answer that it is called with."""
    named = (metadata.get("ls_model_name"), params.get("model_name"), params.get("model"), params.get("_type"))
    model = next((str(name) for name in named if name), "unknown")
    limit = longest_answer(params) or metadata.get("ls_max_tokens")
    processing = processing_in(params, ("extra_body", "model_kwargs")) or "standard"
    return Tier(model, model, limit=limit if isinstance(limit, int) and limit > 0 else None, processing=processing)


def _plain(params: Mapping[str, Any]) -> Mapping[str, Json]:
    try:
        return decisive({name: value for name, value in params.items() if name != "response_format"})
    except (NoCanonicalForm, TypeError):
        return {"n": params.get("n")}


def _reply(response: LLMResult) -> Reply:
    """What was answered, with what it has used."""
    first = next((generation for row in response.generations for generation in row), None)
    if isinstance(first, ChatGeneration) and isinstance(first.message, AIMessage):
        return reply_in(first.message)
    return Reply(first.text if first else "", _told(response.llm_output or {}), storable=False)


def _told(output: Mapping[str, Any]) -> Usage:
    """The usage of a completion. Of several that are sent together, the first one's result has that of all."""
    counted = output.get("token_usage")
    if counted is None:
        return NO_USAGE
    return Usage.told(counted.get("prompt_tokens", 0), counted.get("completion_tokens", 0))


def _begun(response: Any) -> Reply | None:
    """What had come of an answer that broke."""
    generations = response.generations if isinstance(response, LLMResult) else []
    first = generations[0][0] if generations and generations[0] else None
    message = first.message if isinstance(first, ChatGeneration) else None
    return reply_in(message, complete=False) if isinstance(message, AIMessageChunk) else None
