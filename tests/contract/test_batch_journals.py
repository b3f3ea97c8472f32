"""What every journal of batches promises: in a SQLite file, and on a real server that workers share."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.redis_server import RedisServer
from thrift_plugins.batching.client import Address, Intent
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.journal import Journal
from thrift_plugins.batching.journals import open_journal, open_records
from thrift_plugins.batching.packs import Packs
from thrift_plugins.batching.pending import Answer, Pending, content_key
from thrift_plugins.batching.reading import Reader
from thrift_plugins.batching.records import Incident, Sending
from thrift_plugins.batching.records_sqlite import LATER_COLUMNS
from thrift_plugins.batching.settings import BatchSettings
from thrift_plugins.batching.stopping import Stopping
from thrift_plugins.batching.waiting import Waiting
from thrift_plugins.errors import ConfigError, StoreCorrupt

NOW = 1_800_000_000.0
ADDRESS = Address("m", "/ask")
SECRET = "0123456789abcdef-secret"
Opened = Callable[..., Any]


@pytest.fixture
def opened(place: str) -> Iterator[Opened]:
    """Opens the journal, as a next process would; the one before is closed."""
    last: list[Journal] = []

    def again(account: str = "a", now: float = NOW, **given: Any) -> Journal:
        while last:
            last.pop().close()
        journal = open_journal(place, account, BatchSettings(retention=100.0), now=now, **given)
        last.append(journal)
        assert journal.lead()
        return journal

    yield again
    while last:
        last.pop().close()


def asked(*texts: str, deadline: float | None = None) -> list[Pending]:
    pendings = []
    for text in texts:
        body = {"model": "m", "text": text}
        key = content_key("a", ADDRESS, body, 0)
        pendings.append(Pending(key, ADDRESS, orjson.dumps(body), deadline, futures.Future()))
    return pendings


def keys(*texts: str) -> list[bytes]:
    return [one.key for one in asked(*texts)]


def planned(journal: Journal, name: str, *texts: str) -> Sending:
    intent = Intent(name, "digest", ADDRESS.model, ADDRESS.url, len(texts), NOW)
    return journal.plan(intent, keys(*texts), 7, None)


def sent(journal: Journal, name: str, *texts: str) -> Sending:
    return journal.sent(journal.sending(planned(journal, name, *texts), f"file-{name}", NOW + 1), f"remote-{name}")


def answers(*texts: str) -> list[tuple[bytes, Answer]]:
    return [(key, Answer(200, f'"answer to {text}"'.encode())) for key, text in zip(keys(*texts), texts, strict=True)]


def bodies(lines: Sequence[Any]) -> list[str]:
    return [orjson.loads(line.body)["text"] for line in lines]


def test_a_line_goes_from_the_asking_to_its_answer(opened: Opened):
    journal = opened()
    assert journal.admit(asked("one", "two", "one", deadline=NOW + 50)) == []
    assert [(one.key, one.address, one.deadline) for one in journal.fresh()] == [
        (key, ADDRESS, NOW + 50) for key in keys("one", "two")
    ]
    assert journal.fresh() == []
    assert journal.counts() == {"queued": 2, "sent": 0, "answered": 0, "errored": 0}
    batch = planned(journal, "x", "one", "two")
    assert journal.counts() == {"queued": 2, "sent": 0, "answered": 0, "errored": 0}
    assert [one.key for one in journal.members(batch)] == keys("one", "two")
    assert bodies(list(journal.lines(batch))) == ["one", "two"]
    batch = journal.sent(journal.sending(batch, "file", NOW + 1), "remote")
    assert (batch.state, batch.upload, batch.remote, batch.sent_at) == ("sent", "file", "remote", NOW + 1)
    assert journal.counts() == {"queued": 0, "sent": 2, "answered": 0, "errored": 0}
    assert journal.unfinished() == [batch]
    assert journal.ours("remote")
    assert journal.take(batch, answers("two", "one"), NOW + 2) == set(keys("one", "two"))
    assert journal.take(batch, answers("two"), NOW + 2) == set()
    assert not journal.waits(keys("one")[0])
    assert journal.ended(batch, "completed", NOW + 3) == []
    assert journal.unfinished() == []
    assert journal.counts() == {"queued": 0, "sent": 0, "answered": 2, "errored": 0}

    journal = opened()
    told = {orjson.loads(one.body)["text"]: answer.body for one, answer in journal.admit(asked("two", "one"))}
    assert told == {"one": b'"answer to one"', "two": b'"answer to two"'}
    assert journal.fresh() == []
    (row,) = journal.batches()
    assert (row["state"], row["ended"], row["answered"], row["done_at"]) == ("done", "completed", 2, NOW + 3)


def used(text: str) -> Answer:
    """An answer that has used 10 tokens, 3 of them from a cache, and made 4."""
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}
    return Answer(200, orjson.dumps({"text": text, "usage": usage}))


def test_what_is_read_twice_has_used_tokens_once(opened: Opened):
    journal = opened()
    journal.admit(asked("one", "two", "three", "bad"))
    batch = sent(journal, "x", "one", "two", "three", "bad")
    one, two, three, bad = keys("one", "two", "three", "bad")
    journal.take(batch, [(one, used("one")), (two, used("two"))], NOW)  # and then the download breaks off
    told = [(one, used("one")), (two, used("two")), (three, used("three")), (bad, used("bad")._replace(code="bad"))]
    assert journal.take(batch, told, NOW) == {three, bad}
    (row,) = journal.batches()
    assert (row["answered"], row["input_tokens"], row["cache_read"], row["output_tokens"]) == (4, 30, 9, 12)


def test_what_a_batch_did_not_answer_is_queued_again(opened: Opened):
    journal = opened()
    journal.admit(asked("one", "two", "three"))
    journal.fresh()
    batch = sent(journal, "x", "one", "two", "three")
    journal.take(batch, answers("two"), NOW)
    assert journal.ended(batch, "expired", NOW) == keys("one", "three")
    assert journal.attempts(keys("one", "two", "three")) == dict(
        zip(keys("one", "two", "three"), (1, 0, 1), strict=True)
    )
    assert journal.fresh() == []  # who ended it knows them
    journal = opened()
    assert [one.key for one in journal.fresh()] == keys("one", "three")
    again = planned(journal, "y", "one", "three")
    assert [(one.attempt, *bodies([one])) for one in journal.lines(again)] == [(1, "one"), (1, "three")]


def test_an_error_is_asked_anew_and_an_answer_is_not(opened: Opened):
    journal = opened()
    journal.admit(asked("one"))
    (key,) = keys("one")
    assert journal.take(None, [(key, Answer(400, b"no", "bad_request"))], NOW) == {key}
    assert journal.counts()["errored"] == 1
    assert journal.line(key) is None
    journal.fresh()
    assert journal.admit(asked("one")) == []
    assert journal.counts() == {"queued": 1, "sent": 0, "answered": 0, "errored": 0}
    line = journal.line(key)
    assert line is not None
    assert bodies([line]) == ["one"]
    assert line.attempt == 1  # so that no batch before has a line of the same name
    assert [one.key for one in journal.fresh()] == [key]
    assert journal.take(None, [(key, Answer(200, b"yes", processing="flex"))], NOW) == {key}
    assert journal.admit(asked("one"))[0][1] == Answer(200, b"yes", "", "flex")


def test_what_was_answered_before_a_batch_is_planned_is_none_of_its_lines(opened: Opened):
    journal = opened()
    journal.admit(asked("one", "two", "three"))
    journal.take(None, answers("two"), NOW)
    batch = planned(journal, "x", "one", "two", "three")
    assert batch.intent.count == 2
    assert [one.intent.count for one in journal.unfinished()] == [2]
    assert bodies(list(journal.lines(batch))) == ["one", "three"]


def test_what_was_answered_at_once_is_told_from_what_a_batch_has_answered(opened: Opened):
    journal = opened()
    journal.admit(asked("one", "two", "three", "four"))
    one, two, three, four = keys("one", "two", "three", "four")
    journal.take(sent(journal, "x", "one"), answers("one"), NOW)
    journal.take(None, [(two, Answer(200, b"2", processing="standard")), (three, Answer(400, b"3", "bad"))], NOW)
    assert journal.at_once([one, two, three, four]) == {two}


def test_batches_that_were_given_up_may_turn_up(opened: Opened):
    journal = opened()
    journal.admit(asked("one"))
    batch = journal.sending(planned(journal, "x", "one"), "file", NOW)
    assert journal.forget(batch, "absent", NOW + 5) == keys("one")
    assert [one.intent.id for one in journal.strays(NOW)] == ["x"]
    assert journal.strays(NOW + 6) == []
    assert not journal.ours("late")
    journal.adopted(batch, "late", NOW + 7)
    assert journal.strays(NOW) == []
    assert journal.ours("late")
    assert journal.knows(keys("one")[0])
    assert not journal.knows(keys("other")[0])


def test_failures_are_counted_until_a_line_is_answered(opened: Opened):
    journal = opened()
    journal.admit(asked("one", "two"))
    one, two = keys("one", "two")
    journal.take(None, answers("two"), NOW)
    for times in (1, 2):
        batch = sent(journal, f"x{times}", "one")
        assert journal.failures([one, two]) == [(one, times)]
        assert journal.ended(batch, "completed", NOW) == [one]
    assert journal.failures([one, two], whole=True) == [(one, 1)]  # that its batch failed is something else
    assert journal.failures([one]) == [(one, 3)]


def test_a_failure_that_is_read_again_after_a_kill_is_counted_once(opened: Opened):
    journal = opened()
    journal.admit(asked("one"))
    (one,) = keys("one")
    sent(journal, "x", "one")
    for whole in (False, True):
        assert journal.failures([one], whole=whole) == [(one, 1)]
    journal = opened()  # killed before the batch was noted as ended: its results are read again
    (batch,) = journal.unfinished()
    for whole in (False, True):
        assert journal.failures([one], whole=whole) == [(one, 1)]
    journal.ended(batch, "completed", NOW)
    for whole in (False, True):
        assert journal.failures([one], whole=whole) == [(one, 2)]


def test_a_journal_of_before_there_were_further_columns_is_read(tmp_path: Path):
    with closing(open_journal(tmp_path / "j.db", "a", BatchSettings(), now=NOW)) as journal:
        journal.admit(asked("one"))
    with closing(sqlite3.connect(tmp_path / "j.db")) as connection, connection:
        connection.execute("DROP INDEX lines_booked")
        for column in LATER_COLUMNS:
            connection.execute(f"ALTER TABLE lines DROP COLUMN {column.split()[0]}")
    with closing(open_journal(tmp_path / "j.db", "a", BatchSettings(), now=NOW)) as journal:
        assert journal.failures(keys("one")) == [(*keys("one"), 1)]
        journal.admit(asked("two"))
        assert [one.key for one in journal.fresh()] == keys("one", "two")


def test_a_line_that_is_asked_again_is_wanted_by_the_deadline_of_those_who_wait(opened: Opened):
    journal = opened()
    one, two, three = keys("one", "two", "three")
    assert journal.fresh() == []
    journal.admit(asked("one", "two", deadline=NOW + 50))
    journal.admit(asked("three"))
    assert [(each.deadline, each.wanted) for each in journal.fresh()] == [(NOW + 50, True)] * 2 + [(None, True)]
    assert journal.moved() == {}
    journal.admit(asked("one", "three", deadline=NOW + 40.5))
    journal.admit(asked("two"))
    assert journal.moved() == {one: NOW + 40.5, three: NOW + 40.5, two: NOW + 50}
    assert journal.moved() == {}
    sent(journal, "x", "one", "two")

    journal = opened()  # after a kill: nobody waits
    (batch,) = journal.unfinished()
    assert [(each.deadline, each.wanted) for each in journal.members(batch)] == [(NOW + 40.5, False), (NOW + 50, False)]
    assert [(each.key, each.deadline, each.wanted) for each in journal.fresh()] == [(three, NOW + 40.5, False)]
    journal.admit(asked("one", deadline=NOW + 900))
    journal.admit(asked("two", "three"))
    assert journal.moved() == {one: NOW + 900, two: NOW + 50, three: NOW + 40.5}
    journal.take(None, answers("one"), NOW)
    assert journal.admit(asked("one", deadline=NOW + 2)) != []
    assert journal.moved() == {}


def test_thousands_of_lines_and_long_ones(opened: Opened):
    journal = opened()
    texts = [f"text {number} {'long ' * (number % 97 * 100)}" for number in range(1_300)]
    journal.admit(asked(*texts))
    assert [one.key for one in journal.fresh()] == keys(*texts)
    first, second = sent(journal, "x", *texts[:701]), sent(journal, "y", *texts[701:])
    assert bodies(list(journal.lines(first))) == texts[:701]
    assert bodies(list(journal.lines(second))) == texts[701:]
    for start in range(0, 600, 500):
        journal.take(first, answers(*texts[start : min(start + 500, 600)]), NOW)
    assert journal.ended(first, "expired", NOW) == keys(*texts[600:701])
    assert bodies(list(journal.lines(second))) == texts[701:]
    journal = opened()
    told = journal.admit(asked(*texts))
    assert {one.key: answer.body for one, answer in told} == {key: answer.body for key, answer in answers(*texts[:600])}
    assert [one.key for one in journal.fresh()] == keys(*texts[600:701])


def test_incidents_are_for_everybody_who_looks(opened: Opened, place: str):
    journal = opened()
    told = [Incident(NOW + number, "promoted", "b", number, None, "why") for number in range(3)]
    for incident in told:
        journal.note(incident)
    with closing(open_records(place, "a")) as records:
        assert records.incidents() == told


def test_a_stop_is_for_what_was_asked_before_it(opened: Opened, place: str):
    journal = opened()
    assert journal.stops() == 0
    journal.admit(asked("one", "two", "three"))
    sent(journal, "x", "one")
    assert journal.stopped(keys("one", "two", "three")) == set()
    with closing(open_records(place, "a")) as records:
        records.stop()
        assert records.stops() == journal.stops() == 1
    journal.admit(asked("four"), 0)  # by a run that has not heard of it
    journal.admit(asked("one", "two", "five"), 1)
    every = keys("one", "two", "three", "four", "five")
    assert journal.stopped(every) == set(keys("three", "four"))
    journal = opened()
    assert journal.stopped(every) == set(keys("three", "four"))
    journal.admit(asked("one", "three"), 0)  # whoever began before the last stop changes nothing
    assert journal.stopped(every) == set(keys("three", "four"))
    journal.stop()
    assert journal.stopped(every) == set(every)


def test_what_is_asked_between_the_look_and_the_word_goes_on(opened: Opened, place: str):
    journal = opened()
    journal.admit(asked("one", "two"))
    with closing(open_records(place, "a")) as records:
        records.stop()
    plain = journal.stopped

    def asked_meanwhile(some: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = plain(some)
        journal.admit(asked("one"), 1)  # on a server: by another worker
        return found

    journal.stopped = asked_meanwhile
    client: Any = None
    reader = Reader(Desk(client, journal, BatchSettings(), lambda: NOW, lambda *_: None), Waiting())
    assert Stopping(journal, reader).without(keys("one", "two")) == keys("one")
    assert journal.counts() == {"queued": 1, "sent": 0, "answered": 0, "errored": 1}
    assert journal.waits(keys("one")[0])


def test_a_journal_is_one_account_s(opened: Opened, place: str):
    opened()
    with pytest.raises(ConfigError, match="of the account 'a', not of 'b'"):
        opened("b")
    with pytest.raises(ConfigError, match="of the account 'a', not of 'b'"):
        open_records(place, "b")
    with closing(open_records(place)) as records:
        assert records.batches() == []


def kept(place: str, journal_server: RedisServer) -> bytes:
    """Everything that is on the disk or the server."""
    if place.startswith("redis"):
        values = [journal_server.ask("HVALS", f"tp1~b{kind}:{{reviews}}") for kind in ("bodies", "answers", "open")]
        return b"".join(values)
    return b"".join(file.read_bytes() for file in Path(place).parent.iterdir())


def test_prompts_go_with_their_answers(opened: Opened, place: str, journal_server: RedisServer):
    journal = opened()
    texts = [f"{number:x}" * 40 for number in range(20)]
    journal.admit(asked(*texts))
    batch = sent(journal, "x", *texts)
    journal.take(batch, answers(*texts[:15]), NOW)
    journal.ended(batch, "expired", NOW)
    again = planned(journal, "y", *texts[15:])
    assert bodies(list(journal.lines(again))) == texts[15:]
    if place.startswith("redis"):
        assert journal_server.ask("HLEN", "tp1~bbodies:{reviews}") == b":5\r\n"
    else:
        connection: Any = journal._file.run(lambda c: c)  # type: ignore[attr-defined]
        (_first, packed), *others = connection.execute("SELECT first, texts FROM prompts").fetchall()
        assert others == []
        left = journal._packs.unpack(packed)  # type: ignore[attr-defined]
        assert [bool(text) for text in left] == [False] * 15 + [True] * 5
    for key, answer in answers(*texts[15:]):
        journal.take(None, [(key, answer)], NOW)
    if place.startswith("redis"):
        assert journal_server.ask("HLEN", "tp1~bbodies:{reviews}") == b":0\r\n"
    else:
        assert connection.execute("SELECT count(*) FROM prompts").fetchone() == (0,)


@pytest.mark.parametrize("key", [None, SECRET])
def test_a_pack_that_is_damaged_anywhere_is_none(key: str | None):
    packs = Packs(key)
    texts = [f'"answer {number * 7919 % 1000}"'.encode() for number in range(20)]
    packed = packs.pack(texts)
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 0x10
        with suppress(StoreCorrupt):  # a bit of zstd's header that says nothing
            assert packs.unpack(bytes(damaged)) == texts
        with pytest.raises(StoreCorrupt):
            packs.unpack(packed[:place])


def test_prompts_and_answers_may_be_encrypted(opened: Opened, place: str, journal_server: RedisServer):
    journal = opened(key=SECRET)
    journal.admit(asked("nobody may see", "nor this"))
    journal.take(None, answers("nor this"), NOW)
    assert b"nobody may see" not in kept(place, journal_server)
    assert b"nor this" not in kept(place, journal_server)
    with pytest.raises(ConfigError, match="needs its key"):
        opened()
    with pytest.raises(ConfigError, match="another key"):
        opened(key="0123456789abcdef-other")
    journal = opened(key=SECRET)
    assert journal.admit(asked("nor this"))[0][1].body == b'"answer to nor this"'
    line = journal.line(keys("nobody may see")[0])
    assert line is not None
    assert bodies([line]) == ["nobody may see"]


def test_a_journal_in_clear_does_not_become_encrypted(opened: Opened):
    opened().admit(asked("one"))
    with pytest.raises(ConfigError, match="cannot become so"):
        opened(key=SECRET)


def test_answers_are_kept_for_the_retention(opened: Opened):
    journal = opened()
    journal.admit(asked("old", "older", "bad", "young", "open"))
    journal.take(None, answers("old", "older"), NOW - 200)
    journal.take(None, [(keys("bad")[0], Answer(400, b"no", "bad"))], NOW - 150)
    journal.take(None, answers("young"), NOW - 50)
    journal = opened()
    assert journal.counts() == {"queued": 1, "sent": 0, "answered": 1, "errored": 0}
    assert [one.key for one, _ in journal.admit(asked("old", "young"))] == keys("young")
    assert journal.counts() == {"queued": 2, "sent": 0, "answered": 1, "errored": 0}


@pytest.mark.parametrize(("policy", "memory", "taken"), [
    ("allkeys-lru", "50mb", False), ("allkeys-random", "1gb", False), ("allkeys-lru", "0", True), ("volatile-lru", "50mb", True),
    ("noeviction", "50mb", True),
])  # fmt: skip
def test_a_server_that_evicts_is_refused(tmp_path: Path, policy: str, memory: str, taken: bool):
    with RedisServer(tmp_path, "--appendonly", "yes", "--maxmemory", memory, "--maxmemory-policy", policy) as server:
        if taken:
            open_journal(server.url, "a", BatchSettings(), now=NOW).close()
            return
        with pytest.raises(ConfigError, match=f"maxmemory-policy {policy}.*noeviction"):
            open_journal(server.url, "a", BatchSettings(), now=NOW)
        assert server.ask("DBSIZE") == b":0\r\n"
        with closing(open_records(server.url)) as records:  # to look at one does no harm
            assert records.batches() == []


def test_a_server_that_forgets_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    with RedisServer(tmp_path) as server:
        open_journal(server.url, "a", BatchSettings(), now=NOW).close()
    assert "forgets what was sent" in caplog.text
