"""The demo tells the truth: what it prints is what the provider counted."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.cli_kit import SDK_LEAKS, command, stranger, with_a_key
from thrift_plugins import ConfigError
from thrift_plugins.demo import expected_cost, trial
from thrift_plugins.demo.knowledge import Search, articles, questions
from thrift_plugins.demo.stand_in import quote
from thrift_plugins.prices import Prices
from thrift_plugins.testing import Fault, LoopbackProvider
from thrift_plugins.types import usd

pytestmark = SDK_LEAKS


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    stranger(monkeypatch, tmp_path)


def test_both_frameworks_offline(tmp_path: Path):
    result = command("demo", "--json", str(tmp_path / "figures.json"))
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["langchain"] == figures["llama_index"]
    told = figures["langchain"]
    assert told["ledger"] == told["provider"]
    assert told["provider_without_thrift_plugins"]["calls"] == told["requests"] == len(questions())
    assert told["provider_without_thrift_plugins"]["usd"] == told["baseline_usd"] > told["actual_usd"] > 0
    assert set(told["by_tactic"]) == {"cache", "routing"}
    assert told["outcomes"]["hit"] == len(questions()) - len(set(questions()))
    assert "They agree to the token" in result.output
    assert "nothing is paid" in result.output


def test_it_reads_well_at_80_columns():
    result = command("demo", "--framework", "langchain")
    streamed = next(line for line in result.output.splitlines() if "three years" in line)
    assert all(len(line) <= 80 for line in result.output.splitlines() if line != streamed)
    for word in (
        "looks easy",
        "asked before",
        "maths problem",
        "the cache",
        "如何除垢",
        "provider's bill",
        "LangChain",
    ):
        assert word in result.output
    assert "LlamaIndex, the first answer" not in result.output


def test_with_a_key_it_says_first_what_it_costs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with LoopbackProvider() as provider:
        with_a_key(monkeypatch, provider)
        provider.script(quote)
        result = command("demo", "--json", str(tmp_path / "figures.json"))
        told = json.loads((tmp_path / "figures.json").read_text())
    assert result.exit_code == 0, result.output
    assert "real money" in result.output
    assert result.output.index("real money") < result.output.index("first answer")
    assert len(provider.billed) == told["langchain"]["ledger"]["calls"] + told["llama_index"]["ledger"]["calls"]
    assert told["langchain"]["provider"] is None
    assert "usage page" in result.output
    assert "agree" not in result.output


def test_it_stops_at_its_cap(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trial, "CAP", 500_000)
    with LoopbackProvider() as provider:
        with_a_key(monkeypatch, provider)
        provider.script(quote)
        done = trial.run("langchain", None)
    assert 500_000 <= done.booked.cost < 500_000 + expected_cost(Prices()) // 10
    assert 0 < len(done.visits) == done.line.requests < len(questions())


def test_the_guess_is_near_the_truth():
    with LoopbackProvider() as provider, pytest.MonkeyPatch.context() as monkeypatch:
        with_a_key(monkeypatch, provider)
        done = trial.run("langchain", provider)
    assert usd(expected_cost(Prices())) == pytest.approx(usd(done.line.baseline), rel=1.0)


def test_a_key_that_is_refused_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    with LoopbackProvider() as provider:
        with_a_key(monkeypatch, provider)
        provider.faults.rule(lambda _request: Fault.refuse(401, "invalid_api_key"))
        result = command("demo", "--framework", "llama_index")
    assert isinstance(result.exception, ConfigError)
    assert "OpenAI did not answer" in str(result.exception)


def test_offline_takes_no_notice_of_a_key(monkeypatch: pytest.MonkeyPatch):
    with LoopbackProvider() as provider:
        with_a_key(monkeypatch, provider)
        result = command("demo", "--offline", "--framework", "langchain")
    assert result.exit_code == 0
    assert provider.billed == ()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(import_module("thrift_plugins.cli.demo"), "_installed", lambda _module: False)
    result = command("demo")
    assert "langchain_openai and llama_index.llms.openai" in str(result.exception)
    assert "pip install 'thrift-plugins[openai]'" in str(result.exception)


def test_every_question_finds_an_article():
    search = Search(articles())
    assert all(search.find(question) for question in questions())
    assert [page.title for page in search.find("What does error E2 mean?")][:1] == ["Error codes"]
    assert [page.title for page in search.find("如何除垢")][:1] == ["如何除垢"]


@pytest.mark.parametrize("words", [["--help"], ["demo", "--help"], ["doctor", "--help"], ["replay", "--help"]])
def test_help_loads_neither_framework(words: list[str]):
    code = (
        "import sys; from thrift_plugins.cli import main\n"
        f"sys.argv = ['thrift-plugins', *{words}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'langchain_core', 'langchain', 'llama_index', 'openai'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
