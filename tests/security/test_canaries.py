"""Secrets and words planted in calls of both frameworks, and looked for wherever they must not be."""

from __future__ import annotations

import io
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from rich.console import Console

from tests import report_kit
from thrift_plugins import CacheConfig, Config, Runtime, scope
from thrift_plugins.errors import ThriftError
from thrift_plugins.langchain import ResponseCache, ThriftChatModel
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.report import live
from thrift_plugins.report.figures import figures
from thrift_plugins.report.html import page
from thrift_plugins.report.markdown import markdown
from thrift_plugins.report.overview import print_overview
from thrift_plugins.report.story import tell
from thrift_plugins.stores import MemoryEventLog, SQLiteStore
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.types import ToolCall

SECRETS = {
    name: f"canary-{name}-{number:04x}"
    for number, name in enumerate(["apikey", "header", "organization", "query", "tenant-secret"], 0x5EC0)
}
WORDS = {
    name: f"canary-{name}-{number:04x}"
    for number, name in enumerate(["prompt", "system", "answer", "argument", "tooltext", "result", "error"], 0xF00D)
}
ANSWERS = {WORDS["answer"], WORDS["argument"]}
CANARIES = {*SECRETS.values(), *WORDS.values()}


@dataclass
class App:
    """Both frameworks on one file, after a round of calls of every kind."""

    runtime: Runtime
    folder: Path
    shown: list[str]
    keys: list[str]


def weather(place: str) -> str:
    """Tell the weather."""
    return place


def answer(request: Any) -> Answer:
    if "use the tool" in request.text:
        return Answer(tool_calls=(ToolCall("", "weather", {"place": WORDS["argument"]}),))
    return Answer(f"It is {WORDS['answer']}.")


def calls(runtime: Runtime, provider: LoopbackProvider, shown: list[str]) -> None:
    headers = {"Authorization": f"Bearer {SECRETS['header']}"}
    with httpx.Client(verify=False) as client:
        told: dict[str, Any] = {"default_headers": headers, "max_retries": 0, "http_client": client, "temperature": 0}
        chat = ChatOpenAI(
            model="gpt-4o", api_key=SECRETS["apikey"], organization=SECRETS["organization"], base_url=provider.base_url,
            default_query={"q": SECRETS["query"]}, **told,
        )  # fmt: skip
        llm = OpenAI(model="gpt-4o", api_key=SECRETS["apikey"], api_base=provider.base_url, **told)
        langchain = ThriftChatModel(tiers=[chat], runtime=runtime)
        llama_index = ThriftLLM(tiers=[llm], runtime=runtime)
        bare = chat.model_copy(update={"cache": ResponseCache(runtime.store)})
        chain = ChatPromptTemplate([("system", WORDS["system"]), ("user", "{text}")]) | langchain
        turns = [ChatMessage(role="system", content=WORDS["system"]), ChatMessage(role="user", content=WORDS["prompt"])]
        tool = FunctionTool.from_defaults(weather, description=WORDS["tooltext"])
        as_dict = tool.metadata.to_openai_tool()
        with scope(tenant=SECRETS["tenant-secret"]):
            for _ in range(2):  # a miss and a hit
                chain.invoke({"text": WORDS["prompt"]})
                list(chain.stream({"text": f"{WORDS['prompt']} again"}))
                langchain.bind_tools([as_dict]).invoke(f"use the tool {WORDS['prompt']}")
                bare.invoke(WORDS["prompt"])
                llama_index.chat(turns)
                list(llama_index.stream_chat(turns[1:]))
                llama_index.chat_with_tools([tool], f"use the tool {WORDS['prompt']}")
            failing = f"fail {WORDS['error']}"
            for ask in (langchain.invoke, llama_index.complete):
                with pytest.raises(openai.APIStatusError):
                    ask(failing)
            with closing(langchain.stream(f"leave {WORDS['prompt']}")) as stream:
                next(stream)
            with pytest.raises(ThriftError) as caught:
                langchain.invoke(WORDS["prompt"], {"configurable": {"thrift_route": "nowhere"}})
            shown.append(str(caught.value))
        cache = ResponseCache(runtime.store)
        shown += map(repr, (langchain, runtime, runtime.store, runtime.ledger, runtime.engine, runtime.prices, cache,
                            runtime.config))  # fmt: skip
        shown += map(str, (langchain, llama_index, runtime))
        shown += [repr(llama_index), repr(langchain.model_dump())]
        shown.append(str(llama_index.to_dict()))
        for bad in ({"tiers": [chat, chat]}, {"tiers": []}, {"tiers": [chat], "baseline": "x"}, {"tiers": [chat], "cache": True}):
            with pytest.raises(ThriftError) as caught:
                ThriftChatModel(runtime=runtime, **bad)  # type: ignore[arg-type]
            shown.append(str(caught.value))


