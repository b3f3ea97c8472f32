"""Cases that a prompt must handle: JSON lines with an `input`, and what is expected of the answer.

{"input": "Can I bring a dog?", "expected": "No"}              the answer has it, whatever the case and the marks around it
{"input": "Can I bring a dog?", "contains": ["dog", "$25"]}    it has all of these
{"input": "Can I bring a dog?"}                                it is what the original prompt's answer was
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from thrift_plugins.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        input: what the user says.
        expected: what the answer must have in it; empty: it must be that of the original prompt.
    """

    input: str
    expected: tuple[str, ...] = ()

    def passes(self, answer: str, original: str) -> bool:
        """Whether an answer is right.

        Args:
            original: the answer under the original prompt.
        """
        if not self.expected:
            return _plain(answer) == _plain(original)
        said = f" {_plain(answer)} "
        return all(f" {_plain(one)} " in said for one in self.expected)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w$%.,:/-]*\w", text.casefold()))


def cases(path: str | Path) -> list[Case]:
    """The cases of a file.

    Raises:
        ConfigError: there are none, or a line is not of the form above; says which.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
    found = [_case(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError(f'{path} has no cases: one a line, as {{"input": "...", "expected": "..."}}')
    return found


def _case(line: str, where: str) -> Case:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(told, dict) or not isinstance(told.get("input"), str):
        raise ConfigError(f"{where}: a case has an `input`, and may have `expected` or `contains`")
    expected = told.get("contains", [told["expected"]] if "expected" in told else [])
    if not isinstance(expected, list) or not all(isinstance(one, str) for one in expected):
        raise ConfigError(f"{where}: `expected` is a text, `contains` a list of texts")
    if not all(map(_plain, expected)):
        raise ConfigError(f"{where}: no answer can be seen to have a text without words")
    return Case(told["input"], tuple(expected))
