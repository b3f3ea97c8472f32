"""A process that asks many megabytes in a batch run, and says how that ended and what memory it took."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

from langchain_openai import ChatOpenAI

from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
from thrift_plugins.batching.client import Limits
from thrift_plugins.langchain import BatchExecutor


def texts(megabytes: float, each: int, too_large: int) -> Iterator[str]:
    """So many megabytes of prompts, none like another, and in their midst one that no file takes."""
    count = int(megabytes * 1e6 / each)
    for number in range(count):
        if number == count // 2:
            yield "too large " + "x" * too_large
        words = (f"{number} {place} {hash((number, place)) % 1_000_003}" for place in range(each // 20))
        yield f"question {number}: " + " ".join(words).ljust(each)[:each]


def peak_mb() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(base_url: str, journal: str, megabytes: float, each: int, limit: int) -> dict[str, Any]:
    client = OpenAIBatchClient("k", base_url=base_url)
    client.limits = lambda _: Limits(bytes=limit)  # type: ignore[method-assign]
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0, api_key="k", base_url=base_url, max_retries=0)
    before, answered, wrong, errors = peak_mb(), 0, 0, []
    with BatchExecutor(client, journal, settings=BatchSettings(poll=0.2, linger=0.05)) as executor:
        for result in executor.run(model, texts(megabytes, each, limit)):
            if result.error is not None:
                errors.append((result.index, str(result.error)))
            else:
                answered += 1
                wrong += not str(result.output.content).startswith(f"answer to question {answered - 1}:")
        sizes = [batch["count"] for batch in executor.journal.batches()]
    return {
        "answered": answered, "wrong": wrong, "errors": errors, "batches": sizes, "before_mb": before, "peak_mb": peak_mb(),
    }  # fmt: skip


if __name__ == "__main__":
    url, path, megabytes, each, limit = sys.argv[1:]
    print(json.dumps(main(url, path, float(megabytes), int(each), int(limit))))
