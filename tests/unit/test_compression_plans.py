"""What a prompt cache is worth, few-shot examples, and condensed prompts with their evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompt_values import StringPromptValue
from langchain_core.prompts import FewShotPromptTemplate, PromptTemplate
from typer.testing import CliRunner

from tests.compression_kit import FACTS, QUESTION, passages
from thrift_plugins.cli import app
from thrift_plugins.compression import Compressor, Limit
from thrift_plugins.compression.breaks import breakpoints
from thrift_plugins.compression.cache_plan import CachePlan, CacheRules, Traffic
from thrift_plugins.compression.condense import Case, Lock, cases, condense, coverage, rules
from thrift_plugins.compression.examples import Examples
from thrift_plugins.compression.labelled import labelled
from thrift_plugins.compression.policy import CompressionPolicy
from thrift_plugins.compression.ranker import Ranker
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain import ExampleSelector, PromptCompressor
from thrift_plugins.prices import Prices
from thrift_plugins.types import Message, Request, Tier

GPT = CacheRules.of("gpt-4o", Prices())
CLAUDE = CacheRules.of("claude-sonnet-4-5", Prices())


# ---- the prompt cache ----


def test_what_providers_do():
    assert (GPT.minimum, GPT.marked, GPT.write) == (1_024, False, GPT.input)
    assert CLAUDE.marked
    assert CLAUDE.read < CLAUDE.input < CLAUDE.write
    assert CacheRules.of("claude-haiku-4-5", Prices()).minimum == 4_096


def test_a_prefix_below_the_minimum_loses_the_discount():
    plan = CachePlan(CLAUDE)
    verdict = plan.best(Traffic(prefix=1_200, tail=0, turns=10, hit_rate=1.0), prefix=900)
    assert verdict.choice == "none"
    assert verdict.refused["prefix"] > 0
    assert plan.best(Traffic(prefix=3_200, tail=1_800, turns=1), prefix=1_100, tail=600).choice == "both"


def test_all_of_it_anew_for_each_request_is_refused_where_the_cache_is_warm():
    verdict = CachePlan(CLAUDE).best(Traffic(prefix=10_000, tail=200, turns=5, hit_rate=0.95), prefix=5_000)
    assert verdict.choice == "prefix"
    assert verdict.refused["per request"] > 0


def test_a_message_is_not_made_so_short_that_the_cache_is_lost():
    prices = Prices()
    long = passages().replace(
        "Question:",
        "\n\n".join(
            f"[{n}] Stone {n}\n" + " ".join(f"Stone {n} of quarry {m} is hard and grey." for m in range(12))
            for n in range(6, 18)
        )
        + "\n\nQuestion:",
    )
    request = Request("r", 0.0, "claude-sonnet-4-5", (Message("user", long),))
    tier = Tier("claude-sonnet-4-5", "claude-sonnet-4-5")
    once = CompressionPolicy(Compressor(Limit(ratio=2)), prices=prices).compress(request, tier)
    often = CompressionPolicy(Compressor(Limit(ratio=2)), prices=prices, turns=20).compress(request, tier)
    assert once is not None
    assert often is not None
    assert once.saved > 0
    assert often.messages == request.messages
    assert often.undoings() == ["extraction undone (the prompt cache is worth more)"]


def test_breakpoints_stand_behind_instructions_and_at_the_end():
    messages = [Message("system", "s"), Message("user", "u"), Message("assistant", "a"), Message("user", "u")]
    assert breakpoints(messages, [2_000, 10, 10, 10], CLAUDE) == [0, 3]
    assert breakpoints(messages, [500, 10, 10, 10], CLAUDE) == []
    assert breakpoints(messages, [2_000, 10, 10, 10], GPT) == []


def test_cache_control_is_placed_for_anthropic_alone():
    given = [SystemMessage("Rules. " * 1_000), HumanMessage("Hello?")]
    made = PromptCompressor(model="claude-sonnet-4-5", cache_control=True).invoke(given)
    assert made[0].content[0]["cache_control"] == made[1].content[0]["cache_control"] == {"type": "ephemeral"}
    assert made[0].content[0]["text"] == given[0].content
    assert PromptCompressor(model="claude-sonnet-4-5", cache_control=True).invoke(made) is made
    assert PromptCompressor(model="gpt-4o", cache_control=True).invoke(given) is given


def test_a_text_has_no_place_for_a_mark():
    compressor = PromptCompressor(model="claude-sonnet-4-5", cache_control=True)
    text = "Rules. " * 2_000
    assert compressor.invoke(text) == text
    assert compressor.invoke(StringPromptValue(text=text)).to_string() == text


@pytest.mark.parametrize("most", [0, -5])
def test_a_prompt_compressor_refuses_a_history_of_nothing(most):
    with pytest.raises(ConfigError, match=f"max_history must be 1 or more, not {most}"):
        PromptCompressor(max_history=most)


# ---- few-shot ----


def test_examples_are_of_different_labels_and_the_likeliest_is_last():
    texts = [
        "my card is lost",
        "I lost my card",
        "somebody stole my card",
        "how do I top up",
        "what is the rate for euros",
    ]
    chooser = Examples(texts, ["lost", "lost", "stolen", "top up", "rate"])
    chosen = chooser.choose("where is my lost card", 3)
    assert chosen[-1] in (0, 1)
    assert len({["lost", "lost", "stolen", "top up", "rate"][at] for at in chosen}) == 3
    assert chooser.choose("card", 99) == chooser.choose("card", 99)
    with pytest.raises(ValueError, match="0 examples"):
        Examples([], [])


def test_they_stand_in_a_prompt_of_langchain():
    told = [{"question": f"{what} my card", "intent": what} for what in ("lost", "block", "order", "renew", "freeze")]
    selector = ExampleSelector(told, input_key="question", label_key="intent", count=2)
    shot = PromptTemplate.from_template("{question}: {intent}")
    prompt = FewShotPromptTemplate(example_selector=selector, example_prompt=shot, suffix="{question}: ", input_variables=["question"])
    assert prompt.format(question="please block my card").split("\n\n")[1:] == ["block my card: block", "please block my card: "]
    with pytest.raises(ValueError, match="lacks 'intent'"):
        selector.add_example({"question": "?"})
    assert ExampleSelector([], input_key="a", label_key="b").select_examples({"a": "?"}) == []


# ---- condensing ----

PROMPT = """You are a kind and helpful assistant of a railway, and you love trains.

