"""Compression with a sentence encoder of the app's own, in each place that takes one: a small one, run by the real runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from llama_index.core.schema import NodeWithScore, TextNode
from typer.testing import CliRunner

from tests.unit.test_onnx_embedder import encoder
from thrift_plugins import CacheConfig, CompressionConfig, Config, ConfigError, Limit, Runtime
from thrift_plugins.cli import app
from thrift_plugins.compression import Compressor, Extractor, Passage
from thrift_plugins.langchain import ContextCompressor, PromptCompressor, ThriftChatModel
from thrift_plugins.llama_index import ContextCompressor as NodeCompressor
from thrift_plugins.testing import LoopbackProvider
from thrift_plugins.text.onnx import OnnxEmbedder

QUESTION = "Who decides on a refund?"
MEANT = "The money is handed out by Anna."
OTHERS = ("Weather is bad in the north. It will be weather as usual.", "Some weather lasts for weeks. Other weather is over in a day.")
TEXTS = (OTHERS[0], f"{MEANT} Weather permitting she is in.", OTHERS[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "encoder"
    place.mkdir()
    return encoder(place)


def test_it_reads_what_no_word_says(folder: Path):
    passages = [Document(text) for text in TEXTS]
    extractor = Extractor(embedder=OnnxEmbedder(folder))
    assert extractor.name != Extractor().name
    _, plain = Extractor().read(QUESTION, [Passage(text) for text in TEXTS])
    reading, scores = extractor.read(QUESTION, [Passage(text) for text in TEXTS])
    meant = [text.strip() for text in reading.texts].index(MEANT)
    assert scores[meant] - scores.mean() > plain[meant] - plain.mean()
    assert int(scores.argmax()) == meant
    made = ContextCompressor(Limit(max_tokens=10), embedder=OnnxEmbedder(folder)).compress_documents(passages, QUESTION)
    assert [document.page_content for document in made] == [MEANT]


def test_llama_index(folder: Path):
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    made = NodeCompressor(Limit(max_tokens=10), embedder=OnnxEmbedder(folder)).postprocess_nodes(nodes, query_str=QUESTION)
    assert [found.node.get_content() for found in made] == [MEANT]


def test_prompts_and_the_wrapped_model(folder: Path):
    listed = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(TEXTS * 2, 1))
    prompt = f"Passages:\n{listed}\n\nQuestion: {QUESTION}"
    compressor = PromptCompressor(Limit(ratio=4.0), embedder=OnnxEmbedder(folder))
    assert MEANT in compressor.invoke(prompt)
    compression = CompressionConfig(enabled=True, ratio=4.0, encoder=str(folder))
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), compression=compression))
    with LoopbackProvider() as provider:
        model = ChatOpenAI(model="gpt-4o", base_url=provider.base_url, api_key="k", max_retries=0)
        ThriftChatModel(tiers=[model], runtime=runtime).invoke([HumanMessage(prompt)])
        assert provider.requests[-1].last_user == compressor.invoke(prompt)
    runtime.close()


def test_what_cannot_work(folder: Path):
    embedder = OnnxEmbedder(folder)
    for make in (ContextCompressor, NodeCompressor, PromptCompressor):
        with pytest.raises(ConfigError, match="give the embedder to the compressor"):
            make(embedder=embedder, compressor=Compressor())
    with pytest.raises(ConfigError, match="give the embedder to the extractor"):
        Compressor(embedder=embedder, extractor=Extractor())
    compression = CompressionConfig(enabled=True, encoder=str(folder / "nowhere"))
    with pytest.raises(ConfigError, match=r"has no model\.onnx"):
        Runtime(Config(store="memory:", compression=compression))


def test_a_ranker_and_a_calibration_are_made_for_an_encoder(folder: Path, tmp_path: Path):
    examples = tmp_path / "examples.jsonl"
    rows = [{"question": QUESTION, "passages": [*TEXTS], "answers": ["by Anna"]} for _ in range(60)]
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ranker, promise = tmp_path / "ranker.json", tmp_path / "calibration.json"
    run = CliRunner()
    made = run.invoke(app, ["compress", "train", str(examples), "--encoder", str(folder), "--out", str(ranker)])
    assert made.exit_code == 0, made.output
    told = ["--ranker", str(ranker), "--encoder", str(folder), "--risk", "0.05", "--out", str(promise)]
    made = run.invoke(app, ["compress", "calibrate", str(examples), *told])
    assert made.exit_code == 0, made.output

    def settings(**more: Any) -> Config:
        compression = CompressionConfig(enabled=True, risk=0.05, calibration=str(promise), ranker=str(ranker), **more)
        return Config(store="memory:", compression=compression)

    Runtime(settings(encoder=str(folder))).close()
    with pytest.raises(ConfigError, match="was made with another ranker or other word vectors"):
        Runtime(settings())
