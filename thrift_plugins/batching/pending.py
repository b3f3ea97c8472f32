"""One request on its way through a batch, what it is known by, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent import futures
from hashlib import blake2b
from secrets import token_hex
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from thrift_plugins.batching.client import Address
from thrift_plugins.types import Processing

KEY_BYTES: Final = 16
_INTENT: Final = "thrift-"
_PARTS: Final = 3

TOO_LARGE: Final = (413, "the request is larger than the provider takes in a batch", "too_large")

Waiter: TypeAlias = "asyncio.Future[Answer] | futures.Future[Answer]"


class Answer(NamedTuple):
    """What came of a request.

    Attributes:
        status: HTTP status, as a call of its own would have had.
        body: JSON, encoded.
        code: the provider's or our word for an error, "" for an answer.
        processing: how it was worked on: "batch", or what a deadline has made of it.
        booked: the name of the call that books what it has cost, "" for one that did so before, None while none does.
    """

    status: int
    body: bytes
    code: str = ""
    processing: Processing = "batch"
    booked: str | None = None


class Pending:
    """A request that somebody waits for. Its body is dropped once it is in the journal.

    Attributes:
        call: the name of the call that waits for it, if it will book what it has cost; None if it will not.
        kept: whether the journal has it, or is about to: then it is asked, whether or not anybody waits for it any more.
    """

    __slots__ = ("address", "body", "call", "deadline", "kept", "key", "waiter")

    def __init__(
        self,
        key: bytes,
        address: Address,
        body: bytes,
        deadline: float | None,
        waiter: Waiter,
        call: str | None = None,
    ) -> None:
        self.key, self.address, self.body, self.deadline, self.waiter = key, address, body, deadline, waiter
        self.call, self.kept = call, False


def content_key(account: str, address: Address, body: Mapping[str, Any], sample: int) -> bytes:
    """What a request is known by: everything on the wire, the account, and which of several samples it is."""
    # Sorted, because the order of keys is the SDK's, and another version of it must find its answers again.
    text = orjson.dumps([account, address.model, address.url, sample, body], option=orjson.OPT_SORT_KEYS)
    return blake2b(text, digest_size=KEY_BYTES, person=b"thrift-batch").digest()


def custom_id(key: bytes, attempt: int, intent: str = "") -> str:
    """A line's name in its batch: another for each time that it is sent. With the id of its batch's intent, it tells that too."""
    named = f"{key.hex()}-{attempt}"
    return f"{named}-{intent.removeprefix(_INTENT)}" if intent else named


def new_intent() -> str:
    """An id of an intent."""
    return _INTENT + token_hex(12)


def intent_in(custom: str) -> str:
    """The id of an intent in a line's name, "" where there is none."""
    parts = custom.split("-")
    return _INTENT + parts[2] if len(parts) == _PARTS else ""


def key_in(custom: str) -> bytes | None:
    """The key in a line's name, None where it is none of ours."""
    head, dash, _ = custom.partition("-")
    if not dash or len(head) != 2 * KEY_BYTES:
        return None
    try:
        return bytes.fromhex(head)
    except ValueError:
        return None


def failed(status: int, message: str, code: str) -> Answer:
    """An answer that is an error of ours, in the shape that SDKs read."""
    return Answer(status, orjson.dumps({"error": {"message": message, "type": "thrift_batch", "code": code}}), code)
