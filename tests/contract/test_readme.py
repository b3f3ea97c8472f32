"""Every block of the README is executed as it stands there, in the order of the page."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from langchain_core.globals import set_llm_cache
from llama_index.core import Settings

from tests import logs_kit, report_kit
from tests.cli_kit import ROOT, SDK_LEAKS, command, own_default_runtime, stranger, with_a_key
from tests.ledger_kit import fill
from tests.unit.test_learned_router import world
from thrift_plugins import Config, QualityConfig, Runtime
from thrift_plugins.stores import SQLiteEventLog, ledger_beside, open_event_log
from thrift_plugins.testing import LoopbackBatches

pytestmark = SDK_LEAKS

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [body for found, body in BLOCKS if found == language]


COMMANDS = [line for body in blocks("bash") for line in body.splitlines()]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    stranger(monkeypatch, tmp_path)
    monkeypatch.setattr(Settings, "_llm", Settings._llm)
    with own_default_runtime(monkeypatch):
        yield
    set_llm_cache(None)


def test_every_block_is_of_a_kind_that_is_checked_here():
    assert {language for language, _ in BLOCKS} == {"python", "toml", "bash", "jsonl", "text"}


@pytest.mark.parametrize("body", blocks("python"), ids=lambda body: body.splitlines()[-1][:40])
def test_python(body: str, monkeypatch: pytest.MonkeyPatch):
    with LoopbackBatches() as provider:
        with_a_key(monkeypatch, provider)
        exec(compile(body, "README.md", "exec"), {"__name__": "readme"})


def test_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("THRIFT_HOLDOUT")  # what the file says is what is by default
    (body,) = blocks("toml")
    (tmp_path / "thrift.toml").write_text(body, encoding="utf-8")
    config = Config.load(tmp_path / "thrift.toml")
    assert config.prices["my-own-model"]["output"] == 0.8
    assert (config.cache.features["news"].ttl, config.cache.features["news"].kind) == (300, "time")
    cache, routing = replace(config.cache, features={}), replace(config.routing, features={})
    assert (config.routing.tier("checkout"), config.routing.of("arithmetic").twice) == ("gpt-4o", True)
    assert (cache, routing, config.ledger, config.quality) == (
        Config().cache, Config().routing, Config().ledger, Config().quality,
    )  # fmt: skip


def test_commands(tmp_path: Path):
    (trace,) = blocks("jsonl")
    (tmp_path / "trace.jsonl").write_text(trace, encoding="utf-8")
    lines = [shlex.split(line) for line in COMMANDS if line.startswith("thrift-plugins ")]
    assert [words[1] for words in lines] == [
        "doctor", "replay", "replay", "replay", "router", "router", "router", "router", "router", "report", "diff", "watch", "gate", "gate", "simulate",
    ]  # fmt: skip
    lines, routing, reporting, gate, simulate = lines[:4], lines[4:9], lines[9:12], lines[12:14], lines[14]
    (tmp_path / "app.jsonl").write_bytes(logs_kit.lines([logs_kit.openai(call) for call in logs_kit.calls()]))
    running = [
        subprocess.Popen([sys.executable, "-m", "thrift_plugins.cli", *words[1:]], stdout=subprocess.PIPE, text=True)
        for words in lines
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], outputs
    assert "OpenAI-style requests and responses, 40 calls" in outputs[3]
    assert "All is well." in outputs[0]
    assert (tmp_path / "figures.json").is_file()
    for name, seed in (("labels", 1), ("others", 2)):
        scores = [{"gpt-4o-mini": each.scores["small"], "gpt-4o": each.scores["large"]} for each in world(300, seed=seed)]
        told = zip(world(300, seed=seed), scores, strict=True)
        lines_of = [json.dumps({"prompt": each.request.messages[0].text, "scores": score}) for each, score in told]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines_of), encoding="utf-8")
    told = [command(*words[1 : words.index("#") if "#" in words else None]) for words in routing]
    assert [done.exit_code for done in told[:4]] == [0, 0, 0, 0], told[3].output
    assert "there is no router before" in str(told[4].exception), "the first one can only be switched off"
    with closing(SQLiteEventLog(ledger_beside(""))) as log:
        report_kit.fill(log, 1_000)
    assert command("report", "--until", "2025-11-15", "--json", "before.json").exit_code == 0
    told = [command(*words[1:], *(["--seconds", "0"] if words[1] == "watch" else [])) for words in reporting]
    assert [done.exit_code for done in told] == [0, 0, 0], told[1].stdout
    assert "What thrift-plugins saved" in (tmp_path / "report.html").read_text(encoding="utf-8")
    runtime = Runtime(Config(quality=QualityConfig(enabled=True)))
    assert runtime.gate is not None
    for number in range(40):
        runtime.gate.compared("routing", "faq", "worse", time.time() - 100 + number)
    runtime.close()
    with closing(open_event_log(ledger_beside(""))) as log:
        fill(log, 50)
    assert [command(*words[1:]).exit_code for words in (*gate, simulate)] == [0, 0, 0]


def test_the_set_up_commands_are_those_of_the_check_run():
    check = (ROOT / ".ci" / "run").read_text()
    setups = [line for line in COMMANDS if line.startswith("python3 -m venv")]
    assert len(setups) == 2
    assert all(line in check for line in setups)
    assert not [line for line in COMMANDS if not line.startswith(("python3 -m venv", "thrift-plugins "))]


def test_the_figures_are_those_that_the_demo_prints():
    (shown,) = blocks("text")
    printed = [" ".join(line.split()) for line in command("demo", "--framework", "langchain").output.splitlines()]
    for row in shown.splitlines():
        assert any(line.startswith(" ".join(row.split())) for line in printed), row


def test_every_link_to_a_file_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
