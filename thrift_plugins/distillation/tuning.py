"""Fine-tuning at a provider: OpenAI's flow of files and jobs, which others speak too. One paid job, whatever interrupts it.

What is about to be done is written down before it is done. A run that was killed goes on where it was; one that was killed
between asking for a job and hearing of it finds that job among the provider's by its mark, and does not ask for a second.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil, inf
from pathlib import Path
from typing import Any, Final, Protocol

from thrift_plugins.distillation.dataset import Example, write_private
from thrift_plugins.errors import ConfigError, NotDistillable, ThriftError
from thrift_plugins.tokens import count_messages
from thrift_plugins.types import Message

LAST_DAY: Final = date(2027, 1, 6)
"""From which on OpenAI takes no new self-serve jobs (its deprecations page, as of November 2026)."""

GONE: Final = date(2027, 1, 14)
"""On which OpenAI shuts down gpt-4o, gpt-4.1, their small ones, and every fine-tune of them."""

FEWEST: Final = 10
MARK: Final = "thrift_run"
ENDED: Final = ("succeeded", "failed", "cancelled")
_OPENAI: Final = "api.openai.com"


class Jobs(Protocol):
    """A provider's files and jobs. Every method may raise `TuningError`."""

    @property
    def host(self) -> str: ...
    def upload(self, name: str, data: bytes) -> str: ...
    def create(self, body: Mapping[str, Any]) -> dict[str, Any]: ...
    def job(self, job: str) -> dict[str, Any]: ...
    def marked(self, run: str) -> dict[str, Any] | None: ...
    def checkpoints(self, job: str) -> list[dict[str, Any]]: ...
    def shutdown(self, model: str) -> date | None: ...


class TuningError(ThriftError):
    """A provider did not do what was asked."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a job is expected to cost, before it is asked for.

    Attributes:
        tokens: of the training file, once.
        epochs: how often it is read.
        usd: tokens x epochs x price.
        break_even: requests after which it is paid back, infinite where it never is.
        why: why it should not be done, "" where nothing speaks against it.
    """

    tokens: int
    epochs: int
    usd: float
    break_even: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """What is uploaded: training and validation texts, which have no text in common."""

    train: bytes
    validation: bytes
    tokens: int

    @classmethod
    def of(cls, examples: Sequence[Example], model: str, system: str = "") -> Files:
        """The files of recorded answers.

        Args:
            system: the instructions that the tuned model will be given when it serves; they must be the same.

        Raises:
            NotDistillable: too few.
        """
        lines = [(example.split, _line(example, system)) for example in examples]
        train = [line for split, line in lines if split == "train"]
        if len(train) < FEWEST:
            raise NotDistillable(
                f"{len(train)} training examples are too few: providers want {FEWEST}, and 50 to 100 help"
            )
        return cls._counted(_file(train), _file([line for split, line in lines if split == "test"]), model)

    @classmethod
    def kept(cls, journal: Path, model: str) -> Files | None:
        """The files of a run that was begun, None where there is none: what was recorded since is for another run.

        Raises:
            ConfigError: the run was begun, and its files are gone.
        """
        if not journal.is_file():
            return None
        try:
            train, validation = (path.read_bytes() for path in _beside(journal))
        except OSError as error:
            raise ConfigError(
                f"the files of the run in {journal} cannot be read ({error.strerror}): look at your provider's list of jobs"
                " before you delete it"
            ) from error
        return cls._counted(train, validation, model)

    def keep(self, journal: Path) -> None:
        """Write them beside a journal."""
        for path, data in zip(_beside(journal), (self.train, self.validation), strict=True):
            write_private(path, data)

    @classmethod
    def _counted(cls, train: bytes, validation: bytes, model: str) -> Files:
        return cls(train, validation, sum(_tokens(json.loads(line), model) for line in train.splitlines()))

    @property
    def digest(self) -> str:
        """Of both."""
        return hashlib.sha256(self.train + b"\0" + self.validation).hexdigest()


def _beside(journal: Path) -> tuple[Path, Path]:
    return journal.with_suffix(".train.jsonl"), journal.with_suffix(".validation.jsonl")


def asked_already(journal: Path) -> bool:
    """Whether the run of a journal may have asked for its job: what that costs was agreed to, and can only be found again.

    Raises:
        ConfigError: the journal is damaged.
    """
    return journal.is_file() and not _read(journal).keys().isdisjoint(("asking", "job"))


