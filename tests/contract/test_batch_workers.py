"""Several workers on one journal: who leads, what a worker may still write that was held up, and what a server may do to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_openai import ChatOpenAI

from tests.batch_kit import found_by_sdks
from tests.cli_kit import SDK_LEAKS, command
from tests.redis_server import RedisServer
from thrift_plugins.batching import BatchSettings, Executor, OpenAIBatchClient, journal_redis
from thrift_plugins.batching.client import Address, Intent
from thrift_plugins.batching.journal import Deposed
from thrift_plugins.batching.journal_redis import RedisJournal
from thrift_plugins.batching.journal_scripts import MOVE
from thrift_plugins.batching.pending import Answer, Pending, content_key
from thrift_plugins.batching.records_redis import RedisRecords
from thrift_plugins.errors import ConfigError, StoreCorrupt, StoreUnavailable
from thrift_plugins.langchain import BatchExecutor
from thrift_plugins.stores.redis_scripts import Script
from thrift_plugins.stores.redis_wire import Word
from thrift_plugins.testing import LoopbackBatches

pytestmark = SDK_LEAKS

NOW = 1_800_000_000.0
ADDRESS = Address("m", "/ask")
QUICK = BatchSettings(poll=0.03, grace=1, linger=0.02, lease=1)
MODEL = "gpt-4o-mini"


@pytest.fixture
def server(journal_server: RedisServer) -> RedisServer:
    journal_server.ask("FLUSHALL")
    return journal_server


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBatches]:
    with found_by_sdks(monkeypatch, 0.3) as made:
        yield made


def opened(server: RedisServer, **given: str) -> RedisJournal:
    return RedisJournal(server.url, "a", retention=100.0, now=NOW, lease=1.0, **given)


def asked(*texts: str) -> list[Pending]:
    contents = [{"model": "m", "text": text} for text in texts]
    return [
        Pending(content_key("a", ADDRESS, one, 0), ADDRESS, orjson.dumps(one), None, futures.Future())
        for one in contents
    ]


def key(text: str) -> bytes:
    return asked(text)[0].key


INTENT = Intent("x", "digest", "m", "/ask", 1, NOW)


def test_one_leads_until_it_lets_go_or_dies(server: RedisServer):
    first, second, third = opened(server), opened(server), opened(server)
    assert first.lead()
    assert not second.lead()
    assert first.lead()
    first.close()
    assert second.lead()
    time.sleep(1.1)  # as if it had died: nobody renews its lease
    assert third.lead()
    assert not second.lead()
    for journal in (second, third):
        journal.close()


def test_whoever_was_held_up_writes_nothing_over_its_successor_s(server: RedisServer):
    with closing(opened(server)) as slow, closing(opened(server)) as next_one:
        assert slow.lead()
        slow.admit(asked("one", "two"))
        batch = slow.plan(INTENT, [key("one")], 7, None)
        time.sleep(1.1)
        assert next_one.lead()
        (left,) = next_one.unfinished()
        assert next_one.forget(left, "refused", NOW) == [key("one")]
        for late in (
            lambda: slow.sending(batch, "file", NOW),
            lambda: slow.plan(INTENT, [key("two")], 7, None),
            lambda: slow.take(batch, [(key("one"), Answer(200, b"1"))], NOW),
            lambda: slow.ended(batch, "completed", NOW),
            lambda: slow.failures([key("one")]),
            lambda: slow.line(key("one")),
        ):
            with pytest.raises(Deposed):
                late()
        assert {one.key for one in next_one.fresh()} == {key("one"), key("two")}
        assert next_one.counts() == {"queued": 2, "sent": 0, "answered": 0, "errored": 0}
        # Nor where nobody has led in between: what it had in mind may be old by now.
        time.sleep(1.1)
        assert not next_one.lead()
        assert next_one.lead()


def test_every_step_may_be_taken_twice(server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    """The answer to a step may be lost, and it is asked again."""
    plain = RedisRecords._run

    def twice(self: RedisRecords, script: Script, *values: Word, batch: int = 0) -> Any:
        told = plain(self, script, *values, batch=batch)
        plain(self, script, *values, batch=batch)
        return told

    with closing(opened(server)) as journal:
        monkeypatch.setattr(RedisRecords, "_run", twice)
        assert journal.lead()
        journal.admit(asked("one", "two"))
        batch = journal.plan(INTENT, [key("one"), key("two")], 7, None)
        batch = journal.sent(journal.sending(batch, "file", NOW), "remote")
        answer = Answer(200, orjson.dumps({"usage": {"prompt_tokens": 10, "completion_tokens": 4}}))
        assert journal.take(batch, [(key("one"), answer)], NOW) == {key("one")}
        assert journal.failures([key("two")]) == [(key("two"), 1)]
        assert journal.failures([key("two")], whole=True) == [(key("two"), 1)]
        assert journal.ended(batch, "expired", NOW) == [key("two")]
        assert [one.key for one in journal.fresh()] == [key("two")]
        assert journal.attempts([key("two")]) == {key("two"): 1}
        monkeypatch.undo()
        assert [(one["answered"], one["input_tokens"], one["output_tokens"]) for one in journal.batches()] == [(1, 10, 4)]
        assert journal.failures([key("two")], whole=True) == [(key("two"), 2)]
        assert journal.counts() == {"queued": 1, "sent": 0, "answered": 1, "errored": 0}


def test_all_hear_of_an_answer_whoever_has_read_it(server: RedisServer):
    with closing(opened(server)) as leader, closing(opened(server)) as other, closing(opened(server)) as third:
        assert leader.lead()
        other.admit(asked("one", "two"))
        leader.take(None, [(key("one"), Answer(200, b"1")), (key("two"), Answer(400, b"2", "bad"))], NOW)
        wanted = {key("one"), key("two")}
        assert dict(other.news(wanted)) == {key("one"): Answer(200, b"1"), key("two"): Answer(400, b"2", "bad")}
        assert other.news(wanted) == []
        assert dict(third.news({key("two")})) == {key("two"): Answer(400, b"2", "bad")}


def test_one_line_s_text_is_not_taken_for_another_s(server: RedisServer):
    with closing(opened(server, key="0123456789abcdef-secret")) as journal:
        assert journal.lead()
        journal.admit(asked("one", "two"))
        moved = "return redis.call('HSET', KEYS[1], ARGV[1], redis.call('HGET', KEYS[1], ARGV[2]))"
        journal._wire.ask(("EVAL", moved, 1, "tp1~bbodies:{batch}", key("one"), key("two")))
        with pytest.raises(StoreCorrupt, match="another line"):
            journal.line(key("one"))


def test_a_name_after_the_url_is_a_journal_of_its_own(server: RedisServer):
    with closing(opened(server)) as journal:
        journal.admit(asked("one"))
    with closing(RedisRecords(f"{server.url}#other")) as records:
        assert records.counts()["queued"] == 0
        assert "#other" in records.place
    with pytest.raises(ConfigError, match="letters, digits"):
        RedisRecords(f"{server.url}#a{{b}}")


def test_a_server_that_is_away_for_a_while_is_waited_for(tmp_path: Path):
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    with server, closing(RedisJournal(server.url, "a", retention=100.0, now=NOW)) as journal:
        assert journal.lead()
        journal.admit(asked("one"))
        server.kill()
        back = threading.Timer(0.3, server.start)
        back.start()
        assert journal.waits(key("one"))
        back.join()
        journal._patience = 0.2
        server.kill()
        with pytest.raises(StoreUnavailable):
            journal.counts()
    with pytest.raises(StoreUnavailable):  # at once: it may be a mistake in the URL
        RedisJournal(server.url, "a", retention=100.0, now=NOW)


@pytest.mark.parametrize("state", ["absent", "refused"])
def test_what_a_leader_has_left_half_moved_the_next_one_moves(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, state: str
):
    monkeypatch.setattr("thrift_plugins.batching.journal_redis._PAGE", 2)
    texts = ["one", "two", "three", "four", "five"]
    with closing(opened(server)) as slow, closing(opened(server)) as next_one:
        assert slow.lead()
        slow.admit(asked(*texts))
        batch = slow.plan(INTENT, [key(text) for text in texts], 7, None)
        plain = RedisJournal._led

        def dies(self: RedisJournal, script: Script, *values: Word, batch: int = 0) -> Any:
            told = plain(self, script, *values, batch=batch)
            if script is MOVE:
                raise StoreUnavailable("killed")
            return told

        monkeypatch.setattr(RedisJournal, "_led", dies)
        with pytest.raises(StoreUnavailable):
            slow.forget(batch, state, NOW)
        monkeypatch.setattr(RedisJournal, "_led", plain)
        assert slow.counts()["queued"] == 2
        slow.close()
        assert next_one.lead()
        assert [one.key for one in next_one.fresh()] == [key(text) for text in texts]
        assert next_one.attempts([key(text) for text in texts]) == dict.fromkeys([key(text) for text in texts], 1 if state == "absent" else 0)


def wanted(journal: RedisJournal, text: str, deadline: float | None) -> None:
    (one,) = asked(text)
    one.deadline = deadline
    journal.admit([one])


def test_a_deadline_counts_for_as_long_as_the_worker_that_has_said_it_is_there(server: RedisServer):
    with closing(opened(server)) as leader, closing(opened(server)) as other, closing(opened(server)) as third:
        assert leader.lead()
        wanted(other, "one", NOW + 50)
        assert [(one.deadline, one.wanted) for one in leader.fresh()] == [(NOW + 50, True)]
        wanted(third, "one", NOW + 90)
        wanted(third, "one", None)
        assert leader.moved() == {key("one"): NOW + 50}
        time.sleep(1.1)  # as if it had died: nobody hears of it
        wanted(third, "one", None)
        assert leader.moved() == {key("one"): NOW + 90}
        wanted(other, "one", NOW + 70)
        assert leader.moved() == {key("one"): NOW + 70}
        other.close()
        wanted(third, "one", NOW + 200)
        assert leader.moved() == {key("one"): NOW + 200}


def test_workers_with_the_same_inputs_pay_once(server: RedisServer, provider: LoopbackBatches):
    model = ChatOpenAI(model=MODEL, temperature=0, api_key="k", base_url=provider.base_url)
    inputs = [f"say {number}" for number in range(12)]
    together = threading.Barrier(3)

    def work(_: int) -> list[str]:
        with BatchExecutor(OpenAIBatchClient(), server.url, settings=QUICK) as executor:
            together.wait()
            results = [result.value().content for result in executor.run(model, inputs)]
            together.wait()  # whoever leads stays until all have theirs
            return results

    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(work, range(3)))
    assert told[0] == told[1] == told[2]
    assert len(provider.paid.lines) == 12
    assert provider.paid.twice == 0


def test_another_worker_goes_on_where_the_leader_stops(server: RedisServer, provider: LoopbackBatches):
    def asking(text: str) -> str:
        answer: str = (
            ChatOpenAI(model=MODEL, temperature=0, api_key="k", base_url=provider.base_url).invoke(text).content
        )
        return answer

    leader = Executor(OpenAIBatchClient(), server.url, settings=QUICK)
    with Executor(OpenAIBatchClient(), server.url, settings=QUICK) as follower, ThreadPoolExecutor(1) as pool:
        assert not follower.journal.lead()
        results = pool.submit(list, follower.run(asking, [f"ask {number}" for number in range(5)]))
        while not leader.journal.counts()["sent"]:
            time.sleep(0.01)
        leader.close()
        assert all(result.error is None for result in results.result(timeout=30))
    assert len(provider.paid.lines) == 5
    assert provider.paid.twice == 0


def test_a_leader_that_loses_its_lease_goes_on_as_the_others_do(server: RedisServer, provider: LoopbackBatches):
    model = ChatOpenAI(model=MODEL, temperature=0, api_key="k", base_url=provider.base_url)
    inputs = [f"say {number}" for number in range(9)]
    chain = model | (lambda said: f"and then? {said.content}") | model

    def run(executor: BatchExecutor) -> list[str]:
        return [result.value().content for result in executor.run(chain, inputs)]

    with (
        BatchExecutor(OpenAIBatchClient(), server.url, settings=QUICK) as one,
        BatchExecutor(OpenAIBatchClient(), server.url, settings=QUICK) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        results = [pool.submit(run, executor) for executor in (one, other)]
        for _ in range(8):
            time.sleep(0.1)
            server.ask("DEL", "tp1~blease:{batch}")
        first, second = (result.result(timeout=60) for result in results)
        assert first == second
        # Nor does it wait for ever to have sent what another one sends.
        assert one.submit(model, ["a further one"]).failed == 0
    assert len(provider.paid.lines) >= 18
    assert provider.paid.twice == 0


def test_a_worker_that_does_not_lead_ends_too_where_the_server_is_gone(
    provider: LoopbackBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal_redis, "_PATIENCE_S", 0.5)
    client = OpenAIBatchClient()
    with RedisServer(tmp_path) as server:
        leader = RedisJournal(server.url, client.account, retention=100.0, now=NOW)
        assert leader.lead()
        with BatchExecutor(client, server.url, settings=QUICK) as follower, ThreadPoolExecutor(1) as pool:
            model = ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url)
            asked = pool.submit(lambda: list(follower.run(model, ["say 1"])))
            while not leader.counts()["queued"]:
                time.sleep(0.02)
            server.kill()
            (result,) = asked.result(timeout=30)
            assert isinstance(result.error, StoreUnavailable)
        leader.close()


def test_cancel_stops_the_chains_of_every_worker_and_not_what_they_run_next(
    server: RedisServer, provider: LoopbackBatches
):
    model = ChatOpenAI(model=MODEL, temperature=0, max_retries=0, api_key="k", base_url=provider.base_url)
    goes_on = threading.Event()

    def between(said: Any) -> str:
        goes_on.wait(30)
        return f"and then? {said.content}"

    chain = model | between | model
    inputs = {"one": ["say 1", "say 2"], "other": ["say 3"]}
    with (
        BatchExecutor(OpenAIBatchClient(), server.url, settings=QUICK) as one,
        BatchExecutor(OpenAIBatchClient(), server.url, settings=QUICK) as other,
        ThreadPoolExecutor(2) as pool,
    ):

        def run(name: str) -> list[str]:
            executor = one if name == "one" else other
            return ["cancelled" if result.error else "answered" for result in executor.run(chain, inputs[name])]

        first = [pool.submit(run, name) for name in inputs]
        while one.journal.counts()["answered"] < 3:
            time.sleep(0.02)
        command("batch", "cancel", server.url)
        goes_on.set()
        assert [result.result(timeout=30) for result in first] == [["cancelled"] * 2, ["cancelled"]]
        time.sleep(0.3)
        assert len(provider.paid.lines) == 3  # and of the second step none
        assert one.journal.counts()["queued"] == 0
        again = [pool.submit(run, name) for name in inputs]
        assert [result.result(timeout=30) for result in again] == [["answered"] * 2, ["answered"]]
    assert (len(provider.paid.lines), provider.paid.twice) == (6, 0)


def test_a_journal_that_is_gone_ends_the_run_of_every_worker(server: RedisServer, provider: LoopbackBatches):
    model = ChatOpenAI(model=MODEL, temperature=0, max_retries=0, api_key="k", base_url=provider.base_url)
    with (
        BatchExecutor(OpenAIBatchClient(), server.url, settings=QUICK) as one,
        BatchExecutor(OpenAIBatchClient(), server.url, settings=QUICK) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        runs = [pool.submit(lambda executor=executor: list(executor.run(model, ["say 1"]))) for executor in (one, other)]
        while not provider.batch_ids:
            time.sleep(0.02)
        server.ask("FLUSHALL")
        for run in runs:
            (result,) = run.result(timeout=30)
            assert isinstance(result.error, StoreCorrupt)
    assert len(provider.batch_ids) == 1  # what nobody knows of any more is at least not sent again


def test_a_journal_that_goes_while_a_batch_is_made_is_told_to_be_gone(server: RedisServer):
    with closing(opened(server)) as journal:
        assert journal.lead()
        journal.admit(asked("one"))
        batch = journal.sending(journal.plan(INTENT, [key("one")], 7, None), "file", NOW)
        server.ask("FLUSHALL")
        for late in (lambda: journal.sent(batch, "remote"), lambda: journal.ended(batch, "completed", NOW)):
            with pytest.raises(StoreCorrupt, match="is gone from its server"):
                late()


def test_the_command_line_looks_at_a_server_too(server: RedisServer, provider: LoopbackBatches):
    model = ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url)
    with BatchExecutor(OpenAIBatchClient(), f"{server.url}#cli", settings=QUICK) as executor:
        assert executor.submit(model, ["one", "two"]).waiting == 2
    told = command("batch", "status", f"{server.url}#cli", "--json")
    assert orjson.loads(told.stdout)["sent"] == 2
    told = command("batch", "cancel", f"{server.url}#cli")
    assert "1 batches were asked to end" in told.stdout
