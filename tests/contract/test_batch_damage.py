"""What a journal has of one line may be damaged: that is an error on that line's item, and the others go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from langchain_openai import ChatOpenAI

from tests.batch_kit import found_by_sdks, until
from tests.cli_kit import SDK_LEAKS
from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
from thrift_plugins.batching.results import BatchResult
from thrift_plugins.langchain import BatchExecutor
from thrift_plugins.testing import LoopbackBatches
from thrift_plugins.testing.batches import Ending, Refusal

pytestmark = SDK_LEAKS

QUICK = BatchSettings(poll=0.03, grace=1, linger=0.02, lease=1, rounds=100_000)
SOME = [f"say {number}" for number in range(4)]
OTHERS = [f"say {number}" for number in range(10, 13)]
Damage = Callable[[str], None]

_TURN = """
for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do
  local value = redis.call('HGET', KEYS[1], key)
  redis.call('HSET', KEYS[1], key, string.sub(value, 1, -2) .. string.char(255 - string.byte(value, -1)))
end
"""


@pytest.fixture
def damage(place: str, request: pytest.FixtureRequest) -> Damage:
    """Turns over bits of everything that there is of one kind: "prompts" or "answers"."""

    def do(kind: str) -> None:
        if place.startswith("redis"):
            name = {"prompts": "bodies", "answers": "answers"}[kind]
            request.getfixturevalue("journal_server").ask("EVAL", _TURN, "1", f"tp1~b{name}:{{reviews}}")
            return
        with closing(sqlite3.connect(place, timeout=30)) as connection, connection:
            for row, texts in connection.execute(f"SELECT rowid, texts FROM {kind}").fetchall():
                connection.execute(
                    f"UPDATE {kind} SET texts = ? WHERE rowid = ?", (texts[:-1] + bytes([255 - texts[-1]]), row)
                )

    return do


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBatches]:
    with found_by_sdks(monkeypatch, 0.3) as made:
        yield made


def run(executor: BatchExecutor, inputs: Sequence[str], **options: float) -> list[BatchResult]:
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0, max_retries=0)
    return list(executor.run(model, inputs, **options))


def opened(place: str) -> BatchExecutor:
    return BatchExecutor(OpenAIBatchClient(), place, settings=QUICK)


def errors(results: Sequence[BatchResult]) -> list[str]:
    return [str(result.error) for result in results if result.error is not None]


def test_an_answer_that_is_damaged_is_an_error_and_is_not_paid_again(
    place: str, damage: Damage, provider: LoopbackBatches
):
    with opened(place) as executor:
        assert errors(run(executor, SOME)) == []
    damage("answers")
    for _ in range(2):
        with opened(place) as executor:
            results = run(executor, [*SOME, *OTHERS])
            told = errors(results[: len(SOME)])
            assert len(told) == len(SOME)
            assert all("is damaged" in one and "another journal" in one for one in told)
            assert errors(results[len(SOME) :]) == []
            assert executor.broken is None
    assert (len(provider.paid.lines), provider.paid.twice) == (len(SOME) + len(OTHERS), 0)


@pytest.mark.parametrize("deadline", [None, 2.0])
def test_a_prompt_that_is_damaged_is_an_error_and_asked_again_it_is_answered(
    place: str, damage: Damage, provider: LoopbackBatches, deadline: float | None
):
    provider.batch_faults.refusals = [Refusal("create", 429, times=100_000)]
    options = {} if deadline is None else {"deadline": deadline}
    with opened(place) as executor, ThreadPoolExecutor(2) as pool:
        some = pool.submit(lambda: run(executor, SOME, **options))
        until(lambda: executor.journal.counts()["queued"] == len(SOME))
        damage("prompts")
        others = pool.submit(lambda: run(executor, OTHERS))
        told = errors(some.result(timeout=60))
        provider.batch_faults.refusals = []
        assert len(told) == len(SOME)
        assert all("is damaged" in one and "again" in one for one in told)
        assert errors(others.result(timeout=60)) == []
        assert executor.broken is None
        assert errors(run(executor, SOME)) == []
    assert (len(provider.paid.lines), provider.paid.twice, len(provider.billed)) == (len(SOME) + len(OTHERS), 0, 0)


def test_prompts_that_were_damaged_after_a_kill_are_taken_from_the_app(
    place: str, damage: Damage, provider: LoopbackBatches
):
    provider.batch_faults.refusals = [Refusal("create", 429, times=100_000, retry_after=60)]
    with opened(place) as executor:
        model = ChatOpenAI(model="gpt-4o-mini", temperature=0, max_retries=0)
        assert executor.submit(model, SOME).waiting == len(SOME)
    damage("prompts")
    provider.batch_faults.refusals = []
    with opened(place) as executor:
        assert errors(run(executor, OTHERS)) == []
        until(lambda: not executor.progress().waiting)
        assert errors(run(executor, SOME)) == []
    assert (len(provider.paid.lines), provider.paid.twice) == (len(SOME) + len(OTHERS), 0)


def test_what_a_provider_has_it_may_answer_though_its_prompt_is_damaged(
    place: str, damage: Damage, provider: LoopbackBatches
):
    provider.batch_faults.endings.append(Ending("expired", 0.5))
    with opened(place) as executor, ThreadPoolExecutor(1) as pool:
        some = pool.submit(lambda: run(executor, SOME))
        until(lambda: provider.batch_ids)
        damage("prompts")
        told = errors(some.result(timeout=60))
        assert 0 < len(told) < len(SOME)
        assert all("is damaged" in one for one in told)
        assert errors(run(executor, SOME)) == []
    assert (len(provider.paid.lines), provider.paid.twice) == (len(SOME), 0)
