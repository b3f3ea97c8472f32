"""The loopback provider with batch APIs: OpenAI's and Azure's, Anthropic's and Mistral's, and a ledger of paid lines.

Example:
    with LoopbackBatches(seconds=0.1) as provider:
        provider.batch_faults.resets_after_create = 1
        ...  # run an executor against provider.base_url
        assert provider.paid.twice == 0
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from thrift_plugins.testing.batches.account import BatchAccount, BatchRefused
from thrift_plugins.testing.batches.anthropic import AnthropicBatches
from thrift_plugins.testing.batches.dialect import Dialect, Reply, Route
from thrift_plugins.testing.batches.faults import BatchFaults, BatchLimits, Step
from thrift_plugins.testing.batches.mistral import MistralBatches
from thrift_plugins.testing.batches.openai import OpenAIBatches
from thrift_plugins.testing.batches.paid import PaidLedger
from thrift_plugins.testing.batches.work import LineWorker
from thrift_plugins.testing.connection import Connection, HttpRequest
from thrift_plugins.testing.provider import LoopbackProvider
from thrift_plugins.testing.script import Script


@dataclass(frozen=True, slots=True)
class BatchMoment:
    """A request to a batch API: before anything was done for it, or after, and before its answer is sent.

    Attributes:
        number: its place in the order of arrival, from 1.
    """

    number: int
    step: Step
    when: Literal["before", "after"]


Watch: TypeAlias = Callable[[BatchMoment], None]


class LoopbackBatches(LoopbackProvider):
    """A `LoopbackProvider` that also serves batch APIs on the same port.

    OpenAI's under `base_url`, Azure's and Anthropic's under `root_url`, Mistral's under `base_url`. A batch works for
    `seconds`; its lines are worked on, and paid, one after another in that time. What is paid stands in `paid`; calls
    that are made at once stand in `billed`, as with any loopback provider.

    Args:
        seconds: how long a batch takes.
        limits: what a batch may hold.
        seed: of all chance.
        watch: is told of each request, on the provider's thread; a test may kill a client there.
        answer_tokens: length of a default plain-text answer, in tokens, about.

    Attributes:
        batch_faults: what goes wrong with batches. (`faults` is for calls that are made at once.)
    """

    def __init__(
        self,
        *,
        seconds: float = 0.05,
        limits: BatchLimits | None = None,
        seed: int = 0,
        watch: Watch | None = None,
        answer_tokens: int = 32,
    ) -> None:
        super().__init__(answer_tokens=answer_tokens)
        self.batch_faults = BatchFaults()
        self.watch = watch
        self._worker = LineWorker(answer_tokens)
        self._account = BatchAccount(
            self.batch_faults, limits or BatchLimits(), self._worker, seconds=seconds, seed=seed
        )
        mistral, anthropic = MistralBatches(self._account), AnthropicBatches(self._account)
        self._dialects: Sequence[Dialect] = (mistral, anthropic, OpenAIBatches(self._account))
        self._steps = 0

    @property
    def root_url(self) -> str:
        """Where it listens, without /v1."""
        return self.base_url.removesuffix("/v1")

    @property
    def paid(self) -> PaidLedger:
        """The ledger of paid lines, up to now. Read it when no client is at work, or what it says is old at once."""
        self._account.advance()
        return self._account.paid

    @property
    def batch_ids(self) -> tuple[str, ...]:
        """Every batch that was ever made, oldest first."""
        return tuple(self._account.jobs)

    def settle(self, timeout: float = 10.0) -> bool:
        """Wait until no batch works any more, so that the ledger is complete; False where `timeout` seconds pass."""
        until = time.monotonic() + timeout
        while any(job.unfinished for job in self._account.advance()):
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def finish(self) -> None:
        """Every batch has been worked on, those that are still to come too: none takes any time from now on."""
        self._account.finish()

    def script(self, script: Script | None) -> None:
        """Let a function choose the answers, of calls and of lines."""
        super().script(script)
        self._worker.script = script

    def reset(self) -> None:
        """Forget bill, ledger, batches, files, faults and script. Call it only while no request is under way."""
        super().reset()
        self._worker.script = None
        self._account.clear()
        self.batch_faults.clear()

    async def _respond(self, http: HttpRequest, connection: Connection) -> None:
        for dialect in self._dialects:
            if route := dialect.route(http):
                await self._serve_batches(dialect, route, http, connection)
                return
        await super()._respond(http, connection)

    async def _serve_batches(self, dialect: Dialect, route: Route, http: HttpRequest, connection: Connection) -> None:
        self._steps += 1
        number = self._steps
        self._tell(number, route.step, "before")
        if refusal := self.batch_faults.refusal(route.step):
            headers = {} if refusal.retry_after is None else {"retry-after": f"{refusal.retry_after:g}"}
            refused = BatchRefused(refusal.status, "refused", f"refused with {refusal.status} by the test's plan")
            answer = dialect.refuse(refused)
            await connection.send(answer.status, answer.body, headers)
        elif route.step == "create" and self.batch_faults.resets_before_create > 0:
            self.batch_faults.resets_before_create -= 1
            connection.abort()
        else:
            answer = self._served(dialect, route, http)
            self._tell(number, route.step, "after")
            await self._send(route, answer, connection)

    def _tell(self, number: int, step: Step, when: Literal["before", "after"]) -> None:
        if self.watch:
            self.watch(BatchMoment(number, step, when))

    def _served(self, dialect: Dialect, route: Route, http: HttpRequest) -> Reply:
        try:
            if not http.headers.get("authorization") and not _key(http):
                raise BatchRefused(401, "invalid_api_key", "no API key was given")  # noqa: TRY301
            return dialect.serve(route, http)
        except BatchRefused as refused:
            return dialect.refuse(refused)

    async def _send(self, route: Route, answer: Reply, connection: Connection) -> None:
        faults = self.batch_faults
        if route.step == "create" and answer.status == 200 and faults.resets_after_create > 0:
            faults.resets_after_create -= 1
            connection.abort()
        elif route.step == "results" and answer.status == 200 and faults.results_cut > 0:
            faults.results_cut -= 1
            await connection.send(answer.status, answer.body, answer.headers, keep=len(answer.body) // 2)
            await connection.close()
        else:
            if route.step == "results":
                await asyncio.sleep(faults.results_slow)
            await connection.send(answer.status, answer.body, answer.headers)


def _key(http: HttpRequest) -> str:
    return http.headers.get("x-api-key", "") or http.headers.get("api-key", "")
