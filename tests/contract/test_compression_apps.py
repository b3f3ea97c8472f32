"""Compression in an app on either framework: what the provider is sent, what of the app's own objects stays, what is booked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode

from tests.compression_kit import FACTS, NEEDED, QUESTION, passages
from tests.llama_index_kit import openai, user
from thrift_plugins import CacheConfig, CompressionConfig, Config, ConfigError, Limit, Runtime, scope
from thrift_plugins.langchain import ContextCompressor, PromptCompressor, ThriftChatModel
from thrift_plugins.llama_index import ContextCompressor as NodeCompressor
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import LoopbackProvider

ROWS = [{"city": f"Town {n}", "people": n * 1000, "open": n % 2 == 0} for n in range(20)]


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as made:
        yield made


def _runtime(**settings: Any) -> Runtime:
    told = CompressionConfig(enabled=True, **{"ratio": 3.0, **settings})
    return Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), compression=told))


def _langchain(provider: LoopbackProvider, runtime: Runtime) -> ThriftChatModel:
    model = ChatOpenAI(model="gpt-4o", base_url=provider.base_url, api_key="k", max_retries=0, stream_usage=True)
    return ThriftChatModel(tiers=[model], runtime=runtime)


def _events(runtime: Runtime) -> list[dict[str, Any]]:
    assert runtime.ledger is not None
    return list(runtime.ledger.records())


def _shrunk(provider: LoopbackProvider, runtime: Runtime) -> None:
    sent = provider.requests[-1].last_user
    assert NEEDED in sent
    assert sent.endswith(f"Question: {QUESTION}")
    assert "flour" not in sent
    entry = _events(runtime)[-1]
    (patch,) = entry["patches"]
    assert patch[0] == "compression"
    assert entry["bill"]["rows"]["compression"] > 0
    assert entry["baseline"]["usage"]["input_tokens"] > entry["usage"]["input_tokens"]


def test_langchain(provider: LoopbackProvider):
    runtime = _runtime()
    model = _langchain(provider, runtime)
    given = [SystemMessage("Answer from the passages."), HumanMessage(passages())]
    model.invoke(given)
    _shrunk(provider, runtime)
    assert given[1].content == passages()
    list(model.stream(given))
    _shrunk(provider, runtime)
    asyncio.run(model.ainvoke(given))
    _shrunk(provider, runtime)
    runtime.close()


def test_llama_index(provider: LoopbackProvider):
    runtime = _runtime()
    model = ThriftLLM(tiers=[openai(provider, "gpt-4o")], runtime=runtime)
    given = user(passages())
    model.chat(given)
    _shrunk(provider, runtime)
    assert given[0].content == passages()
    list(model.stream_chat(given))
    _shrunk(provider, runtime)
    model.complete(passages())
    _shrunk(provider, runtime)
    asyncio.run(model.achat(given))
    _shrunk(provider, runtime)
    runtime.close()


def test_blocks_keep_their_pictures(provider: LoopbackProvider):
    runtime = _runtime()
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    _langchain(provider, runtime).invoke([HumanMessage([picture, {"type": "text", "text": passages()}])])
    blocks = provider.requests[-1].body["messages"][0]["content"]
    assert blocks[0]["image_url"] == picture["image_url"]
    assert "flour" not in blocks[1]["text"]
    runtime.close()


def test_tool_results_are_spelt_more_cheaply_and_stay_with_their_calls(provider: LoopbackProvider):
    runtime = _runtime(ratio=None)
    call = {"id": "c1", "name": "towns", "args": {"open": True}}
    _langchain(provider, runtime).invoke(
        [
            HumanMessage("Which towns are open?"),
            AIMessage("", tool_calls=[call]),
            ToolMessage(json.dumps(ROWS, indent=2), tool_call_id="c1"),
        ]
    )
    _, asked, told = provider.requests[-1].body["messages"]
    assert asked["tool_calls"][0]["id"] == told["tool_call_id"] == "c1"
    assert json.loads(asked["tool_calls"][0]["function"]["arguments"]) == call["args"]
    assert told["content"].startswith("city,people,open\nTown 0,0,true\n")
    runtime.close()


def test_nothing_before_a_breakpoint_is_touched(provider: LoopbackProvider):
    runtime = _runtime()
    frozen = [{"type": "text", "text": passages(), "cache_control": {"type": "ephemeral"}}]
    _langchain(provider, runtime).invoke([HumanMessage(frozen), AIMessage("Oslo"), HumanMessage(passages())])
    sent = provider.requests[-1].body["messages"]
    assert sent[0]["content"][0]["text"] == passages()
    assert "flour" not in sent[2]["content"]
    runtime.close()


def test_a_growing_conversation_begins_as_it_did_before(provider: LoopbackProvider):
    runtime = _runtime()
    model = _langchain(provider, runtime)
    talk: list[Any] = [SystemMessage("Answer from the passages.")]
    before: list[Any] = []
    for question in (QUESTION, "Where does bread come from?", "What do farmers wait for?", "Which river is in Rome?"):
        talk.append(HumanMessage(passages(question)))
        answer = model.invoke(talk)
        talk.append(AIMessage(answer.text))
        sent = provider.requests[-1].body["messages"]
        assert sent[: len(before)] == before
        before = sent
    runtime.close()


def test_a_feature_may_have_its_own_limit_or_none(provider: LoopbackProvider):
    runtime = _runtime(features={"legal": {"enabled": False}, "faq": {"max_tokens": 40}})
    model = _langchain(provider, runtime)
    with scope(feature="legal"):
        model.invoke(passages())
    assert provider.requests[-1].last_user == passages()
    with scope(feature="faq"):
        model.invoke(passages())
    assert len(provider.requests[-1].last_user) < len(passages()) / 2
    runtime.close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_tokens": 3, "ratio": 2.0}, "give one of max_tokens, ratio and risk"),
        ({"ratio": 0.5}, "how many times fewer"),
        ({"ratio": None, "risk": 0.02}, "needs compression.calibration"),
        ({"features": {"a": {"speed": 1}}}, "compression.features.a has no setting 'speed'"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        _runtime(**settings)


# ---- what works alone ----


def _documents() -> list[Document]:
    return [Document(text, id=title, metadata={"title": title, "page": 3}) for title, text in FACTS.items()]


def test_a_document_compressor():
    compressor = ContextCompressor(Limit(ratio=4.0))
    documents = _documents()
    made = compressor.compress_documents(documents, QUESTION)
    assert NEEDED in "".join(document.page_content for document in made)
    assert [document.id for document in made] == [
        title for title in FACTS if title in {document.id for document in made}
    ]
    assert all(document.metadata == {"title": document.id, "page": 3} for document in made)
    assert all(type(document) is Document for document in made)
    assert documents == _documents()
    report = compressor.report(documents, QUESTION)
    assert report.tokens_after <= report.tokens_before / 4
    whole = "".join(FACTS.values())
    gone = "".join(one.text for one in report.dropped)
    assert sorted(gone.replace(" ", "")) == sorted(
        (whole.replace(" ", "")) if not "".join(report.texts) else _less(whole, "".join(report.texts))
    )
    assert all(compressor.fetch(one.id) == one.text for one in report.dropped)
    assert asyncio.run(compressor.acompress_documents(documents, QUESTION)) == made


def _less(whole: str, kept: str) -> str:
    rest = list(whole.replace(" ", ""))
    for char in kept.replace(" ", "").replace("…", ""):
        rest.remove(char)
    return "".join(rest)


def test_a_node_postprocessor():
    nodes: list[Any] = [
        NodeWithScore(node=TextNode(text=text, id_=title, metadata={"title": title}), score=0.5)
        for title, text in FACTS.items()
    ]
    picture = NodeWithScore(node=ImageNode(image_url="http://localhost/x.png", id_="picture"), score=0.1)
    compressor = NodeCompressor(Limit(ratio=4.0))
    made = compressor.postprocess_nodes([*nodes, picture], query_str=QUESTION)
    assert NEEDED in "".join(found.node.get_content() for found in made[:-1])
    assert all(found.score == 0.5 for found in made[:-1])
    assert [found.node.node_id for found in made[:-1]] == [
        t for t in FACTS if t in {found.node.node_id for found in made}
    ]
    assert made[-1].node.node_id == "picture"
    assert nodes[0].node.text == FACTS["Paris"]
    assert compressor.postprocess_nodes(nodes, query_bundle=None) == nodes
    assert compressor.postprocess_nodes([], query_bundle=QueryBundle(QUESTION)) == []


def test_a_prompt_compressor_gives_what_it_was_given():
    compressor = PromptCompressor(Limit(ratio=3.0))
    assert isinstance(compressor.invoke(passages()), str)
    assert "flour" not in compressor.invoke(passages())
    chain = ChatPromptTemplate([("system", "Answer."), ("human", "{given}")]) | compressor
    value = chain.invoke({"given": passages()})
    assert [message.type for message in value.to_messages()] == ["system", "human"]
    assert "flour" not in value.to_messages()[1].content
    given = [HumanMessage(passages())]
    assert asyncio.run(compressor.ainvoke(given))[0].content == value.to_messages()[1].content
    plain = [HumanMessage("Hello?")]
    assert compressor.invoke(plain) is plain


def test_history_goes_whole_and_in_steps():
    talk: list[Any] = [SystemMessage("Be brief.")]
    for number in range(30):
        call = {"id": f"c{number}", "name": "look", "args": {"n": number}}
        talk += [
            HumanMessage(f"Question {number}: " + "word " * 20),
            AIMessage("", tool_calls=[call]),
            ToolMessage("result " * 20, tool_call_id=f"c{number}"),
            AIMessage("Done."),
        ]
    compressor = PromptCompressor(max_history=600)
    starts = set()
    for end in range(21, len(talk), 4):
        made = compressor.invoke(talk[:end])
        assert made[0] == talk[0]
        assert made[-1] == talk[end - 1]
        asked = {call["id"] for message in made for call in getattr(message, "tool_calls", ())}
        assert asked == {message.tool_call_id for message in made if isinstance(message, ToolMessage)}
        assert made[1].type == "human"
        starts.add(made[1].content)
    assert len(starts) < 15  # of 25 prompts
