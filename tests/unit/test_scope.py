"""Whose call it is, in blocks, threads and tasks."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context

import pytest

from thrift_plugins import ConfigError, current_scope, fresh, route, scope
from thrift_plugins.scope import Recording, current_recording, current_route, merged, replaying, wants_fresh
from thrift_plugins.types import Scope, Usage


def test_blocks_add_and_end():
    assert current_scope() == Scope()
    with scope(tenant="acme", feature="faq") as outer:
        assert outer == Scope(tenant="acme", feature="faq")
        with scope(feature="search", user="ann", session="s1"):
            assert current_scope() == Scope("acme", "ann", "search", "s1")
        assert current_scope() == outer
    assert current_scope() == Scope()


def test_it_ends_with_an_error_too():
    with pytest.raises(ValueError, match="boom"), scope(tenant="acme"), route("big"):
        raise ValueError("boom")
    assert (current_scope(), current_route()) == (Scope(), None)


def test_other_names_are_walls_in_an_order_of_their_own():
    with scope(region="eu"), scope(plan="pro", region="us"):
        assert current_scope().keys == (("plan", "pro"), ("region", "us"))
    assert merged(Scope(), {"b": "1", "a": "2"}) == merged(Scope(), {"a": "2", "b": "1"})
    assert merged(Scope(), {"keys": "x"}).keys == (("keys", "x"),), "the field's own name is a wall like any other"


def test_tags_add_up_and_are_no_walls():
    with scope(tags="doc:1", tenant="acme"), scope(tags=["kb", "doc:1", "\ud800"], tags2="wall"):
        assert current_scope() == Scope(tenant="acme", keys=(("tags2", "wall"),), tags=("doc:1", "kb", "\\ud800"))
    assert current_scope().tags == ()
    assert merged(Scope(tags=("a",)), {}, "b").tags == ("a", "b")


@pytest.mark.parametrize("tags", ["", [""], ["ok", ""], [7], [None]])
def test_a_tag_is_a_word(tags):
    with pytest.raises(ConfigError, match="a tag must be a string and not empty"), scope(tags=tags):
        pass


@pytest.mark.parametrize("value", [None, 7, b"acme", ["acme"]])
def test_a_name_must_be_text(value):
    with pytest.raises(ConfigError, match=r"scope 'tenant' must be a string, not \w+"), scope(tenant=value):
        pass


async def test_tasks_and_to_thread_see_it_and_keep_apart():
    async def mine(tenant: str) -> str:
        with scope(tenant=tenant):
            await asyncio.sleep(0.001)
            inner = await asyncio.to_thread(current_scope)
            assert inner == current_scope()
            return inner.tenant

    assert await asyncio.gather(*(mine(f"t{i}") for i in range(50))) == [f"t{i}" for i in range(50)]
    assert current_scope() == Scope()


def test_a_thread_sees_it_where_the_app_passes_its_context():
    seen: list[str] = []
    with scope(tenant="acme"):
        context = copy_context()
    thread = threading.Thread(target=lambda: seen.append(context.run(current_scope).tenant))
    thread.start()
    thread.join()
    assert seen == ["acme"]


def test_a_route_and_a_recording_hold_in_their_block():
    known = Recording("r7", Usage(1, 2))
    with route("big"), replaying(known):
        assert (current_route(), current_recording()) == ("big", known)
        with route("small"):
            assert current_route() == "small"
    assert (current_route(), current_recording()) == (None, None)


def test_a_block_may_ask_anew():
    assert not wants_fresh()
    with fresh():
        assert wants_fresh()
    assert not wants_fresh()


def test_a_name_that_no_store_can_write_is_escaped_and_stays_another_one():
    one, other = (merged(Scope(), {"tenant": f"a{half}"}).tenant for half in ("\ud800", "\ud801"))
    assert one.isascii()
    assert one != other
