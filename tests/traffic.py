"""Apps of both frameworks that make every kind of call, and a provider's plan that reads from a prompt what shall go wrong."""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import tenacity
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from thrift_plugins import Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import Answer, Fault, LoopbackProvider, WireRequest
from thrift_plugins.types import ToolCall

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
PATIENCE = 30.0  # seconds that a delayed answer would take; every caller has left by then
MARK = re.compile(r"<(\w+) (\d+) (\d+)>")


class City(BaseModel):
    """A city and its country."""

    name: str
    country: str


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def prompt(kind: str, number: int, argument: int = 0) -> str:
    """What is asked says what shall happen to it, and which of all calls it is."""
    return f"<{kind} {argument} {number}> How is the weather, please?"


# --- the provider's side


@dataclass
class Plan:
    """What happens to each request, read from its own words."""

    tries: Counter[str] = field(default_factory=Counter)
    arrived: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))

    def fault(self, request: WireRequest) -> Fault | None:
        found = MARK.search(request.text)
        assert found is not None
        kind, argument = found[1], int(found[2])
        self.tries[found[0]] += 1
        self.arrived[found[0]].set()
        broken = {
            "stall": Fault.stall_after(argument),
            "halftool": Fault.break_after(argument),
            "cut": Fault.stall_after(argument),
            "broken": Fault.break_after(argument),
            "truncate": Fault.truncate(4),
            "refused": Fault.refuse(400),
            **dict.fromkeys(("cancel", "leave", "canceltool", "cancelobject", "cancelturns"), Fault.delay(PATIENCE)),
        }
        if kind in ("retry", "sdk") and self.tries[found[0]] <= argument:
            return Fault.refuse(429 if argument == 1 else 503, retry_after=0.01)
        if request.model == CHEAP:
            broken |= {"fallback": Fault.refuse(503), "lost": Fault.break_after(0)}
        return broken.get(kind)

    @staticmethod
    def answer(request: WireRequest) -> Answer | None:
        if "<badtool " in request.text and request.model == CHEAP:
            return Answer(tool_calls=(ToolCall("", "weather", {}),))
        return None


# --- the app's side: one method a kind of call, for each framework


