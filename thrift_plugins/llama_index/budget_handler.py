"""`TokenBudgetHandler`: budgets for LLMs as they are, by callbacks alone."""

# ruff: noqa: ARG002  LlamaIndex's signatures

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Self

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatInProgressEvent, LLMCompletionInProgressEvent
from llama_index.core.instrumentation.span import active_span_id
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import active_instrument_tags
from pydantic import PrivateAttr

from thrift_plugins.budgeting import Budget
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.finalizing import living
from thrift_plugins.llama_index.convert import message_in, outline
from thrift_plugins.llama_index.request import DIALECT, functions
from thrift_plugins.llama_index.tier import EXTRAS, longest_answer
from thrift_plugins.llama_index.turn import Response, Seen
from thrift_plugins.metering import Heard, Meter
from thrift_plugins.prices import processing_in
from thrift_plugins.purse import Remaining
from thrift_plugins.runtime import Runtime
from thrift_plugins.scope import current_scope
from thrift_plugins.types import Json, Message, Tier

_OTHERS: list[CBEventType] = [kind for kind in CBEventType if kind is not CBEventType.LLM]


class TokenBudgetHandler(BaseCallbackHandler):
    """Holds budgets around models that are not wrapped: put it in the `CallbackManager` of `Settings` or of a model.

    It reserves before a call, refuses with `BudgetExceeded` before anything is paid, and settles by the usage that comes
    back. Every call is in the runtime's ledger. A call of a `ThriftLLM` is not counted again for the budgets that hold
    there; a hit of its cache is not counted at all.

    Args:
        budgets: those to hold; by default those of the runtime.
        runtime: whose accounts, prices and ledger; by default those of the process.

    Raises:
        ConfigError: no budgets are given, and the runtime has none.

    Example:
        ```python
        handler = TokenBudgetHandler([Budget.usd("day", 5, window="day")])
        Settings.callback_manager = CallbackManager([handler])
        ```

    A query engine has its model called with the callbacks of `Settings`, not with the model's own.

    What callbacks cannot do, and a `ThriftLLM` can:

    * Tell a model how long its answer may be, or stop a stream: whatever an event handler raises is dropped. With
      `max_tokens` on the model or the call, a budget holds to the token: the call is refused where that much is not left.
      Without, what is left is reserved, at most 16,384 tokens; an answer may go over it once, is charged in full, and said
      in the ledger.
    * Know what was used of a stream whose provider does not say. It is counted as it shows; with OpenAI ask for it:
      `additional_kwargs={"stream_options": {"include_usage": True}}`. Hidden reasoning does not show.
    * Close a stream that nobody reads on: it is settled when Python throws it away, while the provider may still write.
      One of which nothing was read is charged its prompt after 15 minutes.
    * See tools before they are sent: of most calls with tools the event tells them, of some integrations' it does not.
    * See retries inside an SDK (`max_retries`), of which only the last is answered and charged. Providers bill no refused
      request; one that timed out may be billed.
    * Tell a call from one that it makes itself: an LLM class whose chat asks its own completion has two events, and is
      counted twice, as by the framework's own `TokenCountingHandler`.
    * Work beside the event loop: a store of accounts on a server is asked while the loop waits; SQLite and memory answer
      in microseconds.
    """

    def __init__(self, budgets: Sequence[Budget] | None = None, *, runtime: Runtime | None = None) -> None:
        super().__init__(event_starts_to_ignore=_OTHERS, event_ends_to_ignore=_OTHERS)
        self._meter = Meter(budgets, runtime, dialect=DIALECT)
        self._seen: dict[str, Seen] = {}
        self._spans: dict[str, str] = {}
        _listen(self)

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

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        """Reserve, or refuse."""
        mark = active_instrument_tags.get().get("thrift")
        if event_type is CBEventType.LLM and payload and not (mark and mark.get("hit")):
            self._meter.start(event_id, self._heard(event_id, payload, mark))
            self._seen[event_id] = Seen()
            span = active_span_id.get()
            if span is not None:
                self._spans[span] = event_id
        return event_id

    def on_event_end(
        self, event_type: CBEventType, payload: dict[str, Any] | None = None, event_id: str = "", **kwargs: Any
    ) -> None:
        """Settle."""
        seen = self._seen.pop(event_id, None)
        if seen is None:
            return
        for span in [span for span, call in self._spans.copy().items() if call == event_id]:
            self._spans.pop(span, None)
        told = payload or {}
        error = told.get(EventPayload.EXCEPTION)
        if error is not None:
            self._meter.fail(event_id, error, None if seen.empty else seen.reply(complete=False))
            return
        answer = told.get(EventPayload.RESPONSE) or told.get(EventPayload.COMPLETION)
        if answer is not None:
            seen.add(answer)
        self._meter.end(event_id, seen.reply())

    def start_trace(self, trace_id: str | None = None) -> None:
        """Nothing: traces make no calls."""

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """Nothing."""

    def heard(self, span: str, piece: Response) -> None:
        """A piece of an answer came in a span of the framework's."""
        event_id = self._spans.get(span)
        seen = self._seen.get(event_id) if event_id is not None else None
        if seen is not None:
            seen.add(piece)
            self._meter.piece(event_id, piece.delta or "")

    def _heard(self, event_id: str, payload: Mapping[str, Any], mark: Mapping[str, Any] | None) -> Heard:
        messages, params = payload.get(EventPayload.MESSAGES), payload.get(EventPayload.ADDITIONAL_KWARGS) or {}
        prompt = payload.get(EventPayload.PROMPT, "")
        tier = _tier(payload.get(EventPayload.SERIALIZED) or {}, params)
        plain = _plain(params)
        request = self._meter.runtime.request(
            dialect=DIALECT,
            model=tier.model,
            identities=[None],
            messages=[Message("user", str(prompt))] if messages is None else [_message(each) for each in messages],
            tools=tuple(functions(plain.get("tools"))),
            params=plain,
            scope=current_scope(),
        )
        return Heard(request, tier, parent=event_id, known=mark.get("budgets", ()) if mark else None)


