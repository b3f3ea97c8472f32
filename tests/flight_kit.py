"""What the tests of single flight share: a caller that counts what it is asked, and calls of it in every manner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

from thrift_plugins import Runtime, drive
from thrift_plugins.effects import Call, Flow, Replay
from thrift_plugins.types import Message, Reply, Scope, Tier, Usage

USED = Usage(10, 3, source="provider")
TIERS = (Tier("big", "gpt-4o"),)


def answer_to(text: str, finish: str = "stop") -> Reply:
    return Reply(f"answer to {text}", USED, finish_reason=finish)


class Model:
    """A provider that counts.

    Attributes:
        seconds: that an answer takes.
        finish: why every answer ends.
        fails: what the first so many calls raise.
        open: calls under way; none may be left.
    """

    def __init__(self, seconds: float = 0.05, *, finish: str = "stop", fails: list[Exception] | None = None) -> None:
        self.seconds, self.finish, self.fails = seconds, finish, fails or []
        self.paid = self.open = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Exception | None:
        with self._lock:
            self.paid += 1
            self.open += 1
            self.most = max(self.most, self.open)
            return self.fails.pop(0) if self.fails else None

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self.open -= 1


class Asking:
    """One call of the app: what a turn of an adapter is. `said` is what the app got."""

    def __init__(self, model: Model, text: str) -> None:
        self.model, self.text = model, text
        self.said: str = ""
        self.hit = False
        self._reply: Reply

    def quiet(self) -> Asking:
        return Asking(self.model, self.text)

    def aside(self) -> Asking:
        return self

    def _done(self, effect: Call | Replay) -> Reply:
        self.hit = isinstance(effect, Replay)
        reply = effect.reply if isinstance(effect, Replay) else answer_to(self.text, self.model.finish)
        self.said = str(reply.content)
        return reply

    def call(self, effect: Call | Replay) -> Reply:
        if isinstance(effect, Replay):
            return self._done(effect)
        with self.model as failure:
            threading.Event().wait(self.model.seconds)
            if failure:
                raise failure
            return self._done(effect)

    async def acall(self, effect: Call | Replay) -> Reply:
        if isinstance(effect, Replay):
            return self._done(effect)
        with self.model as failure:
            await asyncio.sleep(self.model.seconds)
            if failure:
                raise failure
            return self._done(effect)

    def pieces(self, effect: Call | Replay) -> Generator[str, None, Reply]:
        if isinstance(effect, Replay):
            yield from str(effect.reply.content).split()
            return self._done(effect)
        with self.model:
            threading.Event().wait(self.model.seconds)
            for word in str(answer_to(self.text).content).split():
                effect.delivered = effect.held = True
                effect.pieces += 1
                yield word
                effect.held = False
        return self._done(effect)

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[str, None]:
        if isinstance(effect, Replay):
            for word in str(effect.reply.content).split():
                yield word
            self._reply = self._done(effect)
            return
        with self.model:
            await asyncio.sleep(self.model.seconds)
            for word in str(answer_to(self.text).content).split():
                effect.delivered = effect.held = True
                effect.pieces += 1
                yield word
                effect.held = False
        self._reply = self._done(effect)

    def reply(self) -> Reply:
        return self._reply


class App:
    """Calls of one runtime and one model, each in another manner."""

    def __init__(self, runtime: Runtime, model: Model) -> None:
        self.runtime, self.model = runtime, model

    def flow(self, text: str, *, streamed: bool = False, tenant: str = "") -> Flow:
        request = self.runtime.request(
            dialect="test",
            model="gpt-4o",
            identities=["i"],
            messages=[Message("user", text)],
            params={},
            scope=Scope(tenant=tenant),
        )
        return self.runtime.engine.call(request, TIERS, 0, dialect="test", streamed=streamed)

    def run(self, text: str) -> str:
        asking = Asking(self.model, text)
        drive.run(self.flow(text), self.runtime, asking)
        return asking.said

    async def arun(self, text: str) -> str:
        asking = Asking(self.model, text)
        await drive.arun(self.flow(text), self.runtime, asking)
        return asking.said

    def open(self, text: str) -> Generator[str, None, None]:
        return drive.stream(self.flow(text, streamed=True), self.runtime, Asking(self.model, text))

    def aopen(self, text: str) -> AsyncGenerator[str, None]:
        return drive.astream(self.flow(text, streamed=True), self.runtime, Asking(self.model, text))

    def stream(self, text: str) -> str:
        return " ".join(self.open(text))

    async def astream(self, text: str) -> str:
        return " ".join([word async for word in self.aopen(text)])

    def records(self) -> list[dict[str, Any]]:
        assert self.runtime.ledger is not None
        return list(self.runtime.ledger.records())


async def in_thread(do: Callable[[str], str], text: str) -> str:
    """Done by a thread of its own, which is no worker of the loop's pool."""
    loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def work() -> None:
        try:
            said = do(text)
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, said)

    threading.Thread(target=work, daemon=True).start()
    return await done


Manner = Callable[[App, str], Awaitable[str]]

MANNERS: dict[str, Manner] = {
    "task": lambda app, text: app.arun(text),
    "thread": lambda app, text: in_thread(app.run, text),
    "worker": lambda app, text: asyncio.to_thread(app.run, text),
    "streamed task": lambda app, text: app.astream(text),
    "streamed thread": lambda app, text: in_thread(app.stream, text),
}
