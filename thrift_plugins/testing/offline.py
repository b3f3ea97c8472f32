"""Run an app that calls OpenAI without a key: its SDKs are pointed at a provider on this machine for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from thrift_plugins.testing.provider import LoopbackProvider


@contextmanager
def offline_openai(*, force: bool = False) -> Iterator[LoopbackProvider | None]:
    """Let models made in this block talk to a `LoopbackProvider`, unless the environment has an OpenAI key.

    It sets what both frameworks' OpenAI classes read (`OPENAI_API_KEY`, `OPENAI_API_BASE`, `OPENAI_BASE_URL`), for the
    whole process, and puts it back afterwards.

    Args:
        force: take no notice of a key.

    Yields:
        The provider, or None where there is a key, and so real calls are made.
    """
    if os.environ.get("OPENAI_API_KEY") and not force:
        yield None
        return
    with LoopbackProvider() as provider, _environment(_pointing_at(provider)):
        yield provider


def _pointing_at(provider: LoopbackProvider) -> Mapping[str, str]:
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"]))
    return {
        "OPENAI_API_KEY": provider.api_key,
        "OPENAI_API_BASE": provider.base_url,
        "OPENAI_BASE_URL": provider.base_url,
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
