"""Few-shot examples as LangChain has them: `FewShotPromptTemplate(example_selector=ExampleSelector(...))`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.example_selectors import BaseExampleSelector

from thrift_plugins.compression.examples import Examples
from thrift_plugins.text.embed import Embedder


class ExampleSelector(BaseExampleSelector):
    """Chooses for each question a few examples of different labels, the likeliest last. Put them behind what is cached.

    Args:
        examples: each with all variables of the example's prompt.
        input_key: the variable that a question is compared with, in the examples and in the prompt's input.
        label_key: the variable that says what kind of answer it is.
        count: how many are chosen at most.
        embedder: turns texts into vectors; by default one that needs no download.

    Raises:
        ValueError: an example lacks one of the two variables.

    Example:
        ```python
        selector = ExampleSelector(examples, input_key="question", label_key="intent", count=4)
        prompt = FewShotPromptTemplate(example_selector=selector, example_prompt=shot, suffix="{question}")
        ```
    """

    def __init__(
        self,
        examples: Sequence[dict[str, str]],
        *,
        input_key: str,
        label_key: str,
        count: int = 4,
        embedder: Embedder | None = None,
    ) -> None:
        self._keys, self._count, self._embedder = (input_key, label_key), count, embedder
        self._examples: list[dict[str, str]] = []
        self._chooser: Examples | None = None
        for example in examples:
            self.add_example(example)

    def add_example(self, example: dict[str, str]) -> None:
        """Add one to choose from; what is known of all is worked out anew at the next question."""
        lacking = [key for key in self._keys if key not in example]
        if lacking:
            raise ValueError(f"an example needs {' and '.join(map(repr, self._keys))}, and this one lacks {lacking[0]!r}")
        self._examples.append(dict(example))
        self._chooser = None

    def select_examples(self, input_variables: dict[str, Any]) -> list[dict[str, str]]:
        """The examples for a prompt's input."""
        if not self._examples:
            return []
        asked, label = self._keys
        chooser = self._chooser
        if chooser is None:
            chooser = Examples(
                [one[asked] for one in self._examples], [one[label] for one in self._examples], embedder=self._embedder
            )
            self._chooser = chooser
        return [self._examples[at] for at in chooser.choose(str(input_variables[asked]), self._count)]
