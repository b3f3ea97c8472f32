"""What the models inside a tier of a `RoutingRunnable` have used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from thrift_plugins.langchain.around import Around
from thrift_plugins.langchain.convert import usage_of
from thrift_plugins.types import NO_USAGE, Usage


class UsedInside(UsageMetadataCallbackHandler):
    """What the models in a tier have used, but for those that book it themselves in the same ledger.

    Args:
        call: in which they are asked.
    """

    def __init__(self, call: Around) -> None:
        super().__init__()
        self.call = call
        self._others: set[UUID] = set()

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  LangChain's
        messages: list[list[BaseMessage]],  # noqa: ARG002
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Note whose call it is."""
        told = metadata or {}
        if any(told.get(name) in self.call.booked for name in ("thrift_request_id", "thrift_booked")):
            self._others.add(run_id)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Count."""
        if kwargs.get("run_id") not in self._others:
            super().on_llm_end(response, **kwargs)

    def usage(self) -> Usage:
        """All of it together."""
        told = [usage_of(cast("Mapping[str, Any]", usage)) for usage in self.usage_metadata.copy().values()]
        if not told:  # where another has booked it, there is nothing for us to count
            return Usage(source="estimated") if self.call.booked else NO_USAGE
        return sum(told[1:], told[0])
