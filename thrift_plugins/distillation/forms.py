"""What form a teacher's answers have, taken apart into classes, and put together again as the teacher would have.

A student answers labels, tags, and records of enumerations, booleans and small whole numbers. Anything else is free text,
for which there is no student.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from thrift_plugins.distillation.prompts import holds_redacted
from thrift_plugins.errors import NotDistillable
from thrift_plugins.types import NO_USAGE, Json, Reply, Request, ToolCall

Class: TypeAlias = str | int | bool | None
"""What one part of an answer may be."""

Kind: TypeAlias = Literal["text", "json", "tool"]

_MOST_CLASSES: Final = 500
_LONGEST: Final = 120
"""Characters of a label; what is longer is a sentence."""

_STRAYS: Final = 0.05
"""Share of answers that may have another form than the rest: a refusal, an excuse. A student gives none of these, and they count
as answers on which it is wrong."""

_FEWEST_PER_CLASS: Final = 2.0
"""Examples of a class on average, below which answers are not labels but texts of their own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a teacher.

    Attributes:
        text: what it says; "" where it calls a tool.
        tool: the tool that it calls, "" where it calls none.
        arguments: of that call.
    """

    text: str = ""
    tool: str = ""
    arguments: Mapping[str, Json] | None = None

    @classmethod
    def of(cls, reply: Reply) -> Answer | None:
        """From a reply; None where it is neither one text nor one tool call."""
        if len(reply.tool_calls) == 1:
            (call,) = reply.tool_calls
            return cls(tool=call.name, arguments=call.arguments) if isinstance(call.arguments, Mapping) else None
        if reply.tool_calls or not isinstance(reply.content, str) or not reply.content.strip():
            return None
        return cls(reply.content.strip())

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {"tool": self.tool, "arguments": self.arguments} if self.tool else {"text": self.text}


@dataclass(frozen=True, slots=True)
class Form:
    """The form of all answers of a task.

    Attributes:
        kind: a label as text, a record as JSON text, or the arguments of a tool call.
        tool: name of the tool.
        fields: names of a record's fields in their order; empty for a label.
        tags: field to its tags in order, for those that are lists.
        compact: whether the teacher writes JSON without spaces.
    """

    kind: Kind
    tool: str = ""
    fields: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] | None = None
    compact: bool = False

    @classmethod
    def of(cls, answers: Sequence[Answer], schema: Mapping[str, Json] | None = None) -> Form:
        """The form that all of these answers have.

        Args:
            schema: JSON schema of the answers, if there is one: what it does not allow is refused.

        Raises:
            NotDistillable: they have none that a student can give; says why.
        """
        tools = Counter(answer.tool for answer in answers)
        tool, often = tools.most_common(1)[0]
        if _too_few(often, answers):
            raise NotDistillable(f"the teacher calls different tools: {_listed(tools)}; a student learns one")
        own = [answer for answer in answers if answer.tool == tool]
        found = [(answer, record) for answer in own if (record := _record(answer)) is not None]
        if not tool and _too_few(len(found), own):
            return cls._label(own, schema)
        names = Counter(tuple(record) for _, record in found).most_common(1)[0][0]
        alike = [(answer, record) for answer, record in found if set(record) == set(names)]
        if _too_few(len(alike), found):
            raise NotDistillable(
                "records have different fields; give every field each time, null where it says nothing"
            )
        told = [record for _, record in alike]
        tags = {name: _tags(name, [record[name] for record in told]) for name in names if _is_list(told, name)}
        compact = sum(answer.text == _compact(record) for answer, record in alike) > len(told) / 2
        form = cls("tool" if tool else "json", tool, names, tags or None, compact and not tool)
        for name in names:
            if name not in tags:
                _check_field(name, [record[name] for record in told], _property(schema, name))
        return form

    @classmethod
    def _label(cls, answers: Sequence[Answer], schema: Mapping[str, Json] | None) -> Form:
        labels = Counter(answer.text for answer in answers)
        strange = Counter({label: labels[label] for label in labels if not _allowed(label, schema)})
        if strange.total() > _STRAYS * labels.total():
            raise NotDistillable(f"labels outside the schema: {_listed(strange)}; ask the teacher better, or allow them")
        _check_labels("the answer", labels)
        return cls("text")

    def parts(self, answer: Answer | None) -> dict[str, Class] | None:
        """The classes in an answer; None where it does not have this form."""
        if answer is None or answer.tool != self.tool:
            return None
        if self.kind == "text":
            return None if _is_no_class(answer.text) else {"": answer.text}
        record = _record(answer)
        if record is None or set(record) != set(self.fields):
            return None
        found: dict[str, Class] = {}
        for name in self.fields:
            value, known = record[name], (self.tags or {}).get(name)
            if known is None:
                if not isinstance(value, str | int | None) or _is_no_class(value):
                    return None
                found[name] = value
            elif not isinstance(value, Sequence) or isinstance(value, str) or not set(map(str, value)) <= set(known):
                return None
            else:
                found.update({_tag(name, tag): tag in value for tag in known})
        return found

    def reply(self, values: Mapping[str, Class], request: Request) -> Reply:
        """The answer that has these classes, as a model would give it."""
        if self.kind == "text":
            return _reply(str(values[""]))
        record: dict[str, Json] = {}
        for name in self.fields:
            known = (self.tags or {}).get(name)
            if known is None:
                record[name] = values[name]
            else:
                record[name] = [tag for tag in known if values[_tag(name, tag)]]
        if self.kind == "json":
            made = _reply(_compact(record) if self.compact else json.dumps(record, ensure_ascii=False))
            # a client that has parsed an answer to a schema hands the object over beside the text, and parsers ask for it
            return made if request.schema is None else replace(made, extra={**made.extra, "parsed": record})
        call = ToolCall(f"call_{request.id[-24:]}", self.tool, record)
        return Reply("", NO_USAGE, (call,), "tool_calls", extra=_told("tool_calls"))

    def told(self) -> dict[str, Any]:
        """As JSON."""
        tags = {name: list(known) for name, known in (self.tags or {}).items()}
        return {
            "kind": self.kind,
            "tool": self.tool,
            "fields": list(self.fields),
            "tags": tags,
            "compact": self.compact,
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Form:
        """What `told` gave. Raises `KeyError`, `TypeError` or `ValueError` where it is not that."""
        tags = {str(name): tuple(map(str, known)) for name, known in dict(told["tags"]).items()}
        kind = told["kind"]
        if kind not in ("text", "json", "tool"):
            raise ValueError(f"no form of answer: {kind!r}")
        return cls(kind, str(told["tool"]), tuple(map(str, told["fields"])), tags or None, bool(told["compact"]))


def outside(parts: Mapping[str, Class], schema: Mapping[str, Json] | None) -> bool:
    """Whether an answer has a class that its JSON schema does not allow."""
    return not all(_allowed(value, _property(schema, name) if name else schema) for name, value in parts.items())


def _allowed(value: Class, schema: Mapping[str, Json] | None) -> bool:
    named = (schema or {}).get("enum")
    return not isinstance(named, list | tuple) or value in named


def _too_few(count: int, of: Sequence[object]) -> bool:
    """Whether more of these are strays than may be."""
    return count < (1 - _STRAYS) * len(of)


def _is_no_class(value: Class) -> bool:
    """Whether it is a sentence, or holds what was taken out before it was written down, which nobody can put back."""
    return isinstance(value, str) and (len(value) > _LONGEST or holds_redacted(value))


def _reply(text: str) -> Reply:
    return Reply(text, NO_USAGE, finish_reason="stop", extra=_told("stop"))


def _told(finish: str) -> dict[str, Json]:
    return {"response_metadata": {"finish_reason": finish}}


def _record(answer: Answer) -> Mapping[str, Json] | None:
    """The record in an answer, if it is one."""
    if answer.tool:
        return answer.arguments
    if not answer.text.startswith("{"):
        return None
    try:
        found = json.loads(answer.text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found else None


def _compact(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _tag(name: str, tag: str) -> str:
    return f"{name}[{tag}]"


def _is_list(records: Sequence[Mapping[str, Json]], name: str) -> bool:
    return sum(isinstance(record[name], list | tuple) for record in records) > len(records) / 2


def _tags(name: str, lists: Sequence[Json]) -> tuple[str, ...]:
    """The tags of a field, in the order in which the teacher writes them."""
    places: dict[str, list[int]] = {}
    alike = [value for value in lists if isinstance(value, list | tuple) and all(isinstance(tag, str) for tag in value)]
    if _too_few(len(alike), lists):
        raise NotDistillable(f"field {name!r} must be a list of strings in every answer")
    for value in alike:
        for at, tag in enumerate(value):
            places.setdefault(str(tag), []).append(at)
    _check_labels(f"field {name!r}", Counter({tag: len(found) for tag, found in places.items()}))
    known = [tag for tag in places if not _is_no_class(tag)]
    return tuple(sorted(known, key=lambda tag: (sum(places[tag]) / len(places[tag]), tag)))


def _property(schema: Mapping[str, Json] | None, name: str) -> Mapping[str, Json]:
    known = (schema or {}).get("properties")
    found = known.get(name) if isinstance(known, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _check_field(name: str, values: Sequence[Json], schema: Mapping[str, Json]) -> None:
    odd = Counter(type(value).__name__ for value in values if not isinstance(value, str | int | None))
    if odd.total() > _STRAYS * len(values):
        raise NotDistillable(
            f"field {name!r} has values of type {_listed(odd)}; a student gives strings, booleans and whole numbers"
        )
    strange = [str(value) for value in values if isinstance(value, str | int | None) and not _allowed(value, schema)]
    if len(strange) > _STRAYS * len(values):
        raise NotDistillable(f"field {name!r} has values outside the schema: {_listed(set(strange))}")
    _check_labels(f"field {name!r}", Counter(map(str, values)))


def _check_labels(where: str, labels: Counter[str]) -> None:
    most = _STRAYS * labels.total()
    if sum(labels[label] for label in labels if len(label) > _LONGEST) > most:
        raise NotDistillable(
            f"{where} is free text, for which there is no student; show the teacher's answers to a cheaper model instead"
            " (examples/10_examples_for_a_cheaper_model.py)"
        )
    if sum(labels[label] for label in labels if holds_redacted(label)) > most:
        raise NotDistillable(
            f"{where} holds addresses, keys or numbers, which are not kept: let the teacher answer with names for them"
        )
    if len(labels) > _MOST_CLASSES or labels.total() < _FEWEST_PER_CLASS * len(labels):
        raise NotDistillable(
            f"{where} has {len(labels)} different values in {labels.total()} examples: those are no classes"
        )


def _listed(found: Any) -> str:
    names = sorted(map(repr, found))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
