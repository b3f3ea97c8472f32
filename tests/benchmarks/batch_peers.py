"""Paid lines per delivered answer, ours and other batch libraries', on one server and with the same faults.

    python -m tests.benchmarks.batch_peers --json FILE

The libraries (extra `bench`) run in this interpreter, or in that which THRIFT_PEERS_PYTHON names. A library that is not there is
told on stderr. A figure is null where a library delivered nothing, whatever it had paid.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.harness import arguments, installed, report
from thrift_plugins.testing.batches import Ending, LoopbackBatches
from thrift_plugins.testing.batches.server import BatchMoment

COUNT = 50
SECONDS = float(os.environ.get("THRIFT_PEERS_SECONDS", "60"))
"""How long a library may take: one that waits for what never comes is stopped, and has delivered nothing."""
PEERS = ("ours", "langasync", "autobatcher", "steadybatch")
_WORKER = Path(__file__).with_name("batch_peer.py")
_ROOT = Path(__file__).parents[2]


def _reset(provider: LoopbackBatches) -> None:
    provider.batch_faults.resets_after_create = 1


def _expired(provider: LoopbackBatches) -> None:
    provider.batch_faults.endings.append(Ending("expired", 0.5))


def _errors(provider: LoopbackBatches) -> None:
    provider.batch_faults.line_error = 0.2


def _dropped(provider: LoopbackBatches) -> None:
    provider.batch_faults.drop = 0.1


FAULTS: dict[str, Callable[[LoopbackBatches], None]] = {
    "plain": lambda _: None,
    "reset": _reset,
    "expired": _expired,
    "line_errors": _errors,
    "crash": lambda _: None,
    "dropped": _dropped,
}
"""What goes wrong. "crash": the process is killed once the batch was made, and run again. "dropped": answers that the provider loses
have to be paid again by whoever wants them."""


def figures(peers: Iterable[str] = PEERS) -> dict[str, float | int | str | None]:
    """`paid_per_answer_PEER_FAULT` and `delivered_PEER_FAULT` (of 50)."""
    found: dict[str, float | int | str | None] = {}
    for peer in peers:
        python = sys.executable if peer == "ours" else os.environ.get("THRIFT_PEERS_PYTHON", sys.executable)
        if peer != "ours" and not installed(python, peer):
            sys.stderr.write(f"{peer} is not installed for {python}\n")
            continue
        for fault, apply in FAULTS.items():
            delivered, paid = _measured(python, peer, fault, apply)
            found[f"paid_per_answer_{peer}_{fault}"] = round(paid / delivered, 3) if delivered else None
            found[f"delivered_{peer}_{fault}"] = delivered
            found[f"paid_{peer}_{fault}"] = paid
    return found


def _measured(python: str, peer: str, fault: str, apply: Callable[[LoopbackBatches], None]) -> tuple[int, int]:
    with LoopbackBatches(seconds=1.0) as provider, tempfile.TemporaryDirectory() as folder:
        apply(provider)
        command = [python, str(_WORKER), peer, provider.base_url, str(COUNT), folder]
        if fault == "crash":
            _killed(command, provider)
        told = _run(command)
        provider.settle()
        return told, len(provider.paid.lines)


def _run(command: list[str]) -> int:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=command[-1], timeout=300
    )
    delivered = [line for line in done.stdout.splitlines() if line.startswith("delivered ")]
    if not delivered:
        sys.stderr.write(f"{command[2]}: {(done.stderr.splitlines() or ['no word'])[-1][:200]}\n")
    return int(delivered[-1].split()[1]) if delivered else 0


def _killed(command: list[str], provider: LoopbackBatches) -> None:
    """Let it live until the server has made its batch, and no answer to that was read."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    process = subprocess.Popen(
        command, env=environment, cwd=command[-1], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def watch(moment: BatchMoment) -> None:
        if (moment.step, moment.when) == ("create", "after"):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    provider.watch = watch
    process.wait(SECONDS + 60)
    provider.watch = None


TARGETS = {f"paid_per_answer_ours_{fault}": 1.0 for fault in FAULTS if fault != "dropped"}


def main() -> None:
    asked = arguments(__doc__ or "")
    report("paid lines per delivered answer", figures(), TARGETS, asked.json)


if __name__ == "__main__":
    main()