class LangChainApp:
    """Calls as a LangChain app makes them."""

    def __init__(self, provider: LoopbackProvider, runtime: Runtime, clients: dict[str, Any]) -> None:
        def model(name: str, **settings: Any) -> ChatOpenAI:
            told = {"max_retries": 0, "temperature": 0, **clients, **settings}
            return ChatOpenAI(model=name, base_url=provider.base_url, api_key="k", **told)

        def both(**settings: Any) -> ThriftChatModel:
            return ThriftChatModel(tiers=[model(CHEAP, **settings), model(STRONG, **settings)], runtime=runtime)

        self.telling, self.silent = both(stream_usage=True), both(stream_usage=False)
        self.single = ThriftChatModel(tiers=[model(CHEAP)], runtime=runtime)
        self.retrying = ThriftChatModel(tiers=[model(CHEAP, max_retries=2)], runtime=runtime)
        self.tools, self.silent_tools = self.telling.bind_tools([weather]), self.silent.bind_tools([weather])
        self.schema = self.telling.with_structured_output(City)
        self.called = self.telling.with_structured_output(City, method="function_calling")

    def whole(self, text: str) -> None:
        self.telling.invoke(text)

    async def awhole(self, text: str) -> None:
        await self.telling.ainvoke(text)

    def stream(self, text: str, *, told: bool) -> Iterator[Any]:
        return (self.telling if told else self.silent).stream(text)

    async def astream(self, text: str, *, told: bool) -> AsyncIterator[Any]:
        return (self.telling if told else self.silent).astream(text)

    @staticmethod
    def said(piece: Any) -> str:
        return str(piece.content)

    def retry(self, text: str) -> None:
        self.single.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke(text)

    def sdk(self, text: str) -> None:
        self.retrying.invoke(text)

    def tool(self, text: str) -> None:
        self.tools.invoke(text)

    def toolstream(self, text: str) -> Iterator[Any]:
        return self.silent_tools.stream(text)

    async def atool(self, text: str) -> None:
        await self.tools.ainvoke(text)

    def object(self, text: str, number: int) -> None:
        (self.schema if number % 2 else self.called).invoke(text)

    async def aobject(self, text: str, number: int) -> None:
        await (self.schema if number % 2 else self.called).ainvoke(text)

    async def aturns(self, text: str) -> None:
        call = {"id": "c1", "name": "weather", "args": {"city": "Zürich", "days": [1, 2]}}
        turns = [
            SystemMessage("Be brief.", name="boss"),
            HumanMessage("How is it in Zürich?"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("sunny", tool_call_id="c1"),
            HumanMessage([{"type": "text", "text": text}, {"type": "text", "text": "日本語も"}]),
        ]
        await self.tools.ainvoke(turns)


class LlamaIndexApp:
    """Calls as a LlamaIndex app makes them."""

    def __init__(self, provider: LoopbackProvider, runtime: Runtime, clients: dict[str, Any]) -> None:
        usage = {"stream_options": {"include_usage": True}}
        http = {"http_client": clients["http_client"], "async_http_client": clients["http_async_client"]}

        def model(name: str, **settings: Any) -> OpenAI:
            return OpenAI(model=name, api_base=provider.base_url, api_key="k", max_retries=0, **http, **settings)

        def both(**settings: Any) -> ThriftLLM:
            return ThriftLLM(tiers=[model(CHEAP, **settings), model(STRONG, **settings)], runtime=runtime)

        self.telling, self.usage = both(), usage
        self.single = ThriftLLM(tiers=[model(CHEAP)], runtime=runtime)
        self.tools = [FunctionTool.from_defaults(weather)]

    @staticmethod
    def turns(text: str) -> list[ChatMessage]:
        return [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content=text)]

    def whole(self, text: str) -> None:
        self.telling.chat(self.turns(text))

    async def awhole(self, text: str) -> None:
        await self.telling.acomplete(text)

    def stream(self, text: str, *, told: bool) -> Iterator[Any]:
        return self.telling.stream_chat(self.turns(text), **(self.usage if told else {}))

    async def astream(self, text: str, *, told: bool) -> AsyncIterator[Any]:
        return await self.telling.astream_chat(self.turns(text), **(self.usage if told else {}))

    @staticmethod
    def said(piece: Any) -> str:
        return piece.delta or ""

    def retry(self, text: str) -> None:
        for attempt in tenacity.Retrying(stop=tenacity.stop_after_attempt(3), reraise=True):
            with attempt:
                self.single.chat(self.turns(text))

    sdk = retry  # its own retries wait for seconds

    def tool(self, text: str) -> None:
        self.telling.chat_with_tools(self.tools, text)

    def toolstream(self, text: str) -> Iterator[Any]:
        return self.telling.stream_chat_with_tools(self.tools, text)

    async def atool(self, text: str) -> None:
        await self.telling.achat_with_tools(self.tools, text)

    def object(self, text: str, number: int) -> None:
        self.telling.structured_predict(City, PromptTemplate("Tell me. {question}"), question=text)

    async def aobject(self, text: str, number: int) -> None:
        await self.telling.astructured_predict(City, PromptTemplate("Tell me. {question}"), question=text)

    async def aturns(self, text: str) -> None:
        asked = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}
        turns = [
            ChatMessage(role="user", content="How is it in Zürich?"),
            ChatMessage(role="assistant", content=None, additional_kwargs={"tool_calls": [asked]}),
            ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": "c1"}),
            ChatMessage(role="user", content=text),
        ]
        await self.telling.achat_with_tools(self.tools, chat_history=turns)


App = LangChainApp | LlamaIndexApp
