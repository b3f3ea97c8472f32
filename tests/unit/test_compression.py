"""Prompt compression on what apps and tools really send, and on what nobody should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.compression_kit import FACTS, NEEDED, QUESTION, passages
from thrift_plugins.compression import Compressor, Extractor, Limit, Passage, Ranker
from thrift_plugins.compression.calibration import Calibration, margin_of
from thrift_plugins.compression.contexts import compress_contexts
from thrift_plugins.compression.extraction import GAP
from thrift_plugins.compression.features import SECOND, second_look
from thrift_plugins.compression.prompt_parts import parts_of, query_in
from thrift_plugins.compression.ranker import shipped
from thrift_plugins.compression.reading import Reading
from thrift_plugins.compression.vectors import WordTable
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain import ContextCompressor, PromptCompressor
from thrift_plugins.llama_index import ContextCompressor as NodeCompressor
from thrift_plugins.text.embed import StaticEmbedder
from thrift_plugins.types import Message, ToolCall

MODEL = "gpt-4o"


def compressed(text: str, limit: Limit | None = None):
    return Compressor(limit or Limit(ratio=4)).compress((Message("user", text),), MODEL)


# ---- bad input ----


def test_no_documents():
    made = compress_contexts(Compressor(Limit(ratio=2)), QUESTION, [], MODEL)
    assert made.texts == ()
    assert compress_contexts(Compressor(Limit(ratio=2)), QUESTION, [Passage("")], MODEL).texts == ("",)


def test_one_giant_sentence_stays():
    giant = "word " * 3_000
    made = compress_contexts(Compressor(Limit(ratio=10)), QUESTION, [Passage(giant)], MODEL)
    assert made.texts == (giant,)


def test_broken_json_is_text():
    broken = json.dumps([{"a": n, "b": "x"} for n in range(50)], indent=2)[:-20]
    made = Compressor().compress((Message("user", "Go"), Message("tool", broken, tool_call_id="c")), MODEL)
    assert made.messages[1].content == broken


def test_nested_fences_stay_byte_for_byte():
    code = "````md\n```py\nx  =  1   \n```\n\n\n\n````\n"
    made = compress_contexts(
        Compressor(Limit(ratio=1.0)), QUESTION, [Passage(f"Some  text.   \n\n\n\n{code}\nMore  text.")], MODEL
    )
    assert code in made.texts[0]


@pytest.mark.parametrize(
    "question", ["挪威的首都是什么？", "Wie heißt die Hauptstadt von Norwegen?", "ノルウェーの首都は？"]
)
def test_a_question_in_another_language_than_the_context(question: str):
    made = compressed(passages(question))
    assert made.messages[0].text.endswith(f"Question: {question}")
    assert made.tokens_after < made.tokens_before
    assert any(text.split(".")[0] in made.messages[0].text for text in FACTS.values())


def test_binary_noise():
    noise = "".join(chr((n * 7919) % 0xD7FF) for n in range(2_000))
    for text in (noise, noise.encode("utf-16", "surrogatepass").decode("latin-1"), "\x00" * 500, "\ud800" * 200):
        made = compress_contexts(Compressor(Limit(ratio=3)), QUESTION, [Passage(text), Passage(FACTS["Oslo"])], MODEL)
        assert any(made.texts)


def test_a_context_under_the_budget_comes_back_untouched():
    text = passages()
    made = compressed(text, Limit(max_tokens=10_000))
    assert made.messages[0].content == text
    assert made.edits == ()
    messy = [Passage("Two  spaces   \n\n\n\nand lines.  "), Passage(FACTS["Oslo"])]
    assert compress_contexts(Compressor(Limit(max_tokens=500)), QUESTION, messy, MODEL).texts == tuple(
        one.text for one in messy
    )


def test_images_and_tool_blocks_stay():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "kept"}
    asked = (
        Message("user", [picture, {"type": "text", "text": passages()}, result]),
        Message("assistant", [{"type": "tool_use", "id": "t2", "input": {}}], (ToolCall("t2", "look", {}),)),
    )
    made = Compressor(Limit(ratio=4)).compress(asked, MODEL)
    assert made.messages[0].content[0] is picture
    assert made.messages[0].content[2] is result
    assert made.messages[1] is asked[1]
    assert NEEDED in made.messages[0].content[1]["text"]


# ---- what is read as what ----


def test_what_nobody_knows_to_be_context_is_sent_as_it_was():
    text = "Rewrite this letter, please. " + " ".join(FACTS.values()) * 5
    assert compressed(text).messages[0].content == text


@pytest.mark.parametrize(
    "prompt",
    [
        f"<context>\n{' '.join(FACTS.values())}\n</context>\n\n{QUESTION}",
        f"<documents>\n<document>\n{FACTS['Oslo']}\n</document>\n<document>\n{FACTS['Bread']}\n</document>\n</documents>\n{QUESTION}",
        f"Context information is below.\n---------------------\n{' '.join(FACTS.values())}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: {QUESTION}\nAnswer: ",
        f"Use the passages.\n\nContext:\n{' '.join(FACTS.values())}\n\nQuestion: {QUESTION}",
        f"Document [1](Title: Oslo) {FACTS['Oslo']}\nDocument [2](Title: Rome) {FACTS['Rome']}\nDocument [3](Title: Rain) {FACTS['Rain']}\n\nQuestion: {QUESTION}",
    ],
)
def test_forms_of_prompts(prompt: str):
    parts = parts_of(prompt)
    assert query_in(parts) == QUESTION
    assert any(part.kind == "context" and NEEDED in part.text for part in parts)
    made = compressed(prompt, Limit(ratio=2.5))
    assert made.saved > 0
    assert NEEDED in made.messages[0].text
    assert QUESTION in made.messages[0].text
    assert not made.undone


def test_the_question_may_stand_in_the_next_message():
    asked = (Message("user", f"<context>\n{' '.join(FACTS.values())}\n</context>"), Message("user", QUESTION))
    made = Compressor(Limit(ratio=4)).compress(asked, MODEL)
    assert NEEDED in made.messages[0].text
    assert made.messages[1] is asked[1]


def test_citations_keep_their_numbers():
    text = compressed(passages()).messages[0].text
    assert "[3] Oslo\n" in text
    assert "[4]" not in text


def test_gaps_are_marked_and_what_is_left_out_can_be_fetched():
    long = Passage(
        "Oslo is old. Cows eat grass. Oslo is the capital of Norway. Hens lay eggs. Norway's capital has a fjord. Pigs dig.",
        "Oslo",
    )
    compressor = Compressor(Limit(ratio=2.6))
    made = compress_contexts(compressor, QUESTION, [long, Passage(FACTS["Rain"])], MODEL)
    assert GAP in made.texts[0]
    assert {compressor.fetch(one.id) for one in made.dropped} == {one.text for one in made.dropped}
    with pytest.raises(KeyError):
        compressor.fetch("never")


def test_a_page_becomes_its_words_and_keeps_its_addresses():
    page = (
        '<div class="x"><script>var a=1</script><p style="color:red">Oslo is <b>not</b> the capital of Sweden.</p>'
        '<p>See <a href="https://example.org/oslo">more</a>.</p><table><tr><td>Area</td><td>454 km</td></tr></table></div>'
    )
    made = Compressor().compress((Message("user", "Read it"), Message("tool", page, tool_call_id="c")), MODEL)
    text = made.messages[1].text
    assert "Oslo is not the capital of Sweden." in text
    assert "https://example.org/oslo" in text
    assert "| Area | 454 km" in text
    assert "color" not in text


def test_the_overlap_of_chunks_is_sent_once():
    chunk = "The first part of the report says many things about ships. It was written in 1920 by a captain who never slept."
    shared = "And here is a long enough piece that both of the chunks have in common, word for word."
    made = compress_contexts(
        Compressor(),
        QUESTION,
        [Passage(f"{chunk} {shared}"), Passage(f"{shared} The second part is about sails and ropes.")],
        MODEL,
    )
    assert made.texts[1].strip() == "The second part is about sails and ropes."
    assert made.dropped[0].text == shared


@pytest.mark.parametrize(
    "text",
    [
        "<document>\n" * 15_000,
        "<context>" + "\t" * 150_000 + "x</context>",
        "Passages:\nOslo lies at a fjord.\n\nQuestion: Where?" + "\n " * 75_000 + "x",
        "`" * 150_000,
        "<div>" * 4 + "<a " * 50_000,
        "<div>" * 4 + "<!-- >" * 25_000,
        "<div>" * 4 + "<![CDATA[ ]>" * 12_500,
        "<div></div>" * 4 + "<script>x</style>" * 10_000,
    ],
)
def test_what_nothing_closes_is_read_once(text):
    """Where each opening is looked for to the end it takes minutes each, and the guard against hanging ends it."""
    assert len(compressed(text).messages) == 1
    made = Compressor().compress((Message("user", "Go"), Message("tool", text, tool_call_id="c")), MODEL)
    assert len(made.messages) == 2


@pytest.mark.parametrize("declaration", ["<![foo[x]]>", "<![", "<![1]>"])
def test_a_page_with_a_declaration_that_is_none_stays_as_it_was(declaration):
    page = f"<div><p>Oslo lies at a fjord.</p></div>{declaration}<p>It rains.</p>" * 4
    made = compress_contexts(Compressor(), QUESTION, [Passage(page)], MODEL)
    assert made.texts == (page,)


def test_a_page_that_was_cut_is_read_all_the_same():
    page = "<div><p>Oslo lies at a fjord.</p></div>" * 4 + '<a href="https://exa'
    made = compress_contexts(Compressor(), QUESTION, [Passage(page)], MODEL)
    assert made.texts[0].startswith("Oslo lies at a fjord.\nOslo")


def test_an_embedder_that_is_down_leaves_the_text_as_it_was_and_is_asked_again():
    class Embedder(StaticEmbedder):
        down = True

        def embed(self, texts):
            if self.down:
                raise ConnectionError
            return super().embed(texts)

    embedder = Embedder()
    compressor = Compressor(Limit(ratio=4), embedder=embedder)
    made = compress_contexts(compressor, QUESTION, [Passage(text) for text in FACTS.values()], MODEL)
    assert made.texts == tuple(FACTS.values())
    prompt = (Message("user", passages()),)
    told = compressor.compress(prompt, MODEL)
    assert told.messages == prompt
    assert told.undoings() == ["extraction undone (ConnectionError raised)"]
    embedder.down = False
    assert compressor.compress(prompt, MODEL).saved > 0


@pytest.mark.parametrize("ends", ["\n\nWhat is the capital of Norway?", "\n\nQuestion: What is the capital of Norway?"])
@pytest.mark.parametrize("head", ["Context:\n", "[1] Cities\nRome is old.\n\n[2] Food\nBread is baked.\n\n[3] More\n"])
def test_instructions_between_passages_and_question_stay(head, ends):
    told = "\n\nUse the passages above alone. Never guess.\n\nIf you do not know, say so."
    prompt = head + "\n\n".join(FACTS.values()) + told + ends
    made = compressed(prompt)
    assert made.saved > 0
    assert made.messages[0].content.endswith(told.strip() + ends)
    assert query_in(parts_of(prompt)) == QUESTION


def test_a_half_tag_is_never_left():
    text = "<b>Oslo is the capital of Norway. It is old.</b> Hens lay eggs. Cows eat grass all day long. Pigs dig."
    made = compress_contexts(Compressor(Limit(ratio=3)), QUESTION, [Passage(text)], MODEL)
    assert made.texts[0] == text
    assert made.stages[-1].undone == "a tag would lose its other half"


# ---- vectors, rankers, limits ----


def test_without_learnt_vectors_it_finds_the_sentence_too():
    plain = Extractor(table=WordTable(StaticEmbedder(learnt=False)))
    made = compress_contexts(
        Compressor(Limit(ratio=5), extractor=plain),
        QUESTION,
        [Passage(text, title) for title, text in FACTS.items()],
        MODEL,
    )
    assert NEEDED in made.texts[2]
    assert plain.name != Extractor().name


def test_an_embedder_of_the_apps_own():
    class Backwards:
        name = "backwards"

        def embed(self, texts):
            import numpy as np

            return np.array([[1.0, 0.0] if "Norway" in text else [0.0, 1.0] for text in texts], np.float32)

    made = Extractor(embedder=Backwards()).extract(
        QUESTION, [Passage(text) for text in FACTS.values()], Limit(ratio=5), len
    )
    assert NEEDED in made.excerpts[2].text


def test_a_ranker_reads_back_and_a_spoilt_one_says_so(tmp_path: Path):
    ranker = shipped()
    assert Ranker.parse(ranker.dump()).dump() == ranker.dump()
    for spoilt in (
        "",
        "[]",
        "{}",
        ranker.dump().replace("thrift-ranker/1", "x"),
        ranker.dump().replace('"bm25"', '"bm26"'),
    ):
        with pytest.raises(ConfigError):
            Ranker.parse(spoilt)
    with pytest.raises(ConfigError, match="cannot read"):
        Ranker.load(tmp_path / "none.json")


def test_a_risk_is_kept_to_or_refused(tmp_path: Path):
    calibration = Calibration(tuple(-n / 10 for n in range(199)), Extractor().name)
    promise = calibration.promise(0.02)
    assert (promise.examples, promise.lost) == (199, 3)
    assert promise.low < 0.02 < promise.high
    assert sum(margin < -19.5 for margin in calibration.margins) == 3
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    with pytest.raises(ConfigError, match="needs 1,000 examples or more, and the calibration has 199"):
        Limit(risk=0.001, calibration=calibration)
    with pytest.raises(ConfigError, match="at any threshold"):
        Limit(risk=0.02, calibration=replace(calibration, margins=(float("-inf"),) * 199))
    with pytest.raises(ConfigError, match="needs a calibration"):
        Limit(risk=0.02)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no calibration"):
        Calibration.load(tmp_path / "bad.json")


@pytest.mark.parametrize("margins", ["[NaN]", "[1.0]", "[1e999]", '"-1"', "[" * 100_000])
def test_a_spoilt_calibration_is_refused(tmp_path, margins):
    file = tmp_path / "c.json"
    file.write_text(f'{{"format": "thrift-calibration/1", "extractor": "x", "margins": {margins}}}')
    with pytest.raises(ConfigError, match="is no calibration"):
        Calibration.load(file)


def test_a_margin_is_not_spelt_nearer_to_the_best_than_it_was(tmp_path):
    calibration = Calibration((-0.12342, -0.12348, -0.29), "x")
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json").margins == (-0.29, -0.1235, -0.1235)


def test_a_calibration_for_another_ranker_is_refused_wherever_it_is_given():
    other = Limit(risk=0.1, calibration=Calibration((-1.0,) * 99, "another ranker"))
    plain = Compressor()
    for give in (
        lambda: Compressor(other),
        lambda: ContextCompressor(other),
        lambda: ContextCompressor(other, compressor=plain),
        lambda: NodeCompressor(other),
        lambda: PromptCompressor(other),
        lambda: plain.compress((Message("user", "Hi"),), MODEL, limit=other),
        lambda: compress_contexts(plain, QUESTION, [Passage("x")], MODEL, other),
    ):
        with pytest.raises(ConfigError, match="made with another ranker"):
            give()


@pytest.mark.parametrize("risk", [0, -0.5, 1, 5, float("nan")])
def test_a_risk_that_is_none_is_refused(risk):
    with pytest.raises(ConfigError, match="risk must be above 0 and below 1"):
        Calibration((-1.0,) * 30, "x").promise(risk)


def test_margins():
    assert margin_of([1.0, 3.0, 2.0], [True, False, True], every=False) == -1.0
    assert margin_of([1.0, 3.0, 2.0], [True, False, True], every=True) == -2.0
    assert margin_of([1.0], [False], every=True) == float("-inf")


@pytest.mark.parametrize("given", [{"max_tokens": 0}, {"ratio": 0.9}, {"max_tokens": 5, "ratio": 2.0}, {"risk": 1.5}])
def test_limits_that_cannot_be(given: dict[str, float]):
    with pytest.raises(ConfigError):
        Limit(**given)


def test_a_turn_is_spoken_for_by_the_best_of_those_around_it():
    said = [f"Speaker {number % 3}: We talk about item {number}." for number in range(80)]
    reading = Reading.of("What of the budget?", [Passage("\n".join(said)), Passage("\n".join(said[:20]))], WordTable())
    assert reading.dialogue
    score = np.zeros(100, np.float32)
    score[40] = 5
    near, wide = (second_look(reading, score)[:, SECOND.index(name)] for name in ("score_near", "score_wide"))
    assert np.flatnonzero(near == 0).tolist() == list(range(30, 51))
    assert np.flatnonzero(wide == 0).tolist() == list(range(10, 71))
    prose = Reading.of("What?", [Passage("One thing is so. Another is not. " * 4)], WordTable())
    assert not second_look(prose, np.zeros(len(prose), np.float32))[:, SECOND.index("score_near")].any()


def test_a_title_is_named_without_what_tells_it_from_others():
    passages = [Passage("The game is won by Mercury. It is old.", "Games"), Passage("It is the smallest one. It is hot.", "Mercury (planet)")]
    reading = Reading.of("Who wins the game?", passages, WordTable())
    assert reading.title_terms[1] == ["mercury"]
    columns = second_look(reading, np.array([4, 1, 0, 0], np.float32))
    told = {name: columns[:, SECOND.index(name)].tolist() for name in ("title_named", "title_named_first", "title_named_early", "names_title")}
    assert told == {
        "title_named": [0, 0, 1, 1],
        "title_named_first": [0, 0, 1, 0],
        "title_named_early": [0, 0, 1, 0.5],
        "names_title": [1, 0, 0, 0],
    }
