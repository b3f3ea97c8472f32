"""Single flight by itself: who leads, who waits, who must not, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from thrift_plugins.caching import flights
from thrift_plugins.caching.flights import LEFT, Flight, Landing, Place, Seat, join
from thrift_plugins.stores.base import Claim

DONE = Landing(b"answer")


class Origin:
    def __init__(self) -> None:
        self.released: list[Claim] = []

    def release(self, claim: Claim) -> None:
        self.released.append(claim)


ORIGIN = Origin()


def joined(key: str = "k", *, space: str = "s", asynchronous: bool = False) -> Place[Claim]:
    return join(ORIGIN, space, key, asynchronous=asynchronous)


def elsewhere() -> Place[Claim]:
    """Joined by another thread, with a context of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(joined).result()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    ORIGIN.released.clear()
    yield
    gc.collect()
    assert flights._under_way == {}


def test_the_first_leads_and_the_next_follow_until_it_lands():
    seat = joined()
    assert isinstance(seat, Seat)
    assert seat.patient
    assert elsewhere() is seat.flight
    seat.flight.land(DONE)
    assert isinstance(elsewhere(), Seat), "the next call is a flight of its own"


def test_other_keys_and_other_stores_are_other_flights():
    seats = [contextvars.Context().run(joined, key, space=space) for key in "ab" for space in "st"]
    assert all(isinstance(seat, Seat) for seat in seats)


def test_only_the_first_landing_counts():
    seat = joined()
    assert isinstance(seat, Seat)
    flight = seat.flight
    flight.land(DONE)
    other = joined()
    assert isinstance(other, Seat)
    flight.land(LEFT)
    assert flight.wait(0) == DONE
    assert other.flight.under_way, "a late landing ends no other flight"
    other.flight.land(LEFT)


async def test_threads_and_tasks_wait_for_one_flight():
    seat = elsewhere()
    assert isinstance(seat, Seat)
    flight = seat.flight
    tasks = [asyncio.ensure_future(flight.await_landing(30)) for _ in range(50)]
    threads = [asyncio.ensure_future(asyncio.to_thread(flight.wait, 30)) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    flight.land(DONE)
    assert set(await asyncio.gather(*tasks[1:], *threads)) == {DONE}
    assert tasks[0].cancelled()


async def test_waiting_ends_and_can_begin_again():
    seat = elsewhere()
    assert isinstance(seat, Seat)
    assert seat.flight.wait(0.001) is None
    assert await seat.flight.await_landing(0.001) is None
    seat.flight.land(DONE)
    assert seat.flight.wait(0.001) == DONE
    assert await seat.flight.await_landing(0.001) == DONE


def test_a_follower_on_the_leader_s_thread_does_not_block_it():
    seat = joined()
    assert isinstance(seat, Seat)
    place = contextvars.Context().run(joined)
    assert place == "the same call is under way on this thread, asked too"
    assert contextvars.Context().run(joined, asynchronous=True) is seat.flight, "a task does not block its thread"
    seat.flight.land(LEFT)


async def test_a_task_that_the_leader_waits_for_does_not_wait_for_it():
    seat = joined(asynchronous=True)
    assert isinstance(seat, Seat)

    async def inner(key: str) -> Place[Claim]:
        return joined(key, asynchronous=True)

    assert await asyncio.create_task(inner("k")) == "asked from inside of another call, asked too"
    assert await asyncio.to_thread(joined) == "asked from inside of another call, asked too"
    other = await asyncio.create_task(inner("other"))
    assert isinstance(other, Seat)
    assert not other.patient, "who leads waits for nobody, so nobody waits in a circle"
    seat.flight.land(LEFT)
    other.flight.land(LEFT)
    again = joined(asynchronous=True)
    assert isinstance(again, Seat)
    assert again.patient, "what has landed is forgotten"


def test_the_last_thread_of_a_loop_s_pool_knows_that_it_is():
    seat = contextvars.Context().run(joined, asynchronous=True)
    assert isinstance(seat, Seat)
    flight, size = seat.flight, flights._WORKERS
    with ThreadPoolExecutor(size, thread_name_prefix="asyncio") as pool:
        waiting = [pool.submit(flight.wait, 30) for _ in range(size - 1)]
        while len(flights._workers_waiting) < size - 1:
            threading.Event().wait(0.001)
        assert pool.submit(flight.may_need_this_thread).result()
        assert not flight.may_need_this_thread(), "this thread is of no pool"
        flight.land(DONE)
        assert {each.result() for each in waiting} == {DONE}
        assert not pool.submit(flight.may_need_this_thread).result()


def test_a_seat_that_is_lost_lands_and_gives_its_claim_back():
    seat = joined()
    assert isinstance(seat, Seat)
    flight = seat.flight
    flight.claim = Claim("k", "t")
    del seat
    assert flight.wait(0) == LEFT
    assert ORIGIN.released == [Claim("k", "t")]


def test_a_seat_whose_flight_has_landed_is_lost_quietly():
    seat = joined()
    assert isinstance(seat, Seat)
    seat.flight.land(DONE)
    flight = seat.flight
    del seat
    assert (flight.wait(0), ORIGIN.released) == (DONE, [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_none_of_its_parent_s_flights():
    seat = joined()
    assert isinstance(seat, Seat)
    seat.flight.claim = Claim("k", "t")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        own = joined()
        told = isinstance(own, Seat) and own.patient
        del seat
        gc.collect()
        os.write(write, b"led" if told and not ORIGIN.released else b"bad")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 3) == b"led"
    os.close(read)
    os.close(write)
    assert seat.flight.under_way
    seat.flight.claim = None


def test_many_threads_have_one_leader_at_a_time():
    led, rounds = [0] * 20, 20
    barrier = threading.Barrier(50)

    def run() -> None:
        for number in range(rounds):
            barrier.wait()
            place = joined(str(number))
            barrier.wait()
            if isinstance(place, Seat):
                led[number] += 1
                place.flight.land(DONE)
            elif isinstance(place, Flight):
                assert place.wait(30) == DONE

    threads = [threading.Thread(target=contextvars.Context().run, args=(run,)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert led == [1] * rounds