def _read(journal: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(journal.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{journal} is damaged: look at your provider's list of jobs before you delete it") from error
    return told


def _line(example: Example, system: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": example.text})
    if example.answer.tool:
        arguments = json.dumps(example.answer.arguments, ensure_ascii=False)
        call = {"id": "call_1", "type": "function", "function": {"name": example.answer.tool, "arguments": arguments}}
        messages.append({"role": "assistant", "tool_calls": [call]})
    else:
        messages.append({"role": "assistant", "content": example.answer.text})
    return {"messages": messages}


def _tokens(line: Mapping[str, Any], model: str) -> int:
    said = [Message(each["role"], each.get("content") or json.dumps(each["tool_calls"])) for each in line["messages"]]
    return count_messages(said, model)


def _file(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON lines with plain line ends and without a byte order mark."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode("utf-8", "replace")


def quote(
    tokens: int,
    epochs: int,
    *,
    training: float,
    saved: float,
    host: str = _OPENAI,
    rent: float = 0.0,
    requests: float = 0.0,
    today: date,
    shutdown: date | None = None,
) -> Quote:
    """What a job costs, and whether it pays.

    Args:
        training: US dollars for a million trained tokens. No list of prices has it.
        saved: US dollars that an answer of the tuned model is cheaper than one of the teacher.
        rent: US dollars a day for machines that serve the tuned model, where its host rents them out.
        requests: a day.
        shutdown: when the model is shut down, if its provider says.
    """
    usd = tokens * epochs * training / 1e6
    a_day = requests * saved - rent
    until = min([each for each in (shutdown, GONE if host == _OPENAI else None) if each], default=None)
    break_even = ceil(usd / a_day * requests) if a_day > 0 and requests else inf
    return Quote(tokens, epochs, usd, break_even, _against(usd, a_day, host, today, until, rent))


def _against(usd: float, a_day: float, host: str, today: date, until: date | None, rent: float) -> str:
    if host == _OPENAI and today >= LAST_DAY:
        return f"OpenAI takes no new fine-tuning jobs since {LAST_DAY}; train a local student instead (distill run)"
    if a_day <= 0:
        rented = (
            " than the machines that serve the tuned model cost" if rent else " a day: give --requests, or leave it"
        )
        return f"it saves less{rented}"
    if until is not None and today + timedelta(days=usd / a_day) >= until:
        return f"it would not have paid for itself before the model is shut down on {until}"
    return ""


class Tuning:
    """One run: its files, its job, and its journal.

    Args:
        jobs: the provider.
        journal: file in which the run is written down.
        clock: seconds since the epoch.
        sleep: waits so many seconds.
    """

    def __init__(
        self, jobs: Jobs, journal: Path, *, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._jobs, self._journal, self._clock, self._sleep = jobs, journal, clock, sleep

    def run(
        self, files: Files, *, model: str, epochs: int, seed: int, suffix: str, patience: float = 86_400.0
    ) -> dict[str, Any]:
        """Ask for the job, or go on with the one that was asked for, and wait for its end.

        Args:
            suffix: part of the tuned model's name, at most 64 characters.
            patience: seconds to wait; the run can be called again afterwards.

        Returns:
            The journal: `job`, `status`, `tuned_model`, `trained_tokens`, `checkpoints`, and `error` where it failed.

        Raises:
            ConfigError: the journal is of another run.
            TuningError: the provider did not do what was asked; the run can be called again.
        """
        run = hashlib.sha256(json.dumps([files.digest, model, epochs, seed, suffix]).encode()).hexdigest()[:32]
        told = self._begun(run, model, files)
        for name, data in (("training_file", files.train), ("validation_file", files.validation)):
            if name not in told and data:
                told = self._note(told, **{name: self._jobs.upload(f"{name}.jsonl", data)})
        if "job" not in told:
            told = self._asked(told, run, model=model, epochs=epochs, seed=seed, suffix=suffix)
        return self._awaited(told, self._clock() + patience)

    def _begun(self, run: str, model: str, files: Files) -> dict[str, Any]:
        if not self._journal.is_file():
            files.keep(self._journal)
            return self._note({}, run=run, model=model, began=datetime.fromtimestamp(self._clock(), UTC).isoformat())
        told = _read(self._journal)
        if told.get("run") != run:
            raise ConfigError(
                f"{self._journal} is of another run (other examples, model or settings): give --journal another file"
            )
        return told

    def _asked(
        self, told: dict[str, Any], run: str, *, model: str, epochs: int, seed: int, suffix: str
    ) -> dict[str, Any]:
        """The job of this run: one that was asked for before the journal could say so, or a new one."""
        found = self._jobs.marked(run) if told.get("asking") else None
        if found is None:
            told = self._note(told, asking=True)
            found = self._jobs.create(
                {
                    "model": model,
                    "training_file": told["training_file"],
                    **({"validation_file": told["validation_file"]} if "validation_file" in told else {}),
                    "suffix": suffix[:64],
                    "seed": seed,
                    "metadata": {MARK: run},
                    "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}},
                }
            )
        return self._note(told, job=found["id"], status=found.get("status", ""))

    def _awaited(self, told: dict[str, Any], until: float) -> dict[str, Any]:
        pause = 1.0
        while told.get("status") not in ENDED or "checkpoints" not in told:
            job = self._jobs.job(told["job"])
            status = job.get("status", "")
            if status in ENDED:
                points = self._jobs.checkpoints(told["job"]) if status == "succeeded" else []
                return self._note(
                    told, status=status, tuned_model=job.get("fine_tuned_model"), checkpoints=points,
                    trained_tokens=job.get("trained_tokens"), error=(job.get("error") or {}).get("message"),
                )  # fmt: skip
            if status != told.get("status"):
                told = self._note(told, status=status)
            if self._clock() >= until:
                return told
            self._sleep(pause)
            pause = min(pause * 1.5, 60.0)
        return told

    def _note(self, told: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Write it down, whole, before anything else is done."""
        noted = {**told, **more}
        write_private(self._journal, (json.dumps(noted, indent=2) + "\n").encode())
        return noted
