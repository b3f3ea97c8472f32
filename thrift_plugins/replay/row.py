"""One line of a trace as a request, checked to the last field, so that a replay cannot break on it half-way."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from thrift_plugins.types import Usage

CheckKind: TypeAlias = Literal["recorded", "label", "same_topic", "evidence", "spans"]
Kind = TypeVar("Kind")

_ROLES = frozenset({"system", "user", "assistant"})
_RESERVED = frozenset({
    "allow_parallel_tool_calls", "callbacks", "chat_history", "config", "input", "messages", "metadata", "run_id",
    "run_manager", "run_name", "self", "tags", "tool_required", "tools", "user_msg", "verbose",
})  # fmt: skip
"""What the frameworks' own methods call their arguments."""


class Unfit(ValueError):
    """What is wrong with a line."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What one recorded model answered.

    Attributes:
        text: its words, None where they were not recorded.
        score: how right it was, 0 to 1.
    """

    text: str | None
    score: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class Check:
    """How an answer is judged.

    Attributes:
        gold: for "label": the right answer.
        topic: for "same_topic": what the request is about.
        any_of: for "evidence": texts of which one must have been sent.
        turns: for "spans": texts that count by the share of them that was sent.
    """

    kind: CheckKind
    gold: str = ""
    topic: str = ""
    any_of: Sequence[str] = ()
    turns: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded request.

    Attributes:
        t: seconds from the trace's start.
        deadline: seconds that the answer may take, None where someone waits for it.
        messages: each with a `role` of system, user or assistant, and its text as `content`.
        tools: each an OpenAI-style function object.
        arms: model to what it answered.
    """

    id: str
    t: float
    tenant: str
    user: str
    feature: str
    deadline: float | None
    messages: Sequence[Mapping[str, str]]
    tools: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any]
    baseline: str
    arms: Mapping[str, Arm]
    check: Check


def row_of(record: Mapping[str, Any], priced: Container[str]) -> Row:
    """The request that a line of a trace holds.

    Args:
        priced: the models that have a price.

    Raises:
        Unfit: a field is missing or is not what it must be, or a model has no arm or no price.
    """
    baseline = _need(record, "baseline", str)
    arms = {model: _arm(model, arm, priced) for model, arm in _need(record, "arms", dict).items()}
    if baseline not in arms:
        raise Unfit(f"the baseline {baseline!r} has no arm, so nothing may answer")
    return Row(
        id=_need(record, "id", str),
        t=_number(record, "t"),
        tenant=_need(record, "tenant", str),
        user=_need(record, "user", str),
        feature=_need(record, "feature", str),
        deadline=None if record.get("deadline_s") is None else _number(record, "deadline_s"),
        messages=_messages(record),
        tools=_tools(record),
        params=_params(record),
        baseline=baseline,
        arms=arms,
        check=_check(_need(record, "check", dict)),
    )


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Says where in the line a fault is."""
    try:
        yield
    except Unfit as error:
        raise Unfit(f"{place}: {error}") from error


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unfit(f"is {type(value).__name__}, not an object")
    return value


def _need(record: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    if name not in record:
        raise Unfit(f"field {name!r} is missing")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Unfit(f"field {name!r} is {type(value).__name__}, not {kind.__name__}")
    return value


def _number(record: Mapping[str, Any], name: str) -> float:
    if isinstance(record.get(name), int):
        return _need(record, name, int)
    number = _need(record, name, float)
    if not math.isfinite(number):
        raise Unfit(f"field {name!r} is {number}, not a finite number")
    return number


def _tokens(used: Mapping[str, Any], name: str) -> int:
    tokens = _need(used, name, int)
    if tokens < 0:
        raise Unfit(f"field {name!r} is {tokens}, and tokens are counted from 0")
    return tokens


def _strings(record: Mapping[str, Any], name: str) -> list[str]:
    listed: list[Any] = _need(record, name, list)
    if not all(isinstance(each, str) for each in listed):
        raise Unfit(f"field {name!r} is not a list of strings")
    return listed


def _messages(record: Mapping[str, Any]) -> list[Mapping[str, str]]:
    listed: list[Any] = _need(record, "messages", list)
    for place, message in enumerate(listed, 1):
        with _within(f"message {place}"):
            role = _need(_object(message), "role", str)
            if role not in _ROLES:
                raise Unfit(f"role {role!r} cannot be replayed, only {', '.join(sorted(_ROLES))}")
            _need(message, "content", str)
    return listed


def _tools(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if record.get("tools") is None:
        return []
    listed: list[Any] = _need(record, "tools", list)
    for place, tool in enumerate(listed, 1):
        with _within(f"tool {place}"):
            _need(_object(tool), "name", str)
    return listed


def _params(record: Mapping[str, Any]) -> dict[str, Any]:
    if record.get("params") is None:
        return {}
    params: dict[str, Any] = _need(record, "params", dict)
    if reserved := sorted(_RESERVED & params.keys()):
        raise Unfit(f"field 'params' has {', '.join(reserved)}, which no model takes as a setting")
    return params


def _arm(model: str, arm: object, priced: Container[str]) -> Arm:
    if model not in priced:
        raise Unfit(f"model {model!r} has no price in the header")
    with _within(f"the arm of {model!r}"):
        whole = _object(arm)
        text = None if "text" in whole and whole["text"] is None else _need(whole, "text", str)
        score = _number(whole, "score")
        if not 0 <= score <= 1:
            raise Unfit(f"field 'score' is {score}, not from 0 to 1")
        return Arm(text, float(score), _usage(_need(whole, "usage", dict)))


def _usage(used: Mapping[str, Any]) -> Usage:
    size = _tokens(used, "input_tokens")
    cached = _tokens(used, "cached_tokens") if "cached_tokens" in used else 0
    if cached > size:
        raise Unfit(f"field 'cached_tokens' is {cached}, more than the {size} of the whole input")
    return Usage(size, _tokens(used, "output_tokens"), cached, source="replayed")


def _check(record: Mapping[str, Any]) -> Check:
    with _within("the check"):
        match _need(record, "kind", str):
            case "recorded":
                return Check("recorded")
            case "label":
                return Check("label", gold=_need(record, "gold", str))
            case "same_topic":
                return Check("same_topic", topic=_need(record, "topic", str))
            case "evidence":
                return Check("evidence", any_of=_strings(record, "any_of"))
            case "spans":
                return Check("spans", turns=_strings(record, "turns"))
            case other:
                raise Unfit(f"kind {other!r} is not one of {', '.join(get_args(CheckKind))}")
