"""What may be stored, under which names, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from thrift_plugins.caching.key import address
from thrift_plugins.caching.kinds import Kind, kind
from thrift_plugins.caching.refusals import refusal
from thrift_plugins.caching.tool_effects import acting_call, acting_offer, reads_the_web
from thrift_plugins.shape import misfit, words
from thrift_plugins.text.fold import as_asked
from thrift_plugins.types import Json, Reply, Request

ToolCalls: TypeAlias = Literal["read", "all", "none"]
"""Which answers that call tools are kept: those whose tools only read, all, or none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an app knows better for a feature, or for a request.

    Attributes:
        enabled: whether it is answered from the cache.
        ttl: seconds that an answer lives, None for the policy's.
        stale: seconds after that in which the old answer is shown while a new one is fetched, None for the policy's.
        kind: what its requests are; None asks the classifier.
        max_temperature: requests above it are never answered from the cache, None for the policy's.
    """

    enabled: bool = True
    ttl: float | None = None
    stale: float | None = None
    kind: Kind | None = None
    tool_calls: ToolCalls = "read"
    max_temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """What is known of a request before it is looked up.

    Attributes:
        key: where its answer is kept; None: it is not answered from the cache, and its answer is not kept.
        ttl: seconds that an answer lives.
        stale: seconds after that in which it is shown while a new one is fetched.
        tags: names by which the answer can be forgotten.
        why: in words, why there is no key.
    """

    key: str | None
    ttl: float = 0.0
    stale: float = 0.0
    tags: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The policy of the response cache. Pure: it asks no store and no clock.

    Attributes:
        ttl: seconds that an answer lives.
        max_temperature: requests with a higher one want variety and are never answered from the cache. Unset counts
            as 0; LlamaIndex sets 0.1 where the app says nothing, so that is the default here.
        ttl_time_sensitive: seconds that an answer lives which depends on the time of asking, at most `ttl`.
        stale: seconds after its time in which an answer is shown while a new one is fetched; never one of that kind.
        kinds: whether the classifier is asked; without it everything is general.
        fold: whether spellings of a user's plain question that cannot change its meaning share an address.
        read_only_tools: names of tools that only read, beside those that say so or whose names do.
        features: feature to what the app knows better about it.
        rules: what the app knows better about one request, over its feature's rule; None from it leaves that.
    """

    ttl: float = 86_400.0
    max_temperature: float = 0.1
    ttl_time_sensitive: float = 3_600.0
    stale: float = 0.0
    kinds: bool = True
    fold: bool = True
    read_only_tools: frozenset[str] = frozenset()
    features: Mapping[str, Rule] = field(default_factory=dict)
    rules: Callable[[Request], Rule | None] | None = None

    def admit(self, request: Request) -> Admission:
        """Whether and where the answer to a request is looked up and kept, and for how long."""
        rule = self._rule(request)
        why = self._excluded(request, rule)
        what = "general" if why else self._kind(request, rule)
        if what == "creative":
            why = "creative request"
        if why:
            return Admission(None, why=why)
        key = address(request, folded=self.fold)
        if key is None:
            return Admission(None, why="part of the request has no canonical form")
        feature = request.scope.feature
        tags = (f"feature:{feature}", *request.scope.tags) if feature else request.scope.tags
        ttl = self.ttl if rule.ttl is None else rule.ttl
        if what == "time":
            return Admission(key, min(ttl, self.ttl_time_sensitive), 0.0, tags)
        return Admission(key, ttl, self.stale if rule.stale is None else rule.stale, tags)

    def keeps(self, request: Request, reply: Reply, *, streamed: bool) -> str | None:
        """Why an answer must not be given again, in words, or None where it may.

        A stream must have said why it ended; a plain answer that says nothing is taken as whole.
        """
        return (
            _unfinished(reply, streamed=streamed)
            or refusal(request, reply)
            or self._acts(request, reply)
            or misfit(request, reply)
        )

    def _rule(self, request: Request) -> Rule:
        own = self.rules(request) if self.rules is not None else None
        return own or self.features.get(request.scope.feature, _NO_RULE)

    def _excluded(self, request: Request, rule: Rule) -> str | None:
        """Why a request is not answered from the cache, told without its words."""
        if not rule.enabled:
            return "switched off by a rule"
        limit = self.max_temperature if rule.max_temperature is None else rule.max_temperature
        heat = _heat(request.params)
        if heat > limit:
            return f"temperature {heat:g}"
        many = request.params.get("n")
        if isinstance(many, int) and many > 1:
            return f"{many} answers asked for"
        acting = acting_offer(request) if rule.tool_calls == "read" else None
        return acting and f"offers {acting!r}, which may act"

    def _kind(self, request: Request, rule: Rule) -> Kind:
        if rule.kind is not None:
            return rule.kind
        told = self._classified(_last_words(request)) if self.kinds else "general"
        return "time" if told == "general" and reads_the_web(request) else told

    def _classified(self, asked: str) -> Kind:
        """What the classifier says, which is the same for all spellings that share an address."""
        return kind(as_asked(asked) if self.fold else asked)

    def _acts(self, request: Request, reply: Reply) -> str | None:
        """Why the tool calls of an answer must not be given again."""
        if not reply.tool_calls or (request.schema is not None and not request.tools):
            return None  # without tools of the app's, a call is the adapter's own form of a structured answer
        allowed = self._rule(request).tool_calls
        if allowed == "none":
            return "calls a tool"
        acting = acting_call(request.tools, reply.tool_calls, self.read_only_tools) if allowed == "read" else None
        return acting and f"calls {acting!r}, which may act"


