"""A worker that writes down long questions, in the same file as others: run with the file and a name."""

from __future__ import annotations

import sys
from pathlib import Path

from thrift_plugins.lessons import Questions
from thrift_plugins.prices import Prices
from thrift_plugins.types import Message, Reply, Request, Scope, Tier, Usage

MANY = 200


def main(file: str, name: str) -> None:
    questions = Questions(Path(file), ["faq"], 0.0, Prices())
    tier = Tier("small", "gpt-4o-mini")
    for number in range(MANY):
        request = Request(f"{name}-{number}", 0.0, "", (Message("user", "word " * 3_900),), scope=Scope(feature="faq"))
        questions.record(request, tier, Reply("yes", Usage(1, 1)), served=True, drawn=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
