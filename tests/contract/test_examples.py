"""Every example runs, without a key and unchanged with one."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from langchain_core.globals import set_llm_cache
from llama_index.core import Settings

from tests.cli_kit import ROOT, SDK_LEAKS, own_default_runtime, stranger, with_a_key
from tests.redis_server import RedisServer
from thrift_plugins.testing import LoopbackProvider

pytestmark = SDK_LEAKS

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TOLD = {
    "01_lcel": ("cache        $0.000000 instead of", "gpt-4o       $"),
    "02_agent": ("['opening_hours']  gpt-4o-mini, from the cache",),
    "03_query_engine": ("cache because: exact hit", "gpt-4o because: forced by the caller"),
    "04_settings": ("4 calls: ",),
    "05_redis": ("paid for: ", "from the cache: "),
    "06_cache_only": ("1 hits, 2 misses",),
    "07_forgetting": ("paid for\nfrom the cache\n1 answer forgotten: the document has changed\npaid for\n",),
    "08_quality_gate": ("routing for ",),
    "09_learned_router": ("promised for handbook: 97%", "gpt-4o-mini: expected quality", "gpt-4o: expected quality"),
    "10_examples_for_a_cheaper_model": (": ",),
    "13_compression": ("tokens instead of", "compression: extraction -"),
    "12_report": (" saved: $", "of the answers were whole", "report.html"),
    "playbook_table": ("sum              3,270   3,070", "4,200 - 1,130 = 3,070: 200 counted twice"),
}
ASKS_NOBODY = {"playbook_table"}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    stranger(monkeypatch, tmp_path)
    monkeypatch.setattr(Settings, "_llm", Settings._llm)
    with own_default_runtime(monkeypatch):
        yield
    set_llm_cache(None)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def run(example: Path, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(example), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.parametrize("key", ["no key", "a key"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(
    example: Path, key: str, redis: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_URL", redis.patient_url)
    with LoopbackProvider() as provider:
        if key == "a key":
            with_a_key(monkeypatch, provider)
        out = run(example, capsys)
    for words in TOLD[example.stem]:
        assert words in out
    assert bool(provider.billed) == (key == "a key" and example.stem not in ASKS_NOBODY)


def test_without_a_server_the_redis_example_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    out = run(ROOT / "examples" / "05_redis.py", capsys)
    assert out == "No Redis answers at redis://127.0.0.1:1: start one, or set REDIS_URL.\n"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_shows(example: Path):
    text = example.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) < 60
