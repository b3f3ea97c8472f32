"""What an import loads: its own half and nothing else, with the other half there or not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("langchain_core", "langchain", "llama_index", "llama_index_instrumentation", "openai", "genai_prices", "tiktoken",
         "redis", "sqlite3", "numpy", "pydantic", "httpx", "rich", "typer", "asyncio")  # fmt: skip

BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def python(code: str, *, blocked: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCK.format(blocked=set(blocked)) + code],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str) -> set[str]:
    tops = json.loads(python(f"{code}\nimport json\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"))
    return set(tops) & set(HEAVY)


def test_the_package_loads_nothing():
    assert loaded("import thrift_plugins") == set()
    assert loaded("from thrift_plugins import scope, route, current_scope, ThriftError, Config") == set()


def test_the_testing_half_loads_no_framework():
    assert not loaded("import thrift_plugins.testing") & {"langchain_core", "llama_index", "openai"}


@pytest.mark.parametrize(
    ("own", "other"),
    [("langchain", ("llama_index", "llama_index_instrumentation")), ("llama_index", ("langchain_core", "langchain"))],
)
def test_an_adapter_loads_its_own_framework_alone(own: str, other: tuple[str, ...]):
    tops = loaded(f"import thrift_plugins.{own}")
    assert not tops & set(other)
    assert not tops & {"redis", "rich", "typer", "openai"}


LANGCHAIN = """
from langchain_core.language_models import FakeListChatModel
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
model = ThriftChatModel(tiers=[FakeListChatModel(responses=["Bern"])], runtime=runtime)
assert [model.invoke("Which city?").content for _ in range(2)] == ["Bern", "Bern"]
assert [entry["outcome"] for entry in runtime.ledger.records()] == ["answered", "hit"]
"""
LLAMA_INDEX = """
from llama_index.core.llms import MockLLM
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.llama_index import ThriftLLM
runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
model = ThriftLLM(tiers=[MockLLM()], runtime=runtime)
assert [model.complete("one two three four").text for _ in range(2)] == ["one two three four"] * 2
assert [entry["outcome"] for entry in runtime.ledger.records()] == ["answered", "hit"]
"""


@pytest.mark.parametrize(
    ("code", "blocked"),
    [
        (LANGCHAIN, ("llama_index", "llama_index_instrumentation", "redis", "openai")),
        (LLAMA_INDEX, ("langchain_core", "langchain", "redis", "openai")),
    ],
    ids=["langchain", "llama_index"],
)
def test_each_half_works_where_the_other_is_missing(code: str, blocked: tuple[str, ...]):
    python(code, blocked=blocked)