class _Ear(BaseEventHandler):
    """Passes the pieces of streams on to the handlers there are."""

    _handlers: weakref.WeakSet[TokenBudgetHandler] = PrivateAttr(default_factory=weakref.WeakSet)

    @classmethod
    def class_name(cls) -> str:
        return "ThriftPieces"

    def add(self, handler: TokenBudgetHandler) -> None:
        self._handlers.add(handler)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, LLMChatInProgressEvent | LLMCompletionInProgressEvent) and event.span_id is not None:
            for handler in living(self._handlers):
                handler.heard(event.span_id, event.response)


_ear = _Ear()
_listening = Lock()


def _listen(handler: TokenBudgetHandler) -> None:
    root = get_dispatcher()
    with _listening:
        if all(ear is not _ear for ear in root.event_handlers):  # one that is there twice would hear each piece twice
            root.add_event_handler(_ear)
    _ear.add(handler)


def _tier(told: Mapping[str, Any], params: Mapping[str, Any]) -> Tier:
    """The model as it is called, with the limit on an answer that it is called with."""
    model = str(told.get("model_name") or told.get("model") or told.get("class_name") or "unknown")
    limit = longest_answer(params)
    own = told.get("num_output")
    if limit is None and isinstance(own, int) and own > 0 and own != DEFAULT_NUM_OUTPUTS:  # which nobody sends
        limit = own
    processing = processing_in(params, EXTRAS) or processing_in(told, EXTRAS) or "standard"
    return Tier(model, model, limit=limit, processing=processing)


def _message(message: ChatMessage) -> Message:
    try:
        return message_in(message)
    except Exception:  # noqa: BLE001  an app's own object may raise anything
        return outline(message)


def _plain(params: Mapping[str, Any]) -> Mapping[str, Json]:
    try:
        return decisive(params)
    except (NoCanonicalForm, TypeError):
        return {}
