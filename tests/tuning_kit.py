"""A provider of files and fine-tuning jobs on this machine, which can kill whoever asks it, and a worker that asks."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Shop:
    """What has been uploaded and asked for.

    Attributes:
        kills: request numbers at which the worker is killed, and whether before or after what it asked for is done.
        polls: looks at a job until it has succeeded.
    """

    files: list[bytes] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    kills: dict[int, str] = field(default_factory=dict)
    polls: int = 2
    requests: int = 0
    fails: bool = False
    url: str = ""

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        path, _, _ = path.partition("?")
        parts = path.strip("/").split("/")[1:]
        if parts == ["files"]:
            assert b'name="purpose"' in body
            self.files.append(body)
            return {"id": f"file-{len(self.files)}"}
        if parts == ["models"]:
            return {"data": [{"id": "gpt-4.1-mini", "shutdown_date": "2031-01-14"}]}
        if parts == ["fine_tuning", "jobs"] and method == "POST":
            job = {"id": f"ftjob-{len(self.jobs) + 1}", "status": "queued", **json.loads(body)}
            self.jobs[job["id"]] = job
            return job
        if parts == ["fine_tuning", "jobs"]:
            return {"data": list(reversed(self.jobs.values())), "has_more": False}
        if parts[-1] == "checkpoints":
            return {
                "data": [
                    {"fine_tuned_model_checkpoint": "ft:x:ckpt-1", "step_number": 10, "metrics": {"valid_loss": 0.1}}
                ]
            }
        return self._look(parts[-1])

    def _look(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        self.looks[name] = self.looks.get(name, 0) + 1
        if self.looks[name] >= self.polls:
            ended = {"status": "failed", "error": {"message": "blocked by moderation"}}
            done = {"status": "succeeded", "fine_tuned_model": "ft:gpt-4.1-mini:x", "trained_tokens": 1234}
            job.update(ended if self.fails else done)
        else:
            job["status"] = "running"
        return job


@contextmanager
def shop() -> Iterator[Shop]:
    """A running provider."""
    state, lock = Shop(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                state.requests += 1
                kill, worker = (
                    state.kills.get(state.requests),
                    int(self.headers.get("Authorization", "").rpartition("-")[2] or 0),
                )
                if kill == "before":
                    os.kill(worker, signal.SIGKILL)
                    return
                told = json.dumps(state.answer(self.command, self.path, body)).encode()
                if kill == "after":
                    os.kill(worker, signal.SIGKILL)
                    return
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def work(url: str, journal: str) -> None:
    """One run, in a process of its own that may be killed; its key tells the provider whom to kill."""
    from tests.distillation_kit import examples
    from thrift_plugins.distillation.openai_jobs import OpenAIJobs
    from thrift_plugins.distillation.tuning import Files, Tuning

    files = Files.of(examples(40, "p"), "gpt-4.1-mini")
    tuning = Tuning(OpenAIJobs(url, f"k-{os.getpid()}"), Path(journal), clock=lambda: 1.8e9, sleep=lambda _: None)
    done = tuning.run(files, model="gpt-4.1-mini", epochs=3, seed=1, suffix="thrift-intent")
    print(done["status"])


if __name__ == "__main__":
    work(*sys.argv[1:])
