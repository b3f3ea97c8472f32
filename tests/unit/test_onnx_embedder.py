"""A sentence encoder in ONNX form: a small one, made here, run by the real runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from thrift_plugins.errors import ConfigError
from thrift_plugins.text.onnx import OnnxEmbedder

VOCABULARY = {"[PAD]": 0, "[UNK]": 1, "refund": 2, "money": 3, "weather": 4}
TABLE = np.array([[9, 9], [0, 0.5], [1, 0], [0.9, 0.1], [0, 1]], np.float32)


def encoder(folder: Path, *, pooled: bool = False) -> Path:
    """Looks each token up in a table; `pooled`, gives the sum of a text's."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["tokens"])]
    if pooled:
        nodes.append(helper.make_node("ReduceSum", ["tokens", "axis"], ["text"], keepdims=0))
    shape = ["n", 2] if pooled else ["n", "t", 2]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("text" if pooled else "tokens", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_padding_counts_for_nothing(tmp_path: Path):
    embedder = OnnxEmbedder(encoder(tmp_path))
    rows = embedder.embed(["refund", "refund money weather"])
    assert rows.dtype == np.float32
    assert rows[0] == pytest.approx([1, 0])
    mean = TABLE[2:5].mean(axis=0)
    assert rows[1] == pytest.approx(mean / np.linalg.norm(mean))


def test_an_encoder_that_pools_by_itself(tmp_path: Path):
    assert OnnxEmbedder(encoder(tmp_path, pooled=True)).embed(["weather"])[0] == pytest.approx([0, 1])


def test_many_texts_and_none(tmp_path: Path):
    embedder = OnnxEmbedder(encoder(tmp_path))
    texts = ["refund", "weather money", "", "\ud800 refund"] * 20
    assert embedder.embed(texts) == pytest.approx(
        np.concatenate([embedder.embed([text, "money"])[:1] for text in texts])
    )
    assert embedder.embed([]).shape[0] == 0
    assert not embedder.embed([""]).any()


def test_other_weights_have_another_name(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, again = OnnxEmbedder(encoder(tmp_path / "a")), OnnxEmbedder(tmp_path / "a")
    assert first.name == again.name
    assert (
        len(
            {
                first.name,
                OnnxEmbedder(encoder(tmp_path / "b", pooled=True)).name,
                OnnxEmbedder(tmp_path / "a", longest=9).name,
            }
        )
        == 3
    )


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_what_is_missing_or_damaged_is_named(tmp_path: Path, name: str):
    folder = encoder(tmp_path)
    (folder / name).write_text("no such thing")
    with pytest.raises(ConfigError, match="cannot be read"):
        OnnxEmbedder(folder)
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"has no {name}"):
        OnnxEmbedder(folder)
