"""`StudentLLM`: a trained student before its teacher, as an LLM, for apps that want nothing else of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.llms import LLM

from thrift_plugins.config import Config
from thrift_plugins.distillation.student import Student
from thrift_plugins.llama_index.llm import ThriftLLM
from thrift_plugins.schooled import taught_runtime

if TYPE_CHECKING:
    from thrift_plugins.text.embed import Embedder


class StudentLLM(ThriftLLM):
    """Answers what the student may, as the teacher would: text, a tool call, or a parsed object, whole or streamed.

    What it is not sure of, a cheap model confirms, if one is given; the teacher takes the rest, and all that is no single
    question of the student's prompt. A copy of it, in this process or another, shares its teacher's settings; in another
    process it is a `ThriftLLM` of the teacher alone unless the runtime is still there.

    Args:
        student: the file of a student, or a loaded one.
        teacher: the model that it follows.
        confirm_with: a cheaper model, asked where the student is not sure, and believed where both agree.
        trusted: let it answer at once, by the certificate of its training. Otherwise it begins in the shadow, where the
            teacher answers, until what came there certifies it.
        config: settings of its store, ledger and `distillation`; no other tactic is on.
        embedder: the word vectors that it was trained with, where they are not the built-in ones.

    Raises:
        ConfigError: the file is no student, or was changed since it was trained.

    Example:
        ```python
        Settings.llm = StudentLLM(student="students/intent/4f1c.student", teacher=OpenAI(model="gpt-4o"))
        ```
    """

    def __init__(
        self,
        *,
        student: Student | str | Path | None = None,
        teacher: LLM | None = None,
        confirm_with: LLM | None = None,
        trusted: bool = False,
        config: Config | None = None,
        embedder: Embedder | None = None,
        **kwargs: Any,
    ) -> None:
        if student is not None and teacher is not None:
            kwargs["tiers"] = [teacher] if confirm_with is None else [confirm_with, teacher]
            kwargs["runtime"] = taught_runtime(student, config, embedder, trusted=trusted)
        super().__init__(**kwargs)  # copies are made of their parts

    @classmethod
    def class_name(cls) -> str:
        return "thrift_student_llm"
