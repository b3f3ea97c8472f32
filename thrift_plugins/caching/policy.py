"""What may be stored, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from thrift_plugins.caching.key import address
from thrift_plugins.types import Json, Reply, Request

_FINISHED = frozenset(
    {"stop", "end_turn", "stop_sequence", "tool_calls", "tool_use", "function_call", "complete", "completed", "eos"}
)
"""The words of OpenAI, Anthropic, Google, Cohere, Bedrock and Ollama for an answer that ended by itself."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The exact response cache.

    Attributes:
        ttl: seconds that an answer lives.
        max_temperature: requests with a higher one want variety and are never answered from the cache. Unset counts
            as 0; LlamaIndex sets 0.1 where the app says nothing, so that is the default here.
    """

    ttl: float = 86_400.0
    max_temperature: float = 0.1

    def address(self, request: Request) -> str | None:
        """Where the answer would be, or None if this request must not be answered from a cache."""
        if any(temperature > self.max_temperature for temperature in _temperatures(request.params)):
            return None
        many = request.params.get("n")
        if isinstance(many, int) and many > 1:
            return None
        return address(request)

    def keeps(self, reply: Reply, *, streamed: bool) -> bool:
        """Whether an answer may be given again: whole, ended by itself, and not empty.

        A stream must have said why it ended; a plain answer that says nothing is taken as whole.
        """
        if not (reply.complete and reply.storable) or not (reply.content or reply.tool_calls):
            return False
        if reply.finish_reason is None:
            return not streamed
        return reply.finish_reason.lower() in _FINISHED


def _temperatures(params: Mapping[str, Json]) -> Iterator[float]:
    """Every temperature that a request names, also among the extra arguments that go to the provider as they are."""
    for name, value in params.items():
        if name == "temperature" and isinstance(value, int | float):
            yield value
        elif isinstance(value, Mapping) and name in _EXTRAS:
            yield from _temperatures(value)


_EXTRAS = frozenset({"extra_body", "model_kwargs", "additional_kwargs", "generation_config", "options"})
