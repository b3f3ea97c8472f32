"""A small trace of an app that nobody has, for tests of the replay."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

PRICES = {"small-1": {"input": 0.1, "output": 0.4}, "large-1": {"input": 2.5, "output": 10.0}}


def header(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "header",
        "schema": 1,
        "name": "kettle-week",
        "start": "2026-10-01T00:00:00Z",
        "prices_usd_per_million_tokens": PRICES,
        **changes,
    }


def row(number: int, text: str, **changes: Any) -> dict[str, Any]:
    """One request; by default a plain question that both models answered."""
    record = {
        "id": f"k{number:03d}",
        "t": 60.0 * number,
        "tenant": "kettles",
        "user": f"u{number % 3}",
        "feature": "faq",
        "deadline_s": None,
        "messages": [
            {"role": "system", "content": "You answer questions about kettles."},
            {"role": "user", "content": text},
        ],
        "tools": None,
        "params": {"temperature": 0},
        "baseline": "large-1",
        "arms": {
            "large-1": {"text": f"Large says {text}", "score": 1.0, "usage": {"input_tokens": 30, "output_tokens": 12}},
            "small-1": {"text": f"Small says {text}", "score": 0.5, "usage": {"input_tokens": 30, "output_tokens": 9}},
        },
        "check": {"kind": "recorded"},
    }
    return {**record, **changes}


def arm(**changes: Any) -> dict[str, Any]:
    """What the baseline of a row answered."""
    return {"text": "Hi", "score": 1.0, "usage": {"input_tokens": 9, "output_tokens": 2}, **changes}


def tool_row(number: int, call: str | None) -> dict[str, Any]:
    """A request with one tool; `call` is what both models answered."""
    arm = {"text": call, "score": 1.0, "usage": {"input_tokens": 60, "output_tokens": 15}}
    tool = {
        "name": "kettle.heat",
        "description": "Heat the kettle.",
        "parameters": {"type": "dict", "properties": {"celsius": {"type": "integer"}}, "required": ["celsius"]},
    }
    return row(number, "Heat it to 80.", feature="tools", tools=[tool], arms={"large-1": arm, "small-1": arm})


def week() -> list[dict[str, Any]]:
    """Questions with repeats by the same tenant and by another, tools, evidence, spans and labels."""
    turns = ["Ada: the lid is loose.", "Bo: we will fix the lid."]
    return [
        row(0, "Where is the lid?"),
        row(1, "Where is the lid?"),
        row(2, "Where is the lid?", tenant="teapots"),
        row(3, "Where is the cord?", check={"kind": "same_topic", "topic": "cord"}),
        row(4, "Where is the cord?", check={"kind": "same_topic", "topic": "cord"}),
        tool_row(5, '[{"kettle_heat": "{\\"celsius\\": 80}"}]'),
        tool_row(6, '[{"kettle_heat": "{\\"celsius\\": \\"hot\\"}"}]'),
        row(7, "Is the lid loose?", check={"kind": "evidence", "any_of": ["loose"]}),
        row(8, "\n".join(turns), check={"kind": "spans", "turns": turns}, feature="digest"),
        row(9, "Please tag: lid broken", check={"kind": "label", "gold": "complaint"}, feature="tagging"),
        row(10, "What did nobody write down?", arms={"large-1": {"text": None, "score": 1.0, "usage": {"input_tokens": 9, "output_tokens": 2}}}),
    ]


def write(path: Path, lines: list[Any]) -> Path:
    """Write a trace: dicts as JSON, strings as they are."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path
