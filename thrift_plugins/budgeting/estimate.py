"""What a call may cost at most, before it is made, and how long an answer a remainder pays for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thrift_plugins.budgeting.budget import Unit
from thrift_plugins.prices import Rates
from thrift_plugins.types import Nano, Request, Tier, Usage


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that a call can use.

    Attributes:
        input_tokens: an upper bound.
        output_tokens: the most that each answer is given, hidden reasoning included.
        answers: how many are asked for.
        rates: what they cost, None where nobody knows.
        input_rate: pico-dollars per input token at most: what is written to a prompt cache costs more than plain input.
    """

    input_tokens: int
    output_tokens: int
    answers: int
    rates: Rates | None
    input_rate: int

    @classmethod
    def of(cls, request: Request, input_tokens: int, output_tokens: int, rates: Rates | None) -> Estimate:
        """The estimate for a request."""
        many = request.params.get("n")
        answers = many if isinstance(many, int) and many > 1 else 1
        return cls(input_tokens, output_tokens, answers, rates, _dearest_input(request, rates))

    def amount(self, unit: Unit, output_tokens: int | None = None) -> int:
        """What it comes to, in nano-dollars or tokens.

        Args:
            output_tokens: instead of the most that each answer is given.
        """
        out = (self.output_tokens if output_tokens is None else output_tokens) * self.answers
        if unit == "tokens":
            return self.input_tokens + out
        if self.rates is None:
            return 0
        return _nano_up(self.input_tokens * self.input_rate + out * self._output_rate + self.rates.request)

    @property
    def _output_rate(self) -> int:
        rates = self.rates
        return max(rates.output, rates.reasoning, rates.output_audio) if rates else 0


def affordable(estimate: Estimate, unit: Unit, left: int) -> int:
    """Output tokens for each answer that what is left pays for, beside the input; never more than were estimated."""
    spare = left - estimate.amount(unit, 0)
    if spare <= 0:
        return 0
    low, high = 0, estimate.output_tokens
    while low < high:  # by trying: rounding up makes the inverse a guess
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimate.amount(unit, middle) <= left else (low, middle - 1)
    return low


def spent(unit: Unit, usage: Usage, cost: Nano | None) -> int:
    """What a call came to, in nano-dollars or tokens. An unknown cost is 0."""
    return usage.input_tokens + usage.output_tokens if unit == "tokens" else cost or 0


_ANY = 16_384
"""Output tokens where neither the app nor the model says how many there may be. Few answers are longer."""


def most_output(tier: Tier) -> tuple[int, bool]:
    """The most output tokens of an answer, and whether that is known: the app asks for it, or the model can no more."""
    known = [limit for limit in (tier.limit, tier.max_output) if limit]
    return (min(known), True) if known else (_ANY, False)


def _dearest_input(request: Request, rates: Rates | None) -> int:
    if rates is None:
        return 0
    most = max(rates.input, rates.cache_write, rates.cache_write_1h, rates.input_audio)
    return most if most > rates.input and _marks(request) else rates.input


def _marks(request: Request) -> bool:
    """Whether anything in the request may be charged above plain input: marks for a prompt cache, audio."""
    return _has_mark([request.params, *request.tools]) or any(
        isinstance(block, Mapping) and ("cache_control" in block or "audio" in str(block.get("type", "")))
        for message in request.messages
        if not isinstance(message.content, str)
        for block in message.content
    )


def _has_mark(told: object) -> bool:
    """Whether a mark for a prompt cache is anywhere in it: on a tool, or in what is sent as it is."""
    if isinstance(told, Mapping):
        return "cache_control" in told or any(map(_has_mark, told.values()))
    return isinstance(told, list | tuple) and any(map(_has_mark, told))


def _nano_up(pico: int) -> Nano:
    return -(-pico // 1_000)
