"""Judges that ask no model: they see whether two answers say the same, and not which of them is right.

So an answer that differs counts as a worse one. Between answers of one model that differ by chance they see a drop, too:
use them where the temperature is 0, or calibrate them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from thrift_plugins.quality.calibration import Calibration
from thrift_plugins.quality.judge import Consult, Judge, Judgement, Judging
from thrift_plugins.shape import words
from thrift_plugins.types import Json, Reply, Request

SHORT: Final = 12
"""Words up to which an answer is a label, a name, a number: something that is the same or is not."""


class ExactJudge:
    """The same words, whatever the spaces, the case and the mark at the end.

    Args:
        longest: words above which an answer is not judged.
        calibration: see `calibrate`.
    """

    name = "exact"

    def __init__(self, *, longest: int | None = None, calibration: Calibration | None = None) -> None:
        self._longest = longest
        self.calibration = calibration or Calibration()

    def reads(self, request: Request, reply: Reply) -> bool:  # noqa: ARG002  see `Judge`
        """Whether it can judge an answer like this one."""
        return not reply.tool_calls and (self._longest is None or len(words(reply).split()) <= self._longest)

    def judge(self, request: Request, served: Reply, other: Reply) -> Judging:  # noqa: ARG002  see `Judge`
        """Whether both say the same."""
        return _said("same" if _plain(served) == _plain(other) else "worse")


class JsonJudge:
    """The same tool calls, or the same JSON: values count, and not the order of keys, spaces, or how prose in it is put.

    Args:
        calibration: see `calibrate`.
    """

    name = "json"

    def __init__(self, *, calibration: Calibration | None = None) -> None:
        self.calibration = calibration or Calibration()

    def reads(self, request: Request, reply: Reply) -> bool:
        """Whether it can judge an answer like this one."""
        return bool(reply.tool_calls) or request.schema is not None or _value(reply) is not None

    def judge(self, request: Request, served: Reply, other: Reply) -> Judging:  # noqa: ARG002  see `Judge`
        """Whether both say the same."""
        if served.tool_calls or other.tool_calls:
            return _said("same" if _calls(served) == _calls(other) else "worse")
        first, second = _value(served), _value(other)
        if first is None or second is None:  # that it is no JSON at all is a flaw, and none of this judge's business
            return _said(None)
        told, wanted = dict(_leaves(first)), dict(_leaves(second))
        if not told and not wanted:
            return _said(None)
        return _said("same" if told == wanted else "worse")


class SimilarityJudge:
    """About the same words, as an embedder has them: a coarse judge of prose. Calibrate it before you believe it.

    Args:
        embed: rows of length 1, one a text, such as `StaticEmbedder().embed`.
        least: cosine from which two answers are the same.
        calibration: see `calibrate`; by default it is believed to be wrong in up to a fifth of the pairs.
    """

    name = "similarity"

    def __init__(
        self,
        embed: Callable[[Sequence[str]], Any],
        *,
        least: float = 0.7,
        calibration: Calibration | None = None,
    ) -> None:
        self._embed, self._least = embed, least
        self.calibration = calibration or Calibration.flips(0.0, 0.2)

    def reads(self, request: Request, reply: Reply) -> bool:  # noqa: ARG002  see `Judge`
        """Whether it can judge an answer like this one."""
        return not reply.tool_calls and bool(words(reply).strip())

    def judge(self, request: Request, served: Reply, other: Reply) -> Judging:  # noqa: ARG002  see `Judge`
        """Whether both say about the same."""
        if not words(other).strip():
            return _said(None)
        first, second = self._embed([words(served), words(other)])
        return _said("same" if float(first @ second) >= self._least else "worse")


class AutoJudge:
    """Structured answers and short ones by what they say, the others by a judge of prose, if there is one.

    Args:
        prose: the app's own judge.
    """

    def __init__(self, prose: Judge | None = None) -> None:
        self._prose = prose
        self._exact, self._json = ExactJudge(longest=SHORT), JsonJudge()

    @property
    def name(self) -> str:
        """For the ledger."""
        return f"auto+{self._prose.name}" if self._prose else "auto"

    @property
    def calibration(self) -> Calibration:
        """That of the judge of prose: the others see what is there."""
        return self._prose.calibration if self._prose else self._exact.calibration

    def reads(self, request: Request, reply: Reply) -> bool:
        """Whether it can judge an answer like this one."""
        return any(judge.reads(request, reply) for judge in self._judges())

    def judge(self, request: Request, served: Reply, other: Reply) -> Judging:
        """By the first that can judge both."""
        for judge in self._judges():
            if judge.reads(request, served) and judge.reads(request, other):
                return judge.judge(request, served, other)
        return _said(None)

    def _judges(self) -> Sequence[Judge]:
        plain: Sequence[Judge] = (self._json, self._exact)
        return (*plain, self._prose) if self._prose else plain


def _said(judgement: Judgement | None) -> Generator[Consult, Reply, Judgement | None]:
    """A judgement for which nobody was asked."""
    yield from ()
    return judgement


def _plain(reply: Reply) -> str:
    return " ".join(words(reply).split()).casefold().rstrip(".!。 ")


def _calls(reply: Reply) -> list[tuple[str, Any]]:
    return sorted(((call.name, _rounded(call.arguments)) for call in reply.tool_calls), key=repr)


def _value(reply: Reply) -> Json:
    """The JSON object or list that an answer is, with or without a fence around it; None where it is neither."""
    text = words(reply).strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0].strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        found: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found


def _leaves(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every value that is no prose, by where it is."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    elif not isinstance(value, str) or len(value.split()) < SHORT:
        yield path, _rounded(value.strip().casefold() if isinstance(value, str) else value)


def _rounded(value: Json) -> Json:
    """Whole numbers as such: 2.0 is 2 to JSON."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(inner) for inner in value]
    return value
