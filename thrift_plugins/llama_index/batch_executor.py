"""`BatchExecutor`: query engines, pipelines and any code that calls LLMs of LlamaIndex, at batch price."""

from __future__ import annotations

from types import FrameType
from typing import Final

from llama_index.core import async_utils

from thrift_plugins.batching.executor import Executor

_RUN_JOBS: Final = async_utils.__file__


def _widen(frame: FrameType) -> bool:
    """Let a job of `run_jobs` begin that its semaphore holds back."""
    if frame.f_code.co_filename != _RUN_JOBS:
        return False
    semaphore = frame.f_locals.get("semaphore")
    if semaphore is None:
        return False
    semaphore.release()
    return True


class BatchExecutor(Executor):
    """Runs LlamaIndex code as it is, and has every call of an LLM or an embedding model in it made in batches.

    All that can be asked before an answer is needed goes in one batch, a *wave*. LlamaIndex runs four jobs at a time
    (`run_jobs`), which would make a batch of four of each wave: here all go on at once.

    Args:
        account: "openai", "anthropic", "mistral", "gemini" (the key is in the environment), or a `BatchClient`.
        journal: a file of what was asked, sent and answered; by default one for the account. Run again with the same inputs, a
            killed run goes on where it was, and pays nothing twice. Or the URL of a server that workers share.

    The other arguments are those of `Executor`.

    Raises:
        ConfigError: the journal is another account's or in use, or there is no key.

    Example:
        ```python
        with BatchExecutor("openai", journal="questions.db") as executor:
            for result in executor.run(query_engine.aquery, questions):
                print(result.output)
            with executor.session():
                nodes = pipeline.run(documents=documents)
        ```
    """

    widen = staticmethod(_widen)
