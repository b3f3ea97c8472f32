"""An upper bound of the input tokens of any request to any model, learnt from the usage that comes back.

Providers add to a prompt what no request shows: instructions for tools, roles, results of searches. What they add is
much the same for one model and one set of tools; so for each of these the usage of some requests is remembered, and a
request is bounded by those of them that are most like it: by what they were billed, and the most that the difference
can be. The first request to a model with a set of tools is bounded by what its family of models may add.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from typing import Final

from thrift_plugins.forks import new_lock
from thrift_plugins.tokens.extent import Extent, extent_of
from thrift_plugins.tokens.families import BEHIND, Family, declared, family_of, steady, unsteady
from thrift_plugins.tokens.prompts import compact
from thrift_plugins.types import Json, Request, Usage

_PRIMING = 3
_POINTS = 16
_KEYS = 4_096
_SURE = 3
_NEAR, _NEARBY = 2.0, 24
"""How much less like the request than the most like one a remembered one may be, to have a say."""
_MARGIN, _DOUBT = 0.04, 0.2
_UNSURE, _UNSURE_FLAT = 0.15, 40
_FORMAT: Final = "thrift-bounds/1"


@dataclass(frozen=True, slots=True)
class _Point:
    """A request that was billed."""

    extent: Extent
    billed: int


@dataclass(slots=True)
class _Known:
    """What is remembered of one model with one set of tools."""

    points: list[_Point]
    seen: int = 0

    def add(self, point: _Point, family: Family) -> None:
        self.seen += 1
        for place, old in enumerate(self.points):
            if old.extent == point.extent:
                if point.billed > old.billed:
                    self.points[place] = point
                return
        if len(self.points) >= _POINTS:
            point = self._joined(point, family)
        self.points.append(point)

    def _joined(self, new: _Point, family: Family) -> _Point:
        """Take out the point that is most like the new one, and let the new one stand for both."""
        old = min(self.points, key=lambda point: family.between(point.extent, new.extent)[1])
        self.points.remove(old)
        return _Point(new.extent, max(new.billed, old.billed + ceil(family.between(old.extent, new.extent)[0])))


class Bounds:
    """Upper bounds that learn. One object for an app: threads may share it, processes by `drain` and `merge`.

    Its memory is bounded: of 4,096 pairs of a model and a set of tools it remembers sixteen requests each, as numbers
    only. The least used pair is forgotten first, and is then at first sight again.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._news: OrderedDict[str, _Known] = OrderedDict()
        self._lock = new_lock()

    def bound(self, request: Request, model: str) -> int:
        """The most input tokens that the request can be billed by the model, as far as anybody can tell."""
        family, extent, key = family_of(model), extent_of(request.messages, model), _key(request, model)
        varying = unsteady(request.tools, request.params)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return _learnt(known, extent, family, varying)
        around = declared(family, model, request.tools, request.schema) + steady(request.params) + varying
        return ceil(family.more(extent)) + around + _PRIMING

    def learn(self, request: Request, model: str, usage: Usage) -> None:
        """Remember what a request was billed. A usage that the provider did not tell teaches nothing."""
        if usage.source != "provider" or usage.input_tokens <= 0:
            return
        point = _Point(extent_of(request.messages, model), usage.input_tokens)
        key = _key(request, model)
        with self._lock:
            _of(self._known, key).add(point, family_of(model))
            self._note(key, point)

    def _note(self, key: str, point: _Point) -> None:
        """Keep the latest requests of each key as they are for others, who join them with theirs."""
        news = _of(self._news, key)
        news.seen += 1
        news.points.append(point)
        del news.points[:-_POINTS]

    def sightings(self, request: Request, model: str) -> int:
        """How many requests with these tools the model is known to have been billed for."""
        with self._lock:
            known = self._known.get(_key(request, model))
            return known.seen if known else 0

    def drain(self) -> str:
        """What was learnt by `learn` since the last time, as a text for `merge`: numbers and digests; "" for nothing."""
        with self._lock:
            news, self._news = self._news, OrderedDict()
        known = {
            key: {"seen": one.seen, "points": [[*point.extent, point.billed] for point in one.points]}
            for key, one in news.items()
        }
        return json.dumps({"format": _FORMAT, "known": known}, separators=(",", ":")) if known else ""

    def merge(self, text: str) -> None:
        """Learn what another process has drained.

        Raises:
            ValueError: it is not that; nothing is learnt.
        """
        news = _read(text)
        with self._lock:
            for key, one in news:
                known, family = _of(self._known, key), family_of(key.partition("|")[0])
                for point in one.points:
                    known.add(point, family)
                known.seen += one.seen - len(one.points)


def _of(known: OrderedDict[str, _Known], key: str) -> _Known:
    """What is remembered under a key, which is the last to be forgotten now."""
    one = known.setdefault(key, _Known([]))
    known.move_to_end(key)
    if len(known) > _KEYS:
        known.popitem(last=False)
    return one


def _read(text: str) -> list[tuple[str, _Known]]:
    """What `Bounds.drain` has written."""
    try:
        told = json.loads(text)
        if told["format"] != _FORMAT:
            raise ValueError(f"bounds must be of the format {_FORMAT!r}, not {told['format']!r}")
        known: list[tuple[str, _Known]] = []
        for key, one in told["known"].items():
            points = [_Point(Extent(*map(int, row[:-1])), int(row[-1])) for row in one["points"][:_POINTS]]
            if points:
                known.append((str(key), _Known(points, max(len(points), int(one["seen"])))))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no bounds can be read from this text: {error!r}") from error
    return known


def _learnt(known: _Known, extent: Extent, family: Family, varying: int) -> int:
    told = [(point.billed, *family.between(point.extent, extent)) for point in known.points]
    nearest = min(width for _, _, width in told)
    if varying:  # any of them may be like this one, and what has not been seen yet grows rarer
        most = max(billed + max(0.0, more) for billed, more, _ in told) + varying / (known.seen + 1)
    else:
        most = max(billed + more for billed, more, width in told if width <= nearest * _NEAR + _NEARBY)
    if known.seen >= _SURE:
        return ceil(most * (1 + _MARGIN) + nearest * _DOUBT) + 1
    return ceil(most * (1 + _UNSURE)) + _UNSURE_FLAT


def _key(request: Request, model: str) -> str:
    """The model, and a digest of what is sent around the messages."""
    behind = BEHIND & request.params.keys()
    name = model.strip().lower()
    if not (request.tools or request.schema is not None or behind):
        return name
    named = {param: _stable(param, request) for param in sorted(behind)}
    around = compact([request.tools, request.schema, named])
    return f"{name}|{blake2b(around.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def _stable(param: str, request: Request) -> Json:
    """A parameter's value where it stays the same from call to call, else only that it is there."""
    return request.params[param] if "cache" in param else True
