"""`BatchExecutor`: a chain, an agent or any other Runnable over many inputs, at batch price."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from langchain_core.runnables import Runnable

from thrift_plugins.batching.executor import Executor
from thrift_plugins.batching.running import Call
from thrift_plugins.langchain.batch_models import shortcut

_AS_MANY_AS_THERE_ARE: Final = 100_000
"""LangChain's own limit on what goes on at once would cut waves into pieces, and keep threads too few."""


class BatchExecutor(Executor):
    """Runs a chain as it is over many inputs, and has every call of a model in it made in batches.

    All that the inputs ask before they need an answer goes in one batch, a *wave*: a chain of two calls takes two waves, whatever
    the number of inputs. Tools, structured output, retries, fallbacks, parallel branches and agents run as they are.

    Args:
        account: "openai", "anthropic", "mistral", "gemini" (the key is in the environment), or a `BatchClient`.
        journal: a file of what was asked, sent and answered; by default one for the account. Run again with the same inputs, a
            killed run goes on where it was, and pays nothing twice. Or the URL of a server that workers share.

    The other arguments are those of `Executor`.

    Raises:
        ConfigError: the journal is another account's or in use, or there is no key.

    Example:
        ```python
        with BatchExecutor("openai", journal="reviews.db") as executor:
            for result in executor.run(prompt | model | StrOutputParser(), reviews):
                print(result.output if result.error is None else result.error)
        ```
    """

    def as_call(self, work: Any) -> Call:
        """A Runnable's own call, or the function itself."""
        if not isinstance(work, Runnable):
            return super().as_call(work)
        return partial(work.ainvoke, config={"max_concurrency": _AS_MANY_AS_THERE_ARE})

    def around(self) -> AbstractContextManager[None]:
        """The shorter way for the models that have one."""
        return shortcut()
