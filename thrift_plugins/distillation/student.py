"""A trained student: reads a request, has an opinion, and knows from which chance on it may say so."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np

from thrift_plugins.distillation import artifact
from thrift_plugins.distillation.certificate import Certificate
from thrift_plugins.distillation.forms import Answer, Form
from thrift_plugins.distillation.heads import Head, Mind, Opinion, Trust
from thrift_plugins.distillation.life import Usual
from thrift_plugins.distillation.prompts import CONVERSATION, Frame, asked, redacted
from thrift_plugins.distillation.reading import Mix, Postings, Reader
from thrift_plugins.errors import ConfigError
from thrift_plugins.text.embed import Embedder, word_embedder
from thrift_plugins.types import Request

_KEYS: Final = ("words", "letters")


@dataclass(frozen=True, slots=True)
class Student:
    """What `distill run` makes.

    Attributes:
        task: whose answers it gives.
        teacher: the model that it follows, as its provider names it.
        prompt: digest of the prompt that the teacher was given.
        certificate: what is promised, and from which chance on.
        tokens: mean input and output tokens of the teacher's answers.
        about: how it was trained, for reports.
        version: digest of the file; "" before it is saved.
    """

    task: str
    teacher: str
    prompt: str
    form: Form
    frame: Frame
    mind: Mind
    certificate: Certificate
    tokens: tuple[float, float] = (0.0, 0.0)
    embedder: Embedder | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def usual(self) -> Usual | None:
        """What requests are like, as far as its training tells."""
        told = self.about.get("usual")
        return None if told is None else Usual(*map(float, told))

    def text_of(self, request: Request) -> str:
        """What it reads of a request.

        Raises:
            Unreadable: it cannot answer this request; says why.
        """
        found = asked(request)
        if isinstance(found, str):
            raise Unreadable(found)
        if request.params.get("logprobs") or request.params.get("n") not in (None, 1):
            raise Unreadable("more is asked for than one answer")
        if not all(map(self._knows, found.shots)):
            raise Unreadable(CONVERSATION)
        if self.prompt and found.prompt != self.prompt:
            raise Unreadable(CHANGED)
        inside = self.frame.inside(redacted(found.text))  # the frame was found in texts that were redacted
        if inside is None:
            raise Unreadable(CHANGED)
        return inside

    def _knows(self, said: str) -> bool:
        """Whether an answer is one of the task's."""
        parts = self.form.parts(Answer(said))
        return parts is not None and all(parts.get(head.name) in head.classes for head in self.mind.heads)

    def opinion(self, request: Request) -> Opinion:
        """What it would answer. Raises `Unreadable`."""
        return self.mind.answer(self.text_of(request), self.embedder)

    def save(self, path: str | Path) -> str:
        """Write it; gives its version.

        Raises:
            ConfigError: it is too large.
        """
        data = self.packed()
        artifact.write(path, data)
        return version_of(data)

    def packed(self) -> bytes:
        """The bytes of its file.

        Raises:
            ConfigError: it is too large.
        """
        return artifact.dump(_told(self), _arrays(self.mind))

    @classmethod
    def load(cls, path: str | Path, embedder: Embedder | None = None) -> Student:
        """Read it back.

        Args:
            embedder: the word vectors that it was trained with, where they are not the built-in ones.

        Raises:
            ConfigError: it is no student, was changed since it was trained, or its word vectors are not here.
        """
        data = artifact.read(path)
        about, arrays = artifact.load(data, str(path))
        try:
            made = _made(about, arrays)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{path} is no student: {type(error).__name__} {error}") from error
        needed = about.get("embedder", "")
        return _with(made, version_of(data), _embedder(needed, embedder, str(path)))


CHANGED: Final = "the prompt has changed since it was trained"


class Unreadable(Exception):
    """A request that a student cannot answer."""


def version_of(data: bytes) -> str:
    """By which a student is known to every worker."""
    return hashlib.sha256(data).hexdigest()[:16]


def _with(student: Student, version: str, embedder: Embedder | None) -> Student:
    return replace(student, version=version, embedder=embedder)


