"""Which versions are installed."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from thrift_plugins import __version__
from thrift_plugins.cli.checks.finding import Finding, State

_AREA = "versions"
_DAY = 86_400
_STALE_DAYS = 60

_FRAMEWORKS = {
    "langchain-core": "the LangChain half cannot be used",
    "llama-index-core": "the LlamaIndex half cannot be used",
}
_OPTIONAL = {
    "langchain": "create_agent needs it: pip install 'thrift-plugins[agents]'",
    "langchain-openai": "the demo needs it: pip install 'thrift-plugins[openai]'",
    "llama-index-llms-openai": "the demo needs it: pip install 'thrift-plugins[openai]'",
}
_LIBRARIES = ("redis", "tiktoken", "orjson")


def versions() -> Iterator[Finding]:
    """Python, this package, both frameworks and what they are used with. Imports none of them."""
    yield Finding(_AREA, "thrift-plugins", __version__)
    yield Finding(_AREA, "python", f"{platform.python_version()} on {platform.system()}")
    for name, loss in _FRAMEWORKS.items():
        yield _installed(name, f"not installed; {loss}", State.note)
    for name in _LIBRARIES:
        yield _installed(name, "not installed; install thrift-plugins again", State.wrong)
    for name, use in _OPTIONAL.items():
        yield _installed(name, f"not installed; {use}", State.ok)
    yield _price_list()


def _installed(name: str, lacking: str, state: State) -> Finding:
    found = _version(name)
    return Finding(_AREA, name, found) if found else Finding(_AREA, name, lacking, state)


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def _price_list() -> Finding:
    """The price list carries no date of its own; how long ago it was installed bounds how old it is from below."""
    name = "genai-prices"
    found = _version(name)
    if found is None:
        return Finding(_AREA, name, "not installed; install thrift-plugins again", State.wrong)
    record = Path(str(distribution(name).locate_file(f"genai_prices-{found}.dist-info/RECORD")))
    if not record.is_file():
        return Finding(_AREA, name, f"{found}, the price list")
    days = int((time.time() - record.stat().st_mtime) // _DAY)
    told = f"{found}, the price list, installed {days} days ago"
    if days > _STALE_DAYS:
        return Finding(_AREA, name, f"{told}; for newer prices: pip install -U 'genai-prices<0.3'", State.note)
    return Finding(_AREA, name, told)
