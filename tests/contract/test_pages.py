"""Every block of the pages in `examples/pages` is executed as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from langchain_core.globals import set_llm_cache
from llama_index.core import Settings
from typer.core import TyperGroup
from typer.main import get_command

from tests import distillation_kit, logs_kit
from tests.cli_kit import ROOT, SDK_LEAKS, command, own_default_runtime, stranger, with_a_key
from tests.ledger_kit import fill
from tests.redis_server import RedisServer
from tests.unit.test_learned_router import world
from thrift_plugins import Config, QualityConfig, Runtime
from thrift_plugins.cli import app
from thrift_plugins.distillation.dataset import Dataset
from thrift_plugins.lessons import Questions
from thrift_plugins.prices import Prices
from thrift_plugins.stores import ledger_beside, open_event_log
from thrift_plugins.stores.open import questions_beside, students_beside
from thrift_plugins.testing import LoopbackBatches
from thrift_plugins.types import Reply, Scope, Tier, Usage

pytestmark = SDK_LEAKS

PAGES = sorted((ROOT / "examples" / "pages").glob("*.md"))
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARTS = ("## What it does", "## When not to", "## What it promises", "## How it fails")
OF_A_TACTIC = [page for page in PAGES if page.stem not in ("migrating", "production")]


def blocks(language: str) -> list[object]:
    return [
        pytest.param(body, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, (found, body) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if found == language
    ]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    stranger(monkeypatch, tmp_path)
    monkeypatch.setattr(Settings, "_llm", Settings._llm)
    with own_default_runtime(monkeypatch):
        yield
    set_llm_cache(None)


@pytest.mark.parametrize("page", OF_A_TACTIC, ids=lambda page: page.stem)
def test_a_page_of_a_tactic_says_what_a_user_must_know(page: Path):
    text = page.read_text(encoding="utf-8")
    places = [text.find(f"\n{part}\n") for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_are_of_kinds_that_are_run_here_and_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    assert {language for language, _ in BLOCK.findall(text)} <= {"python", "toml", "bash", "yaml"}
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    assert f"examples/pages/{page.name}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes") as running:
        yield running


@pytest.mark.parametrize("body", blocks("python"))
def test_python(body: str, monkeypatch: pytest.MonkeyPatch, server: RedisServer):
    monkeypatch.setitem(os.environ, "REDIS_URL", server.patient_url)
    monkeypatch.setitem(os.environ, "THRIFT_HOLDOUT", "0")
    monkeypatch.setitem(os.environ, "THRIFT_SECRET", "0" * 64)
    with LoopbackBatches() as provider:
        with_a_key(monkeypatch, provider)
        exec(compile(body, "page", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("body", blocks("toml"))
def test_toml(body: str, tmp_path: Path):
    (tmp_path / "thrift.toml").write_text(body, encoding="utf-8")
    assert Config.load(tmp_path / "thrift.toml") != Config()


@pytest.mark.parametrize("body", blocks("yaml"))
def test_yaml_sets_only_what_is_read_and_keeps_what_it_writes(body: str):
    parts = list(yaml.safe_load_all(body))
    claims = {part["metadata"]["name"] for part in parts if part["kind"] == "PersistentVolumeClaim"}
    for pod in filter(None, (_pod(part["spec"]) for part in parts)):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes.keys()
            for variable in container.get("env", []):
                assert variable["name"] in (ROOT / "README.md").read_text(encoding="utf-8")
            if "command" in container:
                program, *words = container["command"]
                assert program == "thrift-plugins"
                _understood(words)
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}


def _pod(spec: dict) -> dict | None:
    """What a part of the cluster runs, if it runs anything."""
    while "containers" not in spec:
        inner = spec.get("template", spec.get("jobTemplate"))
        if inner is None:
            return None
        spec = inner["spec"]
    return spec


def _understood(words: list[str]) -> None:
    """Read words as the command line does, without doing what they say. Raises where one is missing."""
    name, found = "thrift-plugins", get_command(app)
    while isinstance(found, TyperGroup):
        name, found, words = found.resolve_command(found.make_context(name, [*words], resilient_parsing=True), words)
    assert found is not None
    found.make_context(name, words)


@pytest.mark.parametrize("body", blocks("bash"))
def test_commands(body: str, tmp_path: Path):
    an_app(tmp_path)
    for line in body.splitlines():
        program, *words = shlex.split(line)
        assert program == "thrift-plugins"
        done = command(*words)
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"


def an_app(folder: Path) -> None:
    """What the commands of the pages find: logs, labels, a ledger of the last days, a gate that has compared."""
    calls = list(logs_kit.calls())
    (folder / "app.jsonl").write_bytes(logs_kit.lines([logs_kit.openai(call) for call in calls]))
    (folder / "spend.jsonl").write_bytes(logs_kit.lines([logs_kit.litellm(call) for call in calls]))
    for name, seed in (("labels", 1), ("others", 2)):
        told = world(300, seed=seed)
        lines = [
            {
                "prompt": each.request.messages[0].text,
                "scores": {"gpt-4o-mini": each.scores["small"], "gpt-4o": each.scores["large"]},
            }
            for each in told
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    asked = [f"When was house {number} built?" for number in range(60)]
    known = [[f"House {number} was built in {1900 + number}. It has a door. It is {number} metres high.", "Rain falls. It is wet."]
             for number in range(60)]  # fmt: skip
    examples = [
        {"question": question, "passages": texts, "answers": [str(1900 + number)]}
        for number, (question, texts) in enumerate(zip(asked, known, strict=True))
    ]
    (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, examples)), encoding="utf-8")
    written = Questions(Path(questions_beside("")), ["faq"], 1.0, Prices())
    for number, each in enumerate(world(600)):
        asked_for = replace(each.request, id=f"q{number}", scope=Scope(feature="faq"))
        said = {"gpt-4o-mini": "yes" if each.scores["small"] else "no", "gpt-4o": "Yes."}
        for model, text in said.items():
            reply = Reply(text, Usage(100, 2, source="provider"), finish_reason="stop")
            written.record(asked_for, Tier(model, model), reply, served=model == "gpt-4o", drawn=True)
    Dataset(students_beside(""), "intent").append(distillation_kit.examples(260, ""))
    runtime = Runtime(Config(quality=QualityConfig(enabled=True)))
    assert runtime.gate is not None
    for number in range(40):
        runtime.gate.compared("routing", "faq", "worse", time.time() - 100 + number)
    runtime.close()
    with closing(open_event_log(ledger_beside(""))) as log:
        fill(log, 200, days=6, start=time.time() - 6.5 * 86_400)
