"""A model's settings are read while other threads use it: LangChain keeps what it has serialised among a model's fields."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import pytest
from langchain_openai import ChatOpenAI
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

import thrift_plugins.langchain.tier
import thrift_plugins.llama_index.tier
from thrift_plugins import Config, Runtime
from thrift_plugins.canonical import decisive, plain


class Moving(BaseModel):
    """A setting that, when it is copied, lets another thread in, which adds to the model and to the settings around it."""

    around: ClassVar[list[dict[str, Any]]] = []

    def __copy__(self) -> Self:
        for place in self.around:
            place[f"added {len(place)}"] = 1
        return super().__copy__()


def langchain(extra: dict[str, Any]) -> thrift_plugins.langchain.tier.ModelTier:
    model = ChatOpenAI(model="gpt-4o", api_key="k", model_kwargs=extra)  # type: ignore[arg-type]
    return thrift_plugins.langchain.tier.ModelTier(model, None, Runtime(Config(store="memory:")).prices)


def llama_index(extra: dict[str, Any]) -> thrift_plugins.llama_index.tier.ModelTier:
    model = OpenAI(model="gpt-4o", api_key="k", additional_kwargs=extra)
    return thrift_plugins.llama_index.tier.ModelTier(model, None, Runtime(Config(store="memory:")).prices)


@pytest.mark.parametrize("made", [langchain, llama_index])
def test_settings_change_while_they_are_read(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tier = made({"style": Moving()})
    extra = getattr(tier.model, "model_kwargs", None) or tier.model.additional_kwargs
    monkeypatch.setattr(Moving, "around", [vars(tier.model), extra])
    assert tier.read().identity
    assert len(extra) > 1


def test_a_digest_is_of_the_settings_that_it_is_remembered_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed and changed back while they are read, settings must not be known by the digest of the others for ever."""
    tier = langchain({})
    model: Any = tier.model
    model.temperature = 0.0
    others = langchain({})
    others.model.temperature = 1.0  # type: ignore[attr-defined]
    told = type(model)._get_ls_params

    def changing(self: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        self.temperature = 1.0
        return told(self, **kwargs)

    monkeypatch.setattr(type(model), "_get_ls_params", changing)
    tier.read()
    model.temperature = 0.0
    assert tier.read().identity != others.read().identity
    assert tier.read().params["temperature"] == 0.0


class Growing(dict[str, Any]):
    """Settings that another thread adds to while somebody walks through them."""

    def items(self) -> Any:
        for number, item in enumerate(super().items()):
            self[f"added {number}"] = number
            yield item


def test_settings_in_settings_change_while_they_are_digested() -> None:
    assert plain({"style": Growing(name="plain")}) == {"style": {"name": "plain"}}
    assert decisive(Growing(name_of="plain")) == {"name_of": "plain"}
