"""`thrift-plugins batch`: what a person sees of a journal, and how batches are stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from tests.cli_kit import SDK_LEAKS, command
from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
from thrift_plugins.batching.journal_sqlite import SQLiteJournal
from thrift_plugins.batching.journals import open_records
from thrift_plugins.batching.records import Incident
from thrift_plugins.langchain import BatchExecutor
from thrift_plugins.testing import LoopbackBatches
from thrift_plugins.testing.batches import Refusal

pytestmark = SDK_LEAKS

QUICK = BatchSettings(poll=0.03, grace=1, linger=0.02)
MODEL = "gpt-4o-mini"


@pytest.fixture
def seconds() -> float:
    return 30.0


@pytest.fixture
def provider(seconds: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackBatches]:
    with LoopbackBatches(seconds=seconds) as made:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", made.base_url)
        monkeypatch.chdir(tmp_path)
        yield made


def submitted(provider: LoopbackBatches, key: str | None = None) -> None:
    model = ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url)
    with BatchExecutor(OpenAIBatchClient(), "j.db", settings=QUICK, key=key) as executor:
        assert executor.submit(model, [f"say {i}" for i in range(4)]).waiting == 4


def test_status_and_cancel(provider: LoopbackBatches):
    submitted(provider)
    told = command("batch", "status", "j.db")
    assert "0 answered, 4 sent, 0 queued" in told.stdout
    assert "batch_" in told.stdout
    told = command("batch", "cancel", "j.db")
    assert "1 batches were asked to end" in told.stdout
    status = json.loads(command("batch", "status", "j.db", "--json").stdout)
    assert (status["sent"], status["cost"], status["batches"][0]["count"]) == (4, 0, 4)


def test_status_counts_what_the_provider_has_not_taken(provider: LoopbackBatches):
    provider.batch_faults.refusals = [Refusal("create", 429, times=30)]
    submitted(provider)
    told = command("batch", "status", "j.db").stdout
    assert "30 more were not made" in told
    assert told.count("gpt-4o-mini") == 1


def test_status_tells_what_was_paid_twice(provider: LoopbackBatches):
    submitted(provider)
    with closing(open_records("j.db")) as records:
        records.note(Incident(1_800_000_000.0, "duplicate", "batch_7", 3, 1_234_500_000, "a batch turned up"))
    assert "$1.2345 beside that for what was paid twice" in command("batch", "status", "j.db").stdout
    assert json.loads(command("batch", "status", "j.db", "--json").stdout)["doubled"] == 1_234_500_000


@pytest.mark.parametrize("seconds", [0.3])
def test_resume_looks_after_what_is_under_way(provider: LoopbackBatches):
    submitted(provider)
    told = command("batch", "resume", "j.db", "--poll", "0.05")
    assert told.stdout.splitlines()[-1].startswith("4 answered, 0 sent, 0 queued, 0 in error")


@pytest.mark.parametrize("seconds", [0.3])
def test_resume_takes_the_key_of_a_journal_from_the_environment(
    provider: LoopbackBatches, monkeypatch: pytest.MonkeyPatch
):
    key = "a key of the journal's own"
    submitted(provider, key=key)
    assert "THRIFT_JOURNAL_KEY" in str(command("batch", "resume", "j.db", "--poll", "0.05").exception)
    monkeypatch.setenv("THRIFT_JOURNAL_KEY", key)
    told = command("batch", "resume", "j.db", "--poll", "0.05")
    assert told.stdout.splitlines()[-1].startswith("4 answered, 0 sent, 0 queued, 0 in error")


@pytest.mark.parametrize("seconds", [0.3])
def test_resume_ends_where_it_cannot_go_on(provider: LoopbackBatches, monkeypatch: pytest.MonkeyPatch):
    submitted(provider)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SQLiteJournal, "take", full)
    told = command("batch", "resume", "j.db", "--poll", "0.05")
    assert told.exit_code == 1
    assert "No space left" in str(told.exception)


def test_a_batch_that_cannot_be_cancelled_does_not_keep_the_others_from_it(provider: LoopbackBatches):
    submitted(provider)
    model = ChatOpenAI(model="gpt-4o", api_key="k", base_url=provider.base_url)
    with BatchExecutor(OpenAIBatchClient(), "j.db", settings=QUICK) as executor:
        assert executor.submit(model, ["say 1"]).waiting == 1
    provider.batch_faults.refusals.append(Refusal("cancel", 409))
    told = command("batch", "cancel", "j.db")
    assert "1 batches were asked to end" in told.stdout
    assert "was not cancelled" in told.stderr


def test_no_journal_is_said(provider: LoopbackBatches):
    assert command("batch", "status", "none.db").exit_code == 2
