"""A headless Chromium that the machine has; without one these tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _installed() -> str | None:
    return os.environ.get("THRIFT_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.fixture(scope="module")  # no longer: while it is open its event loop runs in this thread, and asynchronous tests have theirs
def browser() -> Iterator[Browser]:
    path = _installed()
    if path is None:
        pytest.skip("no Chromium on this machine: 'apt-get install chromium', or THRIFT_TEST_CHROMIUM=/path/to/it")
    with sync_playwright() as driver:
        try:
            # A container's root has no sandbox, and often little shared memory; the pages are our own.
            started = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=120_000)
        except Error as error:
            pytest.skip(f"the Chromium at {path} does not start: {error}")
        yield started
        started.close()
