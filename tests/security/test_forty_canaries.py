"""Forty canaries: keys, headers, prompts and what is personal, through every way to call a model in both frameworks.

They are looked for in logs, reprs, errors, files, ledger, report, page and the doctor's words. What a model answered is in the
cache, as it must be; no word of a prompt is anywhere, unless the app has switched on what records it.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sqlite3
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from llama_index.core import Document, SummaryIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel, Field
from rich.console import Console

from tests import report_kit
from tests.cli_kit import SDK_LEAKS, command, stranger
from thrift_plugins import (
    Budget,
    CacheConfig,
    Config,
    OutputConfig,
    QualityConfig,
    RoutingConfig,
    Runtime,
    SemanticConfig,
    Target,
    feedback,
    scope,
)  # fmt: skip
from thrift_plugins.errors import BudgetExceeded, ThriftError
from thrift_plugins.langchain import ResponseCache, ThriftChatModel
from thrift_plugins.langchain import TokenBudgetHandler as LangChainHandler
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.report.figures import figures
from thrift_plugins.report.html import page
from thrift_plugins.report.markdown import markdown
from thrift_plugins.report.overview import print_overview
from thrift_plugins.report.story import tell
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.types import ToolCall

pytestmark = [
    SDK_LEAKS,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
]

_NAMES = {
    "key": ("langchain-key", "llama-key", "organization", "project", "secret", "store-password", "ledger-password", "query"),
    "header": ("authorization", "cookie", "x-api-key", "x-forwarded-for", "user-agent", "x-session"),
    "prompt": (
        "system", "user", "earlier-question", "earlier-answer", "template", "document", "streamed", "batched", "tool-text",
        "tool-result", "schema-text", "stop", "image", "completion",
    ),
    "person": ("name", "mail", "phone", "iban", "address", "passport", "metadata", "run-name", "tag", "end-user"),
    "answer": ("words", "argument"),
}  # fmt: skip
C = {name: f"cnry{number:02x}{kind[0]}{name.replace('-', '')}" for kind, names in _NAMES.items()
     for number, name in enumerate(names, 0x40)}  # fmt: skip
ANSWERS = {C["words"], C["argument"]}
PEOPLE = ", ".join(C[name] for name in _NAMES["person"][:6])


class Verdict(BaseModel):
    """A verdict."""

    word: str = Field(description=C["schema-text"])


@dataclass
class Round:
    """What a round of calls left behind."""

    runtime: Runtime
    folder: Path
    shown: list[str] = field(default_factory=list)


def answer(request: Any) -> Answer:
    if request.functions and not request.answers_tool:
        name = request.functions[0].get("name", "weather")
        given = {"word": C["argument"]} if name == "Verdict" else {"place": C["argument"]}
        return Answer(tool_calls=(ToolCall("", name, given),))
    if "response_format" in request.body:
        return Answer(json.dumps({"word": C["argument"]}))
    return Answer(f"It is {C['words']}.")


def weather(place: str) -> str:
    """Tell the weather."""
    return place


def langchain_calls(model: ThriftChatModel, bare: ChatOpenAI, shown: list[str]) -> None:
    turns = [
        SystemMessage(C["system"]), HumanMessage(C["earlier-question"]), AIMessage(C["earlier-answer"]),
        HumanMessage(f"What of {C['user']} and {PEOPLE}?"),
    ]  # fmt: skip
    told: Any = {"metadata": {"note": C["metadata"]}, "run_name": C["run-name"], "tags": [C["tag"]]}
    picture = [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{C['image']}"}},
    ]
    tool = FunctionTool.from_defaults(weather, description=C["tool-text"]).metadata.to_openai_tool()
    called = AIMessage("", tool_calls=[{"name": "weather", "args": {"place": "here"}, "id": "1"}])
    results = [called, ToolMessage(C["tool-result"], tool_call_id="1")]
    for _ in range(2):  # a miss and a hit
        model.invoke(turns, told, stop=[C["stop"]], user=C["end-user"])
        list(model.stream(C["streamed"], told))
        model.batch([C["batched"], f"{C['batched']} 2"], told)
        model.bind_tools([tool]).invoke(turns, told)
        model.bind_tools([tool]).invoke([*turns, *results], told)
        model.with_structured_output(Verdict).invoke(C["user"], told)
        bare.invoke(C["user"], told)
    with suppress(Exception):  # a picture that is none may be refused
        model.invoke([HumanMessage(picture)], told)
    asyncio.run(_langchain_later(model, turns, told))
    with closing(model.stream(f"leave {C['streamed']}", told)) as stream:
        next(stream)
    for failing in (
        lambda: model.invoke(f"fail {C['user']}", told),
        lambda: list(model.stream(f"break {C['user']}", told)),
    ):
        with suppress(Exception):  # the provider's own error is the app's
            failing()
    with pytest.raises(ThriftError) as caught:
        model.invoke(turns, {"configurable": {"thrift_route": "nowhere"}})
    shown.append(str(caught.value))


async def _langchain_later(model: ThriftChatModel, turns: Any, told: Any) -> None:
    await model.ainvoke(turns, told)
    await _drained(model.astream(C["streamed"], told))
    await model.abatch([C["batched"]], told)
    await _drained(model.astream_events(C["user"], told, version="v2"))


async def _drained(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


def llama_index_calls(llm: ThriftLLM, shown: list[str]) -> None:
    turns = [
        ChatMessage(role="system", content=C["system"]), ChatMessage(role="user", content=C["earlier-question"]),
        ChatMessage(role="assistant", content=C["earlier-answer"]), ChatMessage(role="user", content=f"{C['user']} {PEOPLE}"),
    ]  # fmt: skip
    tool = FunctionTool.from_defaults(weather, description=C["tool-text"])
    index = SummaryIndex.from_documents([Document(text=f"{C['document']} {PEOPLE}")])
    for _ in range(2):
        llm.chat(turns, stop=[C["stop"]])
        list(llm.stream_chat(turns))
        llm.complete(C["completion"])
        list(llm.stream_complete(C["completion"]))
        llm.chat_with_tools([tool], C["user"])
        index.as_query_engine(llm=llm).query(C["template"])
        llm.as_structured_llm(Verdict).chat(turns)
    asyncio.run(_llama_index_later(llm, turns))
    for failing in (lambda: llm.complete(f"fail {C['user']}"), lambda: list(llm.stream_complete(f"break {C['user']}"))):
        with suppress(Exception):
            failing()
    shown.append(str(llm.to_dict()))


async def _llama_index_later(llm: ThriftLLM, turns: Any) -> None:
    await llm.achat(turns)
    await _drained(await llm.astream_chat(turns))
    await llm.acomplete(C["completion"])


def a_budget_refuses(provider: LoopbackProvider, chat: ChatOpenAI, shown: list[str]) -> None:
    own = Runtime(Config(store="memory:", budgets=[Budget.tokens("none", 1, window="total")]))
    handler = LangChainHandler([Budget.tokens("none", 1, window="total")], runtime=Runtime(Config(store="memory:")))
    for ask in (
        lambda: ThriftChatModel(tiers=[chat], runtime=own).invoke(C["user"]),
        lambda: chat.invoke(C["user"], {"callbacks": [handler]}),
    ):
        with pytest.raises(BudgetExceeded) as caught:
            ask()
        shown += [str(caught.value), repr(caught.value), repr(handler), str(own.budgets())]
    own.close()


def a_server_is_down(shown: list[str]) -> None:
    """Passwords in URLs are shown nowhere, not even in what is said of a store that does not answer."""
    url = f"redis://user:{C['store-password']}@127.0.0.1:1"
    config = Config(store=url, budget_url=url)
    shown += [repr(config), str(config)]
    Path("thrift.toml").write_text(
        f'store = "{url}"\n[ledger]\nurl = "redis://user:{C["ledger-password"]}@127.0.0.1:1"\n'
    )
    for words in (
        ["doctor"],
        ["doctor", "--json"],
        ["report"],
        ["cache", "stats"],
        ["budgets"],
        ["watch", "--seconds", "0"],
    ):
        done = command(*words)
        shown += [done.output, str(done.exception)]
    Path("thrift.toml").unlink()


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory, in_clear: None) -> Iterator[Round]:
    folder = tmp_path_factory.mktemp("forty")
    with pytest.MonkeyPatch.context() as monkeypatch, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        stranger(monkeypatch, folder)
        monkeypatch.setenv("THRIFT_SECRET", C["secret"])
        monkeypatch.setenv("OPENAI_API_KEY", C["langchain-key"])
        yield from _round(folder, warned)


def _round(folder: Path, warned: list[Any]) -> Iterator[Round]:
    config = Config(
        store=str(folder / "thrift.db"),
        cache=CacheConfig(kinds=False, stale=60),
        routing=RoutingConfig(),
        output=OutputConfig(features={"faq": Target(words=60, mode="hard")}),
        budgets=[Budget.usd("a day", 5, window="day", per=["tenant"])],
        quality=QualityConfig(enabled=True, share=1.0, usd=1.0),
    )
    runtime = Runtime(config)
    left = Round(runtime, folder)
    log, handler = logging.getLogger("thrift_plugins"), logging.Handler()
    handler.emit = lambda record: left.shown.append(handler.format(record))  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    headers = {name: C[name] for name in _NAMES["header"]}
    with LoopbackProvider() as provider, httpx.Client(verify=False) as client, scope(tenant="acme", feature="faq"):
        provider.script(answer)
        provider.faults.on("fail", Fault.refuse(503))
        provider.faults.on("break", Fault.break_after(2))
        told: Any = {"default_headers": headers, "max_retries": 0, "temperature": 0}
        chats = [
            ChatOpenAI(
                model=name, api_key=C["langchain-key"], organization=C["organization"], base_url=provider.base_url,
                http_client=client, default_query={"q": C["query"], "project": C["project"]}, max_tokens=100, **told,
            )
            for name in ("gpt-4o-mini", "gpt-4o")
        ]  # fmt: skip
        llms = [
            OpenAI(
                model=name,
                api_key=C["llama-key"],
                api_base=provider.base_url,
                http_client=client,
                max_tokens=100,
                **told,
            )
            for name in ("gpt-4o-mini", "gpt-4o")
        ]
        model, llm = ThriftChatModel(tiers=chats, runtime=runtime), ThriftLLM(tiers=llms, runtime=runtime)
        bare = chats[0].model_copy(update={"cache": ResponseCache(runtime.store)})
        langchain_calls(model, bare, left.shown)
        llama_index_calls(llm, left.shown)
        a_budget_refuses(provider, chats[0], left.shown)
        a_server_is_down(left.shown)
        feedback("no-such-call", good=False, runtime=runtime)
        runtime.background.close()
        sent = json.dumps([request.body for request in provider.requests])
    assert {*_NAMES["prompt"]} - found(sent) <= {"image"}, "every one was there to be found"
    left.shown += [
        repr(x)
        for x in (model, llm, runtime, runtime.store, runtime.engine, runtime.ledger, runtime.gate, config, bare.cache)
    ]
    left.shown += [str(x) for x in (model, llm, runtime, model.model_dump(), runtime.budgets())]
    left.shown += [str(warning.message) for warning in warned if "thrift" in warning.filename]
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)
    assert runtime.ledger is not None
    assert runtime.ledger.flush()
    yield left
    runtime.close()


def found(text: str) -> set[str]:
    return {name for name, canary in C.items() if canary in text}


def on_disk(folder: Path) -> str:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode("utf-8", "replace")


def test_there_are_forty():
    assert len(set(C.values())) == 40
    assert len(C) == 40


def test_the_round_did_what_it_should(round_: Round):
    outcomes = [entry["outcome"] for entry in round_.runtime.ledger.records()]
    assert outcomes.count("answered") > 12
    assert outcomes.count("hit") > 12
    assert outcomes.count("error") >= 3
    assert outcomes.count("aborted") >= 1


def test_logs_reprs_errors_and_warnings_tell_none(round_: Round):
    for text in round_.shown:
        assert not found(text), text[:300]


def test_the_ledger_tells_none(round_: Round):
    for entry in round_.runtime.ledger.records():
        assert not found(json.dumps(entry)), entry


def test_files_hold_none_but_what_models_answered(round_: Round):
    assert {C[name] for name in found(on_disk(round_.folder))} <= ANSWERS
    ledgers = list(round_.folder.glob("*ledger*.db"))
    assert ledgers
    for path in ledgers:
        with closing(sqlite3.connect(path)) as connection:
            assert not found("\n".join(connection.iterdump()))


def test_report_page_and_doctor_tell_none(round_: Round, monkeypatch: pytest.MonkeyPatch):
    bodies = [json.dumps(entry) for entry in round_.runtime.ledger.records()]
    story, terminal = tell(roll_up(bodies)), io.StringIO()
    print_overview(story, most=100, console=Console(file=terminal, width=400))
    told = [
        page(story, most=100, now=report_kit.NOW),
        markdown(story, most=100),
        terminal.getvalue(),
        str(figures(story)),
    ]
    monkeypatch.chdir(round_.folder)
    monkeypatch.setenv("OPENAI_API_KEY", C["langchain-key"])
    monkeypatch.setenv("THRIFT_SECRET", C["secret"])
    (round_.folder / "thrift.toml").write_text(f'store = "{round_.folder / "thrift.db"}"\n')
    commands = "doctor|doctor --json|report|cache stats|gate|simulate|export out.json".split("|")
    told += [command(*words.split()).output for words in commands]
    (round_.folder / "thrift.toml").unlink()
    for text in told:
        assert not found(text), text[:300]


def test_questions_are_kept_only_where_the_semantic_tier_is_switched_on(tmp_path: Path, in_clear: None):
    for enabled in (False, True):
        folder = tmp_path / str(enabled)
        folder.mkdir()
        similar = CacheConfig(kinds=False, semantic=SemanticConfig(enabled=enabled))
        runtime = Runtime(Config(store=str(folder / "a.db"), cache=similar))
        with LoopbackProvider() as provider, scope(tenant="acme", feature="faq"):
            provider.script(answer)
            chat = ChatOpenAI(
                model="gpt-4o-mini", api_key=C["langchain-key"], base_url=provider.base_url, temperature=0
            )
            ThriftChatModel(tiers=[chat], runtime=runtime).invoke(
                [SystemMessage(C["system"]), HumanMessage(f"What about the word {C['user']}?")]
            )
        runtime.close()
        assert found(on_disk(folder)) - {"words"} == ({"user"} if enabled else set())
