"""What the executor asks of a provider's batch API, and the values it gets back. No I/O here.

A client makes each request ONCE and says how it ended: it never retries by itself, follows no policy and keeps no
state. Whether something is sent again is for the executor alone, which has the journal:

* `BatchRefused`: the provider answered, and nothing was made. Safe to send again, after `retry_after`, where `again`.
* `BatchUnknown`: nobody knows whether it was made (reset, time-out, 5xx on a create). Only a listing can tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from thrift_plugins.errors import ThriftError

State: TypeAlias = Literal[
    "validating", "running", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled"
]
"""Where a batch is. The last four are final. A provider's "canceling" is `cancelling`, which is not final."""

FINAL: Final[frozenset[State]] = frozenset({"completed", "failed", "expired", "cancelled"})

Recovery: TypeAlias = Literal["token", "metadata", "contents"]
"""How a create whose outcome is unknown is found again.

`token`: it can be sent again with the same intent, the provider makes it once. `metadata`: the listing tells the intent
(or the input file). `contents`: the listing tells time and count alone; only the custom ids in the results prove it.
"""

Outcome: TypeAlias = Literal["answered", "errored", "not_run"]
"""How a line ended: with an answer (paid), with an error of its own, or never run (expired, cancelled: not paid)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes when it is a line of a batch.

    Attributes:
        model: the name that limits and prices are looked up by; a batch has lines of one model.
        url: the line's URL, such as "/v1/chat/completions"; a batch has lines of one URL.
    """

    model: str
    url: str


class BatchLine(NamedTuple):
    """One request of a batch.

    Attributes:
        custom_id: unique in the batch; begins with the request's content hash. At most 64 of [A-Za-z0-9_-].
        url: see `Address`.
        body: the request's JSON body, encoded, just as the SDK would have sent it.
    """

    custom_id: str
    url: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be sent, committed to the journal before it is.

    Attributes:
        id: unique; sent as metadata "thrift_intent" (or as the provider's idempotency token, display name, ...).
        digest: hash over the lines' custom ids; sent as metadata "thrift_digest".
        model: see `Address`.
        url: see `Address`.
        count: of lines.
        made_at: seconds since the epoch.
    """

    id: str
    digest: str
    model: str
    url: str
    count: int
    made_at: float

    @property
    def metadata(self) -> dict[str, str]:
        """Strings that a provider stores with the batch."""
        return {"thrift_intent": self.id, "thrift_digest": self.digest, "thrift_count": str(self.count)}


@dataclass(frozen=True, slots=True)
class Counts:
    """Lines of a batch; all zero where the provider does not say yet."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """A batch, as the provider tells it.

    Attributes:
        id: the provider's.
        created_at: seconds since the epoch, 0 where unknown.
        intent: id of the intent in its metadata, "" where it has none.
        upload: id of its input file, "" where there is none.
        results: where its results are to be read (ids of output and error files, or a URL), in no order.
        ready: whether `results` is all there will be. False while a final state comes before its file ids.
        errors: codes, or else messages, of a batch that failed as a whole, such as "token_limit_exceeded".
    """

    id: str
    state: State
    created_at: float = 0.0
    counts: Counts = Counts()
    intent: str = ""
    upload: str = ""
    results: tuple[str, ...] = ()
    ready: bool = True
    errors: tuple[str, ...] = ()

    @property
    def final(self) -> bool:
        """Whether nothing more will be run."""
        return self.state in FINAL


class ResultLine(NamedTuple):
    """One line of a batch's results or of its error file.

    Attributes:
        status: HTTP status as a call of its own would have had; 0 where it never ran.
        body: JSON body as a call of its own would have answered, encoded, so that the SDK's parser takes it; for an
            error the provider's error object.
        code: the provider's word for an error, "" for an answer.
        request_id: the provider's id of the single request, "" where it has none.
    """

    custom_id: str
    outcome: Outcome
    status: int
    body: bytes
    code: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider takes for a model.

    Attributes:
        lines: most of a batch.
        bytes: most of a batch's input, all of it.
        line_bytes: most of one line, None where only `bytes` counts.
        queued_tokens: most input tokens of an account's unfinished batches of the model, None where nobody knows.
        window_s: seconds after which a batch expires, None where it does not.
    """

    lines: int = 50_000
    bytes: int = 200_000_000
    line_bytes: int | None = None
    queued_tokens: int | None = None
    window_s: float | None = 86_400.0


@dataclass(frozen=True, slots=True)
class Instant:
    """A call that does not wait: one line, answered at once, as `BatchClient.ask` does it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class BatchError(ThriftError):
    """A provider's batch API did not do what was asked.

    Attributes:
        code: the provider's word for it, such as "token_limit_exceeded", or the exception's name.
        status: HTTP status, 0 where there was none.
    """

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class BatchRefused(BatchError):
    """The provider refused, and made nothing.

    Attributes:
        again: whether the same may be taken later (429, queue full) or never (invalid, no such model, not allowed).
        full: whether it was refused because too many tokens or batches are queued already.
        retry_after: seconds that the provider asks to wait, None where it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int = 0,
        again: bool = False,
        full: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.again, self.full, self.retry_after = again, full, retry_after


class BatchUnknown(BatchError):
    """Nobody knows whether the provider did it: the connection broke, or it answered with an error of its own."""


class BatchClient(Protocol):
    """A provider's batch API for one account. Every method makes its HTTP requests once; see the module.

    Attributes:
        provider: "openai", "azure", "anthropic", "mistral", "gemini", "bedrock", as prices know it.
        account: id of the account: provider, host and a digest of the key, never the key. A journal is tied to it.
        host: of the URLs that the app's own calls go to, with the port where they have one; "" for any.
        recovery: see `Recovery`.
        documented_only: True where the client follows the documentation and nobody has run it against the provider.
    """

    @property
    def provider(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def recovery(self) -> Recovery: ...
    @property
    def documented_only(self) -> bool: ...

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        """Where a call of the SDK goes in a batch, None where it has no batch: other endpoints, models without it.

        Args:
            path: of the call's URL, with its query, as the SDK makes it ("/v1/chat/completions").
            body: its JSON.
        """
        ...

    def limits(self, model: str) -> Limits:
        """What is taken for a model."""
        ...

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        """Put the lines where `create` finds them; costs nothing, may be done again. "" where there are no files.

        Going through the lines raises where a journal cannot read them all: nothing is to be sent before they are read.
        """
        ...

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:
        """Make the batch. `lines`, which may be gone through more than once, are for providers without files.

        Raises:
            BatchRefused: it was not made.
            BatchUnknown: it may have been made.
        """
        ...

    def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        """Every batch of the account made at or after `since` (seconds since the epoch, a minute of slack), youngest first.

        Goes through all pages. What an account's other programs made is among it.
        """
        ...

    async def status(self, batch_id: str) -> BatchStatus:
        """Where a batch is."""
        ...

    def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        """The lines of all of a batch's result and error files, as they are read: nothing is held in memory.

        A line that is no JSON is left out, as if it were missing. Lines come in any order, may be missing, doubled.
        """
        ...

    async def cancel(self, batch_id: str) -> BatchStatus:
        """Ask for a batch to be cancelled; what was answered already stays paid, and can be read."""
        ...

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:
        """Make one line's call at once, at standard price, or with `flex` at the provider's price for spare room."""
        ...

    def flex(self, model: str) -> bool:
        """Whether the provider offers flex processing for a model."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
