"""Our own ledger, exported or as it is: tokens and models of every call, and no prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from thrift_plugins.ledger.summary import is_call
from thrift_plugins.replay.logs.logged import Logged, mapping
from thrift_plugins.types import Scope, Usage

NAME: Final = "a thrift-plugins ledger"


def fits(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of these."""
    return "bill" in record and "outcome" in record and "baseline" in record


def read(record: Mapping[str, Any]) -> Logged | None:
    """The call of a record as the app alone would have made it, None for what is no call."""
    if not is_call(record):
        return None
    used = Usage(**mapping(mapping(record["baseline"]).get("usage")))
    scope = Scope(record["tenant"], record["user"], record["feature"], record["session"])
    failed = record["outcome"] not in ("answered", "hit")
    return Logged(
        record["id"], record["at"], record["requested_model"], (), used, scope, error=record["error"] if failed else ""
    )