class Watched(SQLiteStore):
    """A store that tells which keys it was asked for."""

    keys: list[str]

    def get(self, key: str) -> bytes | None:
        self.keys.append(key)
        return super().get(key)

    def put(self, key: str, *args: Any, **kwargs: Any) -> bool:
        self.keys.append(key)
        return super().put(key, *args, **kwargs)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, in_clear: None) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("canaries")
    store = Watched(folder / "thrift.db")
    store.keys = []
    runtime = Runtime(Config(store=str(folder / "thrift.db"), cache=CacheConfig(kinds=False)), store=store)
    shown: list[str] = []
    log = logging.getLogger("thrift_plugins")
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(handler.format(record))  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    with LoopbackProvider() as provider:
        provider.script(answer)
        provider.faults.on("fail", Fault.refuse(503))
        calls(runtime, provider, shown)
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)
    assert runtime.ledger is not None
    assert runtime.ledger.flush()
    yield App(runtime, folder, shown, store.keys)
    runtime.close()


def found(text: str) -> set[str]:
    return {canary for canary in CANARIES if canary in text}


def test_the_round_did_what_it_should(app: App):
    assert app.runtime.ledger is not None
    outcomes = [entry["outcome"] for entry in app.runtime.ledger.records()]
    assert {outcome: outcomes.count(outcome) for outcome in outcomes} == {"answered": 6, "hit": 6, "error": 3, "aborted": 1}


def test_what_we_show_tells_nothing(app: App):
    for text in app.shown:
        assert not found(text), text[:400]


def test_the_ledger_holds_no_words_and_no_secrets_but_the_tenant_s_name(app: App):
    assert app.runtime.ledger is not None
    for entry in app.runtime.ledger.records():
        assert entry["tenant"] == SECRETS["tenant-secret"], "the bill says whose it is"
        assert found(str(entry)) == {SECRETS["tenant-secret"]}


def test_a_key_is_digests_and_no_more(app: App):
    assert len(app.keys) > 10
    for key in app.keys:
        tag, digest = key.split(":")
        assert not found(key)
        assert set(tag) <= set("{}-0123456789abcdef")
        assert len(digest) == 64


def test_on_disk_the_words_of_answers_are_in_the_cache_alone(app: App):
    assert app.runtime.ledger is not None
    tables: dict[str, bytes] = {}
    for path in app.folder.glob("*.db"):
        with sqlite3.connect(path) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for name in names:
                rows = connection.execute(f"SELECT * FROM {name}").fetchall()
                tables[name] = tables.get(name, b"") + b"\n".join(
                    cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row
                )
        connection.close()
    kept = found(tables["answers"].decode("utf-8", "replace"))
    assert WORDS["answer"] in kept <= ANSWERS
    assert found(tables["events"].decode("utf-8", "replace")) == {SECRETS["tenant-secret"]}
    files = [path for path in app.folder.iterdir() if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files).decode("utf-8", "replace")
    assert found(everything) <= {*ANSWERS, SECRETS["tenant-secret"]}
    assert all(path.stat().st_mode & 0o077 == 0 for path in files), "for their owner alone"


def test_a_report_tells_no_words_and_no_secrets_but_the_tenant_s_name(app: App):
    assert app.runtime.ledger is not None
    bodies = [json.dumps(entry) for entry in app.runtime.ledger.records()]
    story = tell(roll_up(bodies))
    terminal = io.StringIO()
    print_overview(story, most=100, console=Console(file=terminal, width=400))
    watched = live.Watched(0.0)
    watched.add(bodies)
    Console(file=terminal, width=400).print(watched.drawn(200))
    told = [page(story, most=100, now=report_kit.NOW), markdown(story, most=100), terminal.getvalue(), str(figures(story))]
    for text in told:
        assert found(text) <= {SECRETS["tenant-secret"]}


def test_a_page_names_no_person_even_where_tenants_are_persons():
    log = MemoryEventLog()
    report_kit.fill(log, 500)
    story = tell(roll_up(log.bodies()))
    users = {f"user-{number}" for number in range(500)}
    for text in (page(story, most=100, now=report_kit.NOW), markdown(story, most=100)):
        assert not [secret for secret in (report_kit.MAIL, report_kit.KEY, report_kit.PHONE) if secret in text]
        assert not users & set(re.findall(r"user-\d+", text))
