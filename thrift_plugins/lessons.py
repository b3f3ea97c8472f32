"""What a router is trained on without a file of labels: the questions of an app, and what each tier has said to them.

They are written down only for features that the app names, redacted, in one file that its owner alone can read. Calls in a tool
loop are left out, since a loop stays where its first call went. How good an answer was is not known here; see `labels`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from thrift_plugins.config import Config
from thrift_plugins.distillation.dataset import append_private
from thrift_plugins.distillation.prompts import redacted
from thrift_plugins.errors import ConfigError, UnknownModelPrice
from thrift_plugins.forks import new_lock
from thrift_plugins.prices import Prices
from thrift_plugins.routing import in_tool_loop
from thrift_plugins.routing.example import Example
from thrift_plugins.routing.labelled import example_of
from thrift_plugins.shape import words
from thrift_plugins.stores.open import questions_beside
from thrift_plugins.types import Reply, Request, Tier, usd

logger = logging.getLogger("thrift_plugins")

_LARGEST: Final = 20_000
"""Characters of a conversation that is worth keeping; in longer ones the question is not what matters."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question that an app has asked.

    Attributes:
        example: with what the tiers have answered, and what that cost; the scores are not known yet.
        served: name of the tier whose answer the app was given, "" where nobody wrote that down.
        drawn: whether chance had it that all tiers were asked.
    """

    example: Example
    served: str = ""
    drawn: bool = False


class Questions:
    """Writes them down. Thread-safe; several processes may write to one file.

    Args:
        path: the file.
        features: whose questions may be kept. No other is.
        share: of them, for which the other tiers are asked too, 0 to 1.
        prices: say what an answer has cost.
    """

    def __init__(self, path: Path, features: Iterable[str], share: float, prices: Prices) -> None:
        self.path, self._features, self._share, self._prices = path, frozenset(features), share, prices
        self._lock = new_lock()
        self._failed = False

    def wants(self, request: Request) -> bool:
        """Whether this request may be written down."""
        if self._failed or request.scope.feature not in self._features or in_tool_loop(request):
            return False
        return sum(len(message.text) for message in request.messages) <= _LARGEST

    def draws(self, request: Request) -> bool:
        """Whether chance has it that the other tiers are asked too."""
        return chance(request.lot) < self._share

    def record(self, request: Request, tier: Tier, reply: Reply, *, served: bool, drawn: bool) -> None:
        """Write an answer down. A disk that cannot be written is told once to the log, and no more is kept."""
        if not reply.complete:
            return
        line = json.dumps(self._told(request, tier, reply, served=served, drawn=drawn), ensure_ascii=False) + "\n"
        try:
            with self._lock:
                append_private(self.path, line.encode("utf-8", "surrogatepass"))
        except OSError as error:
            self._failed = True
            logger.warning("routing: questions are written down no more (%s)", error.strerror)

    def _told(self, request: Request, tier: Tier, reply: Reply, *, served: bool, drawn: bool) -> dict[str, Any]:
        said = {
            "text": redacted(words(reply)),
            "tool_calls": [{"name": call.name, "arguments": _clean(call.arguments)} for call in reply.tool_calls],
            "finish_reason": reply.finish_reason,
        }
        told: dict[str, Any] = {
            "id": request.id,
            "feature": request.scope.feature,
            "messages": [{"role": message.role, "content": redacted(message.text)} for message in request.messages],
            "tools": list(request.tools),
            "schema": request.schema,
            "answers": {tier.name: said},
            "costs": {},
            "served": tier.name if served else "",
            "drawn": drawn,
        }
        try:
            cost = self._prices.cost(tier.model, reply.usage, at=request.at, processing=tier.processing)
            told["costs"] = {tier.name: usd(cost)}
        except UnknownModelPrice:
            pass  # tiers are then taken to be ten times as dear as the one below
        return told


def questions_file(settings: Config) -> Path:
    """Where an app's questions are written down."""
    return Path(questions_beside(settings.store))


def lessons(path: Path) -> list[Lesson]:
    """What was written down, each question once, in the order in which they were asked. A line that was cut short is passed over.

    Raises:
        ConfigError: there is no file, or a line of it is none of ours.
    """
    found: dict[str, Lesson] = {}
    for number, line in enumerate(_lines(path), 1):
        told = _whole(line)
        if told is None:
            continue
        try:
            new = Lesson(example_of(told), str(told["served"]), told["drawn"] is True)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(f"{path}, line {number}: no question that was written down ({error})") from error
        key = new.example.request.id
        found[key] = _both(found[key], new) if key in found else new
    return list(found.values())


def chance(name: str) -> float:
    """A number from 0 to 1 that is drawn for a name: the same in every process."""
    digest = blake2b(name.encode("utf-8", "backslashreplace"), digest_size=8, person=b"lesson").digest()
    return int.from_bytes(digest) / 2**64


def _both(first: Lesson, second: Lesson) -> Lesson:
    """What two lines say of one question."""
    example = replace(
        first.example,
        replies={**second.example.replies, **first.example.replies},
        costs={**second.example.costs, **first.example.costs},
    )
    return Lesson(example, first.served or second.served, first.drawn or second.drawn)


def _whole(line: bytes) -> Any:
    """What a line says, None where it is cut short.

    Its process was killed, or the disk was full; or another process took a line that was just being written for such a one.
    """
    try:
        return json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        raise ConfigError(
            f"no questions are written down in {path}: a ledger holds no text. Name the features that may be, in routing.record, and "
            "a share for which all tiers are asked, in routing.shadow; or give a file of labels"
        ) from None
    except OSError as error:
        raise ConfigError(f"no questions can be read from {path}: {error}") from error


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list | tuple) else value