- Never sell a ticket without a name.
- A dog costs $12.50, and a cat is free.
- Answer in JSON with the key {key}.

Trains are a wonderful way to travel, as everybody knows who has ever been on one.
"""
SHORT = "- Never sell a ticket without a name.\n- A dog costs $12.50, and a cat is free.\n- Answer in JSON with the key {key}."
CASES = [Case(f"Question {n}", ("yes",)) for n in range(150)]


def obedient(system: str, user: str) -> str:
    """A model that is right as long as the price of a dog is in its instructions."""
    return "yes" if "$12.50" in system else "no"


def test_rules_that_are_not_there_as_they_were_are_named():
    covered = coverage(PROMPT, SHORT.replace("$12.50", "$13.50").replace("Never sell", "Sell"))
    by = {one.rule.text: one for one in covered.rules}
    assert by["Never sell a ticket without a name."].missing == ("Never",)
    assert "$12.50" in by["A dog costs $12.50, and a cat is free."].missing
    assert by["Answer in JSON with the key {key}."].status == "kept"
    assert by["Trains are a wonderful way to travel, as everybody knows who has ever been on one."].status == "lost"
    assert coverage(PROMPT, PROMPT).named == frozenset()
    assert len(rules(PROMPT)) == 5


def test_idle_segments_go_and_rules_stay():
    found = condense(PROMPT, CASES, obedient)
    assert found.best is None  # what went are sentences too, and are named as lost
    last = found.candidates[-1]
    assert "wonderful" not in last.text
    assert all(line in last.text for line in SHORT.splitlines())
    assert last.score == (150, 0, 0)
    assert last.score.drop_at_most < 0.02
    assert last in found.frontier()


def test_a_rewriting_that_says_it_all_is_taken_and_locked(tmp_path: Path):
    prompt = PROMPT.replace(
        "You are a kind and helpful assistant of a railway, and you love trains.\n\n", ""
    ).partition("\nTrains")[0]
    wordy = prompt.replace(
        "- Never sell", "- Please do keep the following in mind at all times, it is important to us all.\n- Never sell"
    )
    found = condense(wordy, CASES, obedient, rewrite=lambda _told: prompt.strip(), ablate=False)
    assert [one.name for one in found.candidates] == ["original", "rewriting 1"]
    assert [one.rule.text for one in found.candidates[1].coverage.of("lost")] == [
        "Please do keep the following in mind at all times, it is important to us all."
    ]
    lock = found.lock(found.candidates[1], "gpt-4o")
    lock.save(tmp_path / "lock.json")
    known = Lock.load(tmp_path / "lock.json")
    assert known == lock
    known.check(wordy, prompt.strip())
    with pytest.raises(ConfigError, match="the condensed prompt has changed"):
        known.check(wordy, "else")


def test_a_rewriting_that_costs_answers_does_not_hold():
    found = condense(PROMPT, CASES, obedient, rewrite=lambda _told: "Be brief.", ablate=False)
    assert found.best is None
    assert found.candidates[1].score == (150, 150, 0)
    assert not found.candidates[1].holds(0.02)
    with pytest.raises(ConfigError, match="needs a prompt"):
        condense("", CASES, obedient)


def test_a_prompt_is_not_overwritten_with_the_shorter_one(tmp_path: Path):
    prompt, file = tmp_path / "p.md", tmp_path / "cases.jsonl"
    prompt.write_text(PROMPT)
    file.write_text('{"input": "a"}')
    told = CliRunner().invoke(app, ["condense", str(prompt), "--cases", str(file), "--out", f"{tmp_path}/./p.md"])
    assert isinstance(told.exception, ConfigError)
    assert "is the prompt itself" in str(told.exception)
    assert prompt.read_text() == PROMPT


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, float("nan")])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ConfigError, match="margin must be above 0 and below 1"):
        condense(PROMPT, CASES, obedient, ablate=False, margin=margin)


def test_cases_of_which_none_is_right_show_nothing():
    with pytest.raises(ConfigError, match="none of the cases right"):
        condense(PROMPT, [Case(str(n), ("yes",)) for n in range(149)], lambda _system, _user: "no", ablate=False)


@pytest.mark.parametrize(
    ("rule", "instead", "missing"),
    [
        ("You must ask before noon.", "You may ask before noon.", ("added 'may'", "must")),
        ("Ask for name and email.", "Ask for name or email.", ("added 'or'",)),
        ("Refund all items.", "Refund some items.", ("added 'some'", "all")),
        ("Refund it if the train was late.", "Refund it: the train was late.", ("if",)),
    ],
)
def test_a_word_that_turns_a_rule_is_named(rule, instead, missing):
    (told,) = coverage(rule, instead).rules
    assert told.status == "changed"
    assert told.missing == missing


def test_cases_are_read_or_refused(tmp_path: Path):
    file = tmp_path / "cases.jsonl"
    file.write_text('{"input": "a", "expected": "No"}\n\n{"input": "b", "contains": ["x", "$5"]}\n{"input": "c"}\n')
    yes, both, same = cases(file)
    assert yes.passes("no.", "")
    assert not yes.passes("nobody", "")
    assert both.passes("It is $5 for X", "")
    assert same.passes("Fine!", "fine")
    for text, says in (
        ("", "has no cases"),
        ("{", "not JSON"),
        ('{"in": 1}', "a case has"),
        ('{"input": "a", "contains": 3}', "a list of texts"),
        ('{"input": "a", "contains": ["x", "!"]}', "without words"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=says):
            cases(file)


# ---- the command line ----


def _examples(file: Path) -> None:
    lines = []
    for number in range(60):
        given = [{"title": title, "text": text} for title, text in FACTS.items()]
        capital = ["Paris", "Rome", "Oslo"][number % 3]
        country = {"Paris": "France", "Rome": "Italy", "Oslo": "Norway"}[capital]
        lines.append(
            json.dumps(
                {
                    "question": f"What is the capital of {country}?",
                    "passages": given,
                    "answers": [f"{capital} is the capital"],
                }
            )
        )
    file.write_text("\n".join(lines))


def test_calibrate_train_and_check(tmp_path: Path):
    _examples(tmp_path / "examples.jsonl")
    run = CliRunner().invoke
    made = run(app, ["compress", "train", str(tmp_path / "examples.jsonl"), "--out", str(tmp_path / "ranker.json")])
    assert made.exit_code == 0, made.output
    arguments = [
        "compress",
        "calibrate",
        str(tmp_path / "examples.jsonl"),
        "--ranker",
        str(tmp_path / "ranker.json"),
        "--risk",
        "0.05",
    ]
    told = run(app, [*arguments, "--out", str(tmp_path / "c.json"), "--json", str(tmp_path / "f.json")])
    assert told.exit_code == 0, told.output
    assert json.loads((tmp_path / "f.json").read_text())["examples"] == 60
    assert "Oslo" not in (tmp_path / "c.json").read_text() + (tmp_path / "ranker.json").read_text()
    refused = run(app, [*arguments[:-1], "0.001", "--out", str(tmp_path / "d.json")])
    assert isinstance(refused.exception, ConfigError)
    from thrift_plugins.compression.opened import Settings, opened

    policy = opened({"": Settings(risk=0.05, calibration=str(tmp_path / "c.json"))}, Prices(), ranker=str(tmp_path / "ranker.json"))
    asked = Request("r", 0.0, "gpt-4o", (Message("user", passages()),))
    shrunk = policy.compress(asked, Tier("gpt-4o", "gpt-4o"))
    assert shrunk is not None
    assert shrunk.saved > 0
    assert "Oslo is the capital" in shrunk.messages[0].text
    assert policy.signature(asked).startswith("compressed risk=0.05")
    with pytest.raises(ConfigError, match="was made with another ranker"):
        opened({"": Settings(risk=0.05, calibration=str(tmp_path / "c.json"))}, Prices())


def test_a_locked_prompt_is_checked(tmp_path: Path):
    prompt, short = tmp_path / "p.md", tmp_path / "p.condensed.md"
    prompt.write_text(PROMPT)
    short.write_text(SHORT)
    found = condense(PROMPT, CASES, obedient, rewrite=lambda _told: SHORT, ablate=False)
    found.lock(found.candidates[1], "gpt-4o").save(tmp_path / "p.condensed.md.lock.json")
    run = CliRunner().invoke
    assert run(app, ["condense", str(prompt), "--check"]).exit_code == 0
    short.write_text(SHORT + " More.")
    assert isinstance(run(app, ["condense", str(prompt), "--check"]).exception, ConfigError)
    assert isinstance(run(app, ["condense", str(prompt)]).exception, ConfigError)


def test_examples_of_an_app_are_read_or_refused(tmp_path: Path):
    file = tmp_path / "e.jsonl"
    file.write_text(
        json.dumps({"question": QUESTION, "passages": [*FACTS.values()], "needed": ["Oslo is the capital of Norway."]})
        + "\n"
        + json.dumps({"question": QUESTION, "passages": [*FACTS.values()], "cited": [2]})
        + "\n"
        + json.dumps({"question": "Who?", "transcript": "A: I did.\nB: No.", "needed": ["A: I did."]})
    )
    needed, cited, talk = labelled(file)
    assert needed.needed.sum() == 1
    assert needed.every
    assert cited.needed.sum() == 3
    assert talk.is_dialogue
    file.write_text(json.dumps({"question": "Who?", "passages": ["I did. No."], "needed": ["I did.", "You did."]}))
    (nowhere,) = labelled(file)
    assert not nowhere.needed.any()
    for text, says in (
        ("{", "not JSON"),
        ("{}", "an example has"),
        ('{"question": "a", "passages": []}', "must be a list"),
        ('{"question": "a", "passages": ["x"]}', "nothing says"),
        ('{"question": "a", "passages": ["x"], "cited": [4]}', "from 0 to 0"),
        ('{"question": "a", "passages": ["x"], "cited": ["y"]}', "from 0 to 0"),
        ('{"question": "a", "passages": ["x"], "answers": "Oslo"}', "`answers` must be a list"),
        ('{"question": "a", "passages": ["x"], "needed": "Oslo"}', "`needed` must be a list"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=says):
            list(labelled(file))
    file.write_bytes(b"\xff")
    for read in (labelled, cases, Ranker.load):
        with pytest.raises(ConfigError, match="cannot read"):
            [*read(file)]
