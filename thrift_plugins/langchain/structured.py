"""Structured output over tiers: each tier asks in its own native way, and each answer is read by its own parser.

A tier's own `with_structured_output` gives a chain with its model inside. The model is taken out and becomes a
binding of ours, so that cache, routing and ledger see the call; what is left of the chain reads the answer.
"""

# ruff: noqa: A002  LangChain's names

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableConfig,
    RunnableParallel,
    RunnablePassthrough,
    RunnableSequence,
)

Chain = Runnable[Any, Any]


def split(chain: Chain, model: BaseChatModel) -> tuple[Chain, Chain] | None:
    """A structured-output chain as (the bound model in it, the rest, which takes the model's message).

    Returns None where the chain does not contain the model exactly once in a form that is known.
    """
    found: list[Chain] = []
    rest = _without(chain, model, found)
    return (found[0], rest) if len(found) == 1 else None


def _without(chain: Chain, model: BaseChatModel, found: list[Chain]) -> Chain:
    if chain is model or (isinstance(chain, RunnableBinding) and chain.bound is model):
        found.append(chain)
        return RunnablePassthrough()
    if isinstance(chain, RunnableSequence):
        steps = [_without(step, model, found) for step in chain.steps]
        if isinstance(steps[0], RunnablePassthrough) and not isinstance(chain.steps[0], RunnablePassthrough):
            steps = steps[1:]
        return RunnableSequence(*steps, name=chain.name) if len(steps) > 1 else steps[0]
    if isinstance(chain, RunnableParallel):
        return RunnableParallel({name: _without(step, model, found) for name, step in chain.steps__.items()})
    return chain


def native(model: BaseChatModel, schema: Any, *, include_raw: bool, options: Mapping[str, Any]) -> tuple[Chain, Chain]:
    """A tier's own structured output, split; by tool calling where its own has a form that cannot be split.

    Raises:
        NotImplementedError: the tier has no structured output.
    """
    own = split(model.with_structured_output(schema, include_raw=include_raw, **options), model)
    if own is None:
        own = split(BaseChatModel.with_structured_output(model, schema, include_raw=include_raw), model)
    if own is None:
        raise NotImplementedError(f"{type(model).__name__} has a structured output of a form that is not known")
    return own


class TierParser(Runnable[Any, Any]):
    """Reads an answer with the parser of the tier that gave it. Opens no run of its own.

    Args:
        parsers: tier name to what reads its messages.
    """

    def __init__(self, parsers: Mapping[str, Chain]) -> None:
        self._parsers = dict(parsers)

    def _of(self, message: Any) -> Chain:
        return self._parsers[message.response_metadata["thrift"]["tier"]]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._of(input).invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await self._of(input).ainvoke(input, config, **kwargs)

    def transform(
        self,
        input: Iterator[Any],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        first = next(input, None)
        if first is None:
            return

        def whole() -> Iterator[Any]:
            yield first
            yield from input

        yield from self._of(first).transform(whole(), config, **kwargs)

    async def atransform(
        self,
        input: AsyncIterator[Any],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        first = await anext(input, None)
        if first is None:
            return

        async def whole() -> AsyncIterator[Any]:
            yield first
            async for piece in input:
                yield piece

        async for part in self._of(first).atransform(whole(), config, **kwargs):
            yield part