_NO_RULE = Rule()

_FINISHED = frozenset(
    {"stop", "end_turn", "stop_sequence", "tool_calls", "tool_use", "function_call", "complete", "completed", "eos"}
)
"""The words of OpenAI, Anthropic, Google, Cohere, Bedrock and Ollama for an answer that ended by itself."""

_ENDINGS: Mapping[str, str] = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "incomplete", "model_length"), "cut at the output limit"),
    **dict.fromkeys(("content_filter", "safety", "content_filtered", "guardrail_intervened", "recitation",
                     "prohibited_content", "blocklist", "spii", "error_toxic"), "filtered"),
    "refusal": "refused",
}  # fmt: skip


def _unfinished(reply: Reply, *, streamed: bool) -> str | None:
    """Why an answer is not whole, or cannot be shown again."""
    if not reply.complete:
        return "cut off"
    if not reply.storable:
        return "no faithful JSON form, or other settings meanwhile"
    finish = reply.finish_reason
    if finish is None:
        if streamed:
            return "the stream did not say why it ended"
    elif finish.lower() not in _FINISHED:
        return _ENDINGS.get(finish.lower(), f"ended with {finish!r}")
    if not reply.tool_calls and not _says_something(reply):
        return "empty"
    return None


def _says_something(reply: Reply) -> bool:
    """Whether there are words in an answer, or a block that is not words, as an image is."""
    if words(reply).strip():
        return True
    return not isinstance(reply.content, str) and any(
        isinstance(block, Mapping) and "text" not in block and block.get("type") not in _THOUGHTS
        for block in reply.content
    )


_THOUGHTS = frozenset({"reasoning", "reasoning_content", "thinking", "redacted_thinking"})


def _last_words(request: Request) -> str:
    """The last turn of the user."""
    return next((message.text for message in reversed(request.messages) if message.role == "user"), "")


def _heat(params: Mapping[str, Json]) -> float:
    """The highest temperature that a request names, also among the extra arguments that go to the provider as they are."""
    named = params.get("temperature")
    found = float(named) if isinstance(named, int | float) else 0.0
    for name in _EXTRAS.intersection(params):
        inner = params[name]
        if isinstance(inner, Mapping):
            found = max(found, _heat(inner))
    return found


_EXTRAS = frozenset({"extra_body", "model_kwargs", "additional_kwargs", "generation_config", "options"})
