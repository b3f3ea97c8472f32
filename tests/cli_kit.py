"""A stranger's machine for the command line, the examples and the README: no key, no files of ours, one width."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from thrift_plugins import runtime
from thrift_plugins.cli import app
from thrift_plugins.testing import LoopbackProvider

ROOT = Path(__file__).parents[1]

# Neither framework's OpenAI class ever closes its HTTP clients.
SDK_LEAKS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

_ENVIRONMENT = ("OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL", "THRIFT_SECRET", "REDIS_URL", "XDG_DATA_HOME")


def stranger(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make this process's surroundings those of somebody who has just installed us."""
    for name in _ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("THRIFT_HOME", str(folder / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)


@contextmanager
def own_default_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models that are given no runtime share one that is made and closed here."""
    monkeypatch.setattr(runtime, "_default", None)
    try:
        yield
    finally:
        if runtime._default is not None:
            runtime._default.close()


def with_a_key(monkeypatch: pytest.MonkeyPatch, provider: LoopbackProvider) -> None:
    """An OpenAI key in the environment, and what answers to it on this machine."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-stranger")
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)


def command(*words: str) -> Result:
    """`thrift-plugins` with these words."""
    return CliRunner().invoke(app, words)
