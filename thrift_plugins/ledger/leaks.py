"""Where money or quality runs out beside the bill: counted from the ledger in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from thrift_plugins.ledger.summary import is_call
from thrift_plugins.quality.flaws import REFUSED, TRUNCATED

_PLAIN: Final = frozenset({"answered", "hit"})
_WHOLE: Final = frozenset({"stop", "tool_calls", "end_turn", None})


def remarkable(entry: Mapping[str, Any]) -> bool:
    """Whether a record may have something to look into, beside who counted its tokens."""
    return (
        entry["finish_reason"] not in _WHOLE
        or entry["outcome"] not in _PLAIN
        or bool(entry["bill"]["unpriced"])
        or ("extra" in entry and "sdk" in entry["extra"])
    )


def ending(entry: Mapping[str, Any]) -> str:
    """How a record's answer ended: "cut", "refused", or "" for neither."""
    word = (entry["finish_reason"] or "").lower()
    if word in TRUNCATED:
        return "cut"
    return "refused" if word in REFUSED else ""


@dataclass(slots=True)
class Leaks:
    """What a reader of a bill should look into. Calls, unless it is said otherwise.

    Attributes:
        calls: all that the app made; a call that the cache makes of its own accord is none.
        truncated: by feature, answers that were cut at the output limit and so may be useless, and are paid.
        refused: by feature, answers that the model or its provider refused or filtered.
        over_budget: by feature, calls that a budget refused, of which nothing was paid.
        failed: by the error's name, other calls without a whole answer; `aborted` and `cancelled` by that word.
        orphans: leases of budgets whose process died before it settled them, and which were charged as the budget says.
        repeated: requests that SDKs made beside the first of a call.
        unanswered: those of them before which an answer was lost, which may have been paid.
        unpriced: by model, calls that are in no sum of money.
        estimated: calls of which the provider gave no usage, so that our tokenizer counted; renewals among them.
        lost: events that never got into the ledger.
    """

    calls: int = 0
    truncated: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    over_budget: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    orphans: int = 0
    repeated: int = 0
    unanswered: int = 0
    unpriced: Counter[str] = field(default_factory=Counter)
    estimated: int = 0
    lost: int = 0

    @property
    def estimated_share(self) -> float:
        """Of all calls."""
        return self.estimated / self.calls if self.calls else 0.0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one ledger record (see `Ledger.records`)."""
        self.calls += is_call(entry) and entry["error"] != "Orphaned"
        self.estimated += entry["usage"].get("source") == "estimated"
        if remarkable(entry):
            self.look(entry)

    def look(self, entry: Mapping[str, Any]) -> None:
        """Add what is remarkable of a record, without counting it."""
        if entry["error"] == "Orphaned":
            self.orphans += 1
            return
        self.unpriced.update(entry["bill"]["unpriced"])
        sdk = entry.get("extra", {}).get("sdk")
        if sdk:
            self.repeated += sdk["requests"] - 1
            self.unanswered += sdk["lost"]
        if is_call(entry):
            self._ending(entry)

    def _ending(self, entry: Mapping[str, Any]) -> None:
        feature = entry["feature"]
        match ending(entry):
            case "cut":
                self.truncated[feature] += 1
            case "refused":
                self.refused[feature] += 1
        match entry["outcome"]:
            case "error" if entry["error"] == "BudgetExceeded":
                self.over_budget[feature] += 1
            case "error":
                self.failed[entry["error"]] += 1
            case "aborted" | "cancelled" as how:
                self.failed[how] += 1


def leaks(entries: Iterable[Mapping[str, Any]], *, lost: int = 0) -> Leaks:
    """Count over ledger records in one pass.

    Args:
        lost: events that were dropped (see `Ledger.dropped`).
    """
    found = Leaks(lost=lost)
    for entry in entries:
        found.add(entry)
    return found
