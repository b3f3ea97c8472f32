"""Processes forked from one that has loaded their module: to load it takes longer than most of them work.

Started as a program, `python -m tests.forks MODULE CHILDREN`, it forks a child for each of a JSON array of arguments and of the
two descriptors that become the child's standard input and output. It prints their pids, and waits until its input is closed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Fork:
    """One of them, as `subprocess.Popen` tells of a process."""

    pid: int
    stdin: IO[str]
    stdout: IO[str]

    def kill(self) -> None:
        """kill -9. Nobody has its pid before all have ended: the process that forked it has not waited for it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> str:
        """What it still says, when it has ended. Nothing where that was read before."""
        if self.stdout.closed:
            return ""
        with suppress(BrokenPipeError):
            self.stdin.close()
        with self.stdout:
            return self.stdout.read()


class Forks:
    """Runs `main` of a module in several processes, with arguments of their own each."""

    def __init__(
        self, module: str, arguments: Sequence[Sequence[str]], *, environment: Mapping[str, str] | None = None
    ) -> None:
        ours, theirs = [], []
        for _ in arguments:
            (reads, writes), (hears, says) = os.pipe(), os.pipe()
            ours.append((writes, hears))
            theirs.append((reads, says))
        children = [[list(each), *pipes] for each, pipes in zip(arguments, theirs, strict=True)]
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", module, json.dumps(children)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})}, pass_fds=[each for pair in theirs for each in pair],
        )  # fmt: skip
        for each in (each for pair in theirs for each in pair):
            os.close(each)
        assert self._parent.stdout is not None
        pids = json.loads(self._parent.stdout.readline() or "[]") or [0] * len(ours)
        self.processes = [
            Fork(pid, os.fdopen(writes, "w", buffering=1), os.fdopen(hears))
            for pid, (writes, hears) in zip(pids, ours, strict=True)
        ]

    def __enter__(self) -> Self:
        """All of them are ready, and told to go on."""
        try:
            assert [process.stdout.readline() for process in self.processes] == ["ready\n"] * len(self.processes)
            for process in self.processes:
                process.stdin.write("go\n")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            stack.callback(self._parent.communicate)
            for process in self.processes:
                stack.callback(process.communicate)
                if process.pid:
                    process.kill()


def main() -> None:
    """Load, fork, and wait."""
    module, children = import_module(sys.argv[1]), json.loads(sys.argv[2])
    pids = []
    for arguments, reads, says in children:
        pid = os.fork()
        if not pid:
            os.dup2(reads, 0)
            os.dup2(says, 1)
            _close(children)
            sys.argv[1:] = arguments
            module.main()
            return
        pids.append(pid)
    _close(children)
    print(json.dumps(pids), flush=True)
    sys.stdin.read()
    for pid in pids:
        os.waitpid(pid, 0)


def _close(children: Sequence[Sequence[int]]) -> None:
    for _, *pipes in children:
        for each in pipes:
            os.close(each)


if __name__ == "__main__":
    main()
