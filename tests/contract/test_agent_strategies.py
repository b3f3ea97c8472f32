"""Agents over tiers that give structured answers in different ways: each is asked in its own, and repaired by the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, StructuredOutputValidationError, ToolStrategy
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from tests.langchain_kit import NO_POOL, records
from thrift_plugins import Budget, CacheConfig, Config, RoutingConfig, Runtime
from thrift_plugins.langchain import ThriftChatModel, ThriftMiddleware
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.testing.script import ToolCall, WireRequest

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

TOOLS, OWN = "llama-3.3-70b", "gpt-4o"
"""One model that gives structured answers by tools, and one that has a means of its own."""

EASY = "Name a city."
HARD = "Prove step by step that the sum of two odd integers is even, and explain why each step holds."
REJECTED = "Atlantis"
WAYS = pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])


class City(BaseModel):
    """A city."""

    name: str = Field(min_length=2)


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as made:
        yield made


class Ears(BaseCallbackHandler):
    """Hears everything."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.routes: list[Any] = []

    def on_chat_model_start(self, *args: Any, metadata: Any = None, **kwargs: Any) -> None:
        self.routes.append((metadata or {}).get("thrift_route"))

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.heard.append(f"{token}{kwargs.get('chunk')!r}")

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.heard.append(repr(response))


class App:
    """An agent over two tiers."""

    def __init__(self, provider: LoopbackProvider, tools: Any = (), wanted: Any = City, **settings: Any) -> None:
        given = {"cache": CacheConfig(enabled=False), **settings}
        self.runtime = Runtime(Config(store="memory:", **given))
        tiers = [
            ChatOpenAI(model=name, base_url=provider.base_url, api_key="k", max_retries=0, temperature=0, stream_usage=True,
                       profile={"structured_output": name == OWN, "tool_calling": True}, **NO_POOL)
            for name in (TOOLS, OWN)
        ]  # fmt: skip
        self.model = ThriftChatModel(tiers=tiers, runtime=self.runtime)
        guard = ThriftMiddleware([Budget.tokens("day", 1_000_000, window="day")], runtime=self.runtime)
        self.agent: Any = create_agent(self.model, list(tools), middleware=[guard], response_format=wanted)
        self.ears = Ears()

    async def run(self, text: str = EASY, way: str = "ainvoke") -> Any:
        asked, config = {"messages": [("user", text)]}, {"callbacks": [self.ears]}
        if way == "invoke":
            return self.agent.invoke(asked, config)
        if way == "ainvoke":
            return await self.agent.ainvoke(asked, config)
        found: dict[str, Any] = {}
        async for update in self.agent.astream(asked, config, stream_mode="updates"):
            for part in update.values():
                found |= part or {}
        return found


def ways(provider: LoopbackProvider) -> list[tuple[str, list[str], bool]]:
    """Of each request the model, the tools, and whether the provider's own means was asked for."""
    return [
        (request.model, [tool["function"]["name"] for tool in request.body.get("tools") or ()], "response_format" in request.body)
        for request in provider.requests
    ]


@WAYS
async def test_each_tier_is_asked_in_its_own_way(provider: LoopbackProvider, way: str) -> None:
    app = App(provider)
    for text in (EASY, HARD):
        assert isinstance((await app.run(text, way))["structured_response"], City)
    assert ways(provider) == [(TOOLS, ["City"], False), (OWN, [], True)]
    assert app.ears.routes == [TOOLS, OWN]
    assert [(record["served_model"], record["policy"]) for record in records(app.model)] == [(TOOLS, "rules"), (OWN, "rules")]


@WAYS
async def test_an_answer_of_the_wrong_form_is_repaired_unheard(provider: LoopbackProvider, way: str) -> None:
    wrong = Answer(tool_calls=(ToolCall("", "City", {"title": REJECTED}),))
    provider.script(lambda request: wrong if request.model == TOOLS else Answer('{"name": "Rome"}'))
    app = App(provider)
    result = await app.run(EASY, way)
    assert result["structured_response"] == City(name="Rome")
    assert REJECTED not in repr(result) + "".join(app.ears.heard)
    assert len(app.ears.routes) == 1
    [record] = records(app.model)
    assert [(tactic, reason) for tactic, reason, *_ in record["overheads"]] == [("routing", "rejected")]
    assert record["served_model"] == OWN


async def test_a_tier_that_fails_is_followed_by_one_that_is_asked_otherwise(provider: LoopbackProvider) -> None:
    app = App(provider)
    provider.faults.append(Fault.refuse(429))
    assert isinstance((await app.run())["structured_response"], City)
    assert ways(provider) == [(TOOLS, ["City"], False), (OWN, [], True)]


async def test_an_answer_that_only_the_agent_can_tell_to_be_wrong(provider: LoopbackProvider) -> None:
    """That a name has two letters is no matter of its form to us: the agent's own ways stay."""
    provider.script(lambda request: Answer('{"name": "R"}'))
    with pytest.raises(StructuredOutputValidationError):
        await App(provider).run(HARD)


@WAYS
async def test_tools_between(provider: LoopbackProvider, way: str) -> None:
    def population(city: str) -> str:
        """How many live there."""
        return f"Two million in {city}."

    def answer(request: WireRequest) -> Answer:
        if any(message["role"] == "tool" for message in request.messages):
            done = ToolCall("", "City", {"name": "Rome"})
            return Answer(tool_calls=(done,)) if request.model == TOOLS else Answer('{"name": "Rome"}')
        return Answer(tool_calls=(ToolCall("", "population", {"city": "Rome"}),))

    provider.script(answer)
    app = App(provider, [population])
    for text in (EASY, HARD):
        assert (await app.run(text, way))["structured_response"] == City(name="Rome")
    both = ["population", "City"]
    assert ways(provider) == [(TOOLS, both, False)] * 2 + [(OWN, ["population"], True)] * 2


async def test_a_stored_answer_is_read_as_it_was(provider: LoopbackProvider) -> None:
    app = App(provider, cache=CacheConfig(kinds=False, read_only_tools=["City"]))
    first = [await app.run(text) for text in (EASY, HARD)]
    again = [await app.run(text, way) for text, way in ((EASY, "invoke"), (HARD, "ainvoke"))]
    assert [each["structured_response"] for each in first] == [each["structured_response"] for each in again]
    assert len(provider.requests) == 2
    assert [record["outcome"] for record in records(app.model)] == ["answered", "answered", "hit", "hit"]


async def test_two_answers_are_compared(provider: LoopbackProvider) -> None:
    prices = {TOOLS: {"input": 0.1, "output": 0.1}}
    app = App(provider, routing=RoutingConfig(twice=True), prices=prices)
    assert isinstance((await app.run())["structured_response"], City)
    assert [request.body["temperature"] for request in provider.requests] == [0, 0.7]
    assert len(app.ears.routes) == 1


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_the_apps_own_choice_holds_for_all(provider: LoopbackProvider, strategy: Any) -> None:
    app = App(provider, wanted=strategy(City))
    assert isinstance((await app.run(HARD))["structured_response"], City)
    assert ways(provider)[0][2] is (strategy is ProviderStrategy)
