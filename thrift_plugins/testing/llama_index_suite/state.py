"""The LLM as an object: copied, serialised, set as the default."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from llama_index.core import Settings
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.utils import resolve_llm

from thrift_plugins.testing.llama_index_suite.base import ContractBase, listen, user


class StateTests(ContractBase):
    """Copies work, secrets stay in."""

    @pytest.fixture
    def default_llm(self, llm: LLM) -> Iterator[LLM]:
        """The LLM as `Settings.llm`; what was there comes back."""
        before = Settings._llm  # noqa: SLF001  (reading the property would build the default LLM)
        Settings.llm = llm
        yield llm
        Settings._llm = before  # noqa: SLF001

    def test_model_copy(self, llm: LLM) -> None:
        assert llm.model_copy().chat(user("Hello")).message.content

    async def test_model_copy_async(self, llm: LLM) -> None:
        assert (await llm.model_copy().achat(user("Hello"))).message.content

    def test_model_copy_has_callbacks_of_its_own(self, llm: LLM) -> None:
        original, copied = listen(llm), llm.model_copy()
        handler = listen(copied)
        copied.chat(user("Hello"))
        assert len(handler.get_llm_inputs_outputs()) == 1
        assert original.get_llm_inputs_outputs() == []

    def test_state_can_be_restored(self, llm: LLM) -> None:
        restored = type(llm).__new__(type(llm))  # as unpickling does it
        restored.__setstate__(llm.__getstate__())
        assert restored.metadata == llm.metadata
        assert restored.class_name() == llm.class_name()

    def test_to_dict(self, llm: LLM) -> None:
        listed = llm.to_dict()
        assert listed["class_name"] == llm.class_name()
        json.dumps(listed)

    def test_serialised_forms_keep_secrets(self, llm: LLM) -> None:
        llm.chat(user("Hello"))
        forms = {"to_dict": str(llm.to_dict()), "to_json": llm.to_json()}
        leaks = [(name, secret) for name, form in forms.items() for secret in self.secrets if secret in form]
        assert leaks == []

    def test_same_settings_give_the_same_dict(self, llm: LLM) -> None:
        before = llm.to_json()
        llm.chat(user("Hello"))
        assert llm.to_json() == before

    @pytest.mark.usefixtures("default_llm")
    def test_default_llm(self) -> None:
        assert Settings.llm.chat(user("Hello")).message.content

    def test_default_llm_resolves(self, default_llm: LLM) -> None:
        assert resolve_llm(default_llm).complete("Hello").text

    def test_default_callbacks_reach_it(self, default_llm: LLM) -> None:
        before = Settings._callback_manager  # noqa: SLF001
        handler = listen(default_llm)
        Settings.callback_manager = default_llm.callback_manager
        try:
            Settings.llm.chat(user("Hello"))
        finally:
            Settings._callback_manager = before  # noqa: SLF001
        assert len(handler.get_llm_inputs_outputs()) == 1
