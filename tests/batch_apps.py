"""Apps of LCEL, LangGraph and LlamaIndex, with the fewest waves that each can take over some inputs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypedDict

from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from llama_index.core import Document, SummaryIndex
from llama_index.core.extractors import KeywordExtractor, QuestionsAnsweredExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

BASE = "http://127.0.0.1:9/v1"
"""Nobody listens there: whatever is not collected fails."""


class App(NamedTuple):
    """An app over some inputs.

    Attributes:
        waves: the fewest that it can take.
    """

    work: Any
    inputs: list[Any]
    waves: int


class Place(BaseModel):
    """A place."""

    place: str


@tool
async def look(place: str) -> str:
    """Look at a place."""
    await asyncio.sleep(0.02)
    return f"seen {place}"


def model(**given: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", api_key="k", base_url=BASE, max_retries=0, **given)


def langchain_apps(count: int) -> dict[str, App]:
    """LCEL and LangGraph."""
    llm = model()
    prompt = ChatPromptTemplate.from_template("say {x}")
    text = prompt | llm | StrOutputParser()
    again = RunnableLambda(lambda said: {"x": said})
    wait = RunnableLambda(_wait)
    failing: set[str] = set()

    def picky(said: str) -> str:
        if said.endswith("3") and said not in failing:
            failing.add(said)
            raise ValueError("not that")
        return said

    retried = (text | RunnableLambda(picky)).with_retry(wait_exponential_jitter=False, stop_after_attempt=3)
    branch = RunnableBranch((lambda said: "1" in said, again | text), again | text)
    apps: dict[str, tuple[Any, int]] = {
        "LCEL: one call": (text, 1),
        "LCEL: three calls": (text | again | text | again | text, 3),
        "LCEL: parallel": (RunnableParallel(a=text, b=text), 1),
        "LCEL: parallel, one longer": (RunnableParallel(a=text, b=text | again | text), 2),
        "LCEL: branch": (text | branch, 2),
        "LCEL: structured output": (prompt | llm.with_structured_output(Place, method="function_calling"), 1),
        "LCEL: tools": (prompt | llm.bind_tools([look]), 1),
        "LCEL: map": (RunnableLambda(lambda x: [{"x": f"{x} {i}"} for i in range(3)]) | text.map(), 1),
        "LCEL: a sleep between": (text | wait | again | text, 2),
        "LCEL: synchronous in a lambda": (RunnableLambda(text.invoke), 1),
        "LCEL: batch in a lambda": (RunnableLambda(lambda x: text.batch([{"x": f"{x} {i}"} for i in range(3)])), 1),
        "LCEL: abatch in a lambda": (RunnableLambda(_abatch(text)), 1),
        "LCEL: retries": (retried, 2),
        "LangGraph: fan-out and join": (_fan_out(text), 2),
        "LangGraph: map and reduce by Send": (_sends(text), 2),
    }
    made = {
        name: App(work, [{"x": f"{name} {i}"} for i in range(count)], waves) for name, (work, waves) in apps.items()
    }
    asked = [{"messages": [("user", f"look at {i}")]} for i in range(count)]
    deep = [{"messages": [("user", f"tools:{1 + i % 3} look at {i}")]} for i in range(count)]
    made["LangGraph: agent with a tool"] = App(_agent(), asked, 2)
    made["LangGraph: agents of some depths"] = App(_agent(), deep, 4)
    return made


async def _wait(said: str) -> str:
    await asyncio.sleep(0.02 * (len(said) % 4))
    return said


def _abatch(chain: Any) -> Callable[[Any], Any]:
    async def work(x: Any) -> Any:
        return await chain.abatch([{"x": f"{x} {i}"} for i in range(3)])

    return work


def _agent() -> Any:
    return create_agent(model(), [look])


class _State(TypedDict, total=False):
    x: str
    parts: Annotated[list[str], lambda a, b: a + b]
    text: str


def _fan_out(text: Any) -> Any:
    async def part(state: _State) -> _State:
        return {"parts": [await text.ainvoke({"x": state["x"]})]}

    async def join(state: _State) -> _State:
        return {"text": await text.ainvoke({"x": "".join(sorted(state["parts"]))})}

    graph = StateGraph(_State)
    for name in ("a", "b", "c"):
        graph.add_node(name, part)
        graph.add_edge(START, name)
        graph.add_edge(name, "join")
    graph.add_node("join", join)
    graph.add_edge("join", END)
    return graph.compile()


def _sends(text: Any) -> Any:
    async def part(state: _State) -> _State:
        return {"parts": [await text.ainvoke({"x": state["x"]})]}

    def join(state: _State) -> _State:
        return {"text": text.invoke({"x": "".join(sorted(state["parts"]))})}

    graph = StateGraph(_State)
    graph.add_node("part", part)
    graph.add_node("join", join)
    graph.add_conditional_edges(
        START, lambda state: [Send("part", {"x": f"{state['x']} {i}"}) for i in range(3)], ["part"]
    )
    graph.add_edge("part", "join")
    graph.add_edge("join", END)
    return graph.compile()


def llama_index_apps(count: int) -> dict[str, App]:
    """Query engines, pipelines and code over LLMs."""
    llm = OpenAI(model="gpt-4o-mini", api_key="k", api_base=BASE, max_retries=0)
    index = SummaryIndex([TextNode(text=f"Text {i}. " * 900) for i in range(3)])
    few = SummaryIndex([TextNode(text="Text.")])

    async def nested(question: str) -> str:
        parts = await asyncio.gather(*(llm.acomplete(f"{question} {i}") for i in range(3)))
        return (await llm.acomplete("".join(part.text for part in parts))).text

    def synchronous(question: str) -> str:
        time.sleep(0.001)
        return llm.complete(question).text

    def pipeline(number: int) -> IngestionPipeline:
        kinds = (TitleExtractor, SummaryExtractor, KeywordExtractor, QuestionsAnsweredExtractor)
        steps = [SentenceSplitter(), *(kind(llm=llm, show_progress=False) for kind in kinds)]
        return IngestionPipeline(transformations=steps, disable_cache=True, name=str(number))

    documents = [Document(text=f"A text on the matter of {i}.") for i in range(count)]
    questions = [f"question {i}" for i in range(count)]
    return {
        "LlamaIndex: completions": App(llm.acomplete, questions, 1),
        "LlamaIndex: nested gathers": App(nested, questions, 2),
        "LlamaIndex: synchronous": App(synchronous, questions, 1),
        "LlamaIndex: tree_summarize": App(
            few.as_query_engine(llm=llm, response_mode="tree_summarize", use_async=True).aquery, questions, 1
        ),
        "LlamaIndex: refine": App(index.as_query_engine(llm=llm, response_mode="refine").aquery, questions, 3),
        "LlamaIndex: pipeline of four extractors": App(lambda n: pipeline(n).arun(documents=documents), [0], 5),
        "LlamaIndex: pipeline, synchronous": App(lambda n: pipeline(n).run(documents=documents), [1], 5),
    }