def _embedder(name: str, given: Embedder | None, path: str) -> Embedder | None:
    if not name:
        return None
    found = given if given is not None else word_embedder()
    if found is None or found.name != name:
        have = "none" if found is None else repr(found.name)
        raise ConfigError(
            f"{path} was trained with the word vectors {name!r}, and there are {have}: install"
            " 'thrift-plugins[semantic]', give embedder=, or train it anew without them"
        )
    return found


def _told(student: Student) -> dict[str, Any]:
    mind = student.mind
    certificate = asdict(student.certificate)
    if not isfinite(student.certificate.threshold):
        certificate["threshold"] = None
    return {
        "task": student.task,
        "teacher": student.teacher,
        "prompt": student.prompt,
        "form": student.form.told(),
        "frame": [student.frame.before, student.frame.behind],
        "certificate": certificate,
        "tokens": list(student.tokens),
        "embedder": student.embedder.name if student.embedder and mind.reader.vectors.shape[1] else "",
        "mix": asdict(mind.mix),
        "ridge": mind.ridge,
        "balanced": mind.balanced,
        "heads": [
            {"name": head.name, "classes": list(head.classes), "weights": list(head.trust.weights), "record": list(head.trust.record)}
            for head in mind.heads
        ],
        "about": dict(student.about),
    }  # fmt: skip


def _arrays(mind: Mind) -> artifact.Arrays:
    found: artifact.Arrays = {}
    for name in _KEYS:
        postings: Postings = getattr(mind.reader, name)
        for part in ("keys", "starts", "rows", "lengths"):
            array = getattr(postings, part)
            found[f"{name}.{part}"] = array.astype(np.uint16) if part == "rows" else array
    found["centre"] = mind.reader.centre
    found["vectors"] = mind.reader.vectors.astype(np.float16)
    for at, head in enumerate(mind.heads):
        found[f"head{at}"] = head.weights
    return found


def _made(about: Mapping[str, Any], arrays: artifact.Arrays) -> Student:
    told = dict(about["certificate"])
    told["threshold"] = inf if told["threshold"] is None else float(told["threshold"])
    form = Form.read(about["form"])
    before, behind = map(str, about["frame"])
    expected, given = map(float, about["tokens"])
    made = Student(
        str(about["task"]), str(about["teacher"]), str(about["prompt"]), form, Frame(before, behind), _mind(about, arrays),
        Certificate(**told), (expected, given), None, dict(about["about"]),
    )  # fmt: skip
    if made.usual is not None and not 0 < made.usual.allowed < 1:
        raise ValueError("what is usual is no share")
    return made


def _mind(about: Mapping[str, Any], arrays: artifact.Arrays) -> Mind:
    by_word, by_letter = (_postings(name, arrays) for name in _KEYS)
    count = len(by_word.lengths)
    vectors = arrays["vectors"].astype(np.float32)
    if len(by_letter.lengths) != count or vectors.shape[:1] != (count,) or arrays["centre"].shape != vectors.shape[1:]:
        raise ValueError("its parts are of different sizes")
    heads: list[Head] = []
    for at, told in enumerate(about["heads"]):
        weights, classes = arrays[f"head{at}"], tuple(told["classes"])
        record, trust = tuple(map(float, told["record"])), tuple(map(float, told["weights"]))
        if weights.shape != (count, len(classes)) or len(record) != len(classes) or len(trust) != 4 or not classes:
            raise ValueError("a head is of another size")
        heads.append(Head(str(told["name"]), classes, weights, Trust(trust, record)))
    if not heads:
        raise ValueError("it has no head")
    reader = Reader(by_word, by_letter, arrays["centre"], vectors)
    return Mind(reader, Mix(**about["mix"]), float(about["ridge"]), bool(about["balanced"]), tuple(heads))


def _postings(name: str, arrays: artifact.Arrays) -> Postings:
    keys, starts, rows, lengths = (arrays[f"{name}.{part}"] for part in ("keys", "starts", "rows", "lengths"))
    fits = len(keys) == len(starts) - 1 and (not len(rows) or 0 <= rows.min() <= rows.max() < len(lengths))
    if not fits or (len(starts) and (starts[0] != 0 or starts[-1] != len(rows) or (np.diff(starts) < 0).any())):
        raise ValueError(f"its {name} do not fit together")
    return Postings(keys, starts, rows.astype(np.int32), lengths)
