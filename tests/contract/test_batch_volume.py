"""Many megabytes of inputs: files within the provider's limit, an error for the line that none takes, and bounded memory.

3 MB by default; THRIFT_TEST_SCALE=100 makes it 300 MB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from thrift_plugins.testing import Answer, LoopbackBatches, WireRequest
from thrift_plugins.testing.batches import BatchLimits

ROOT = Path(__file__).parents[2]
MEGABYTES = 3 * float(os.environ.get("THRIFT_TEST_SCALE", "1"))
EACH = 20_000
WINDOW = 10_000


def answer(request: WireRequest) -> Answer:
    return Answer(f"answer to {request.last_user[:20]}")


def test_many_megabytes_are_cut_into_files_and_one_line_that_none_takes_is_an_error_of_its_own(tmp_path: Path):
    limit = int(MEGABYTES * 2 / 3 * 1e6)
    with LoopbackBatches(seconds=0.1, limits=BatchLimits(bytes=limit)) as provider:
        provider.script(answer)
        arguments = [provider.base_url, str(tmp_path / "j.db"), str(MEGABYTES), str(EACH), str(limit)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.batch_volume_worker", *arguments], cwd=ROOT, check=True, capture_output=True, timeout=900
        )
        told = json.loads(done.stdout)
        print(f"\n{MEGABYTES:g} MB: {told['before_mb']:.0f} MB before, {told['peak_mb']:.0f} MB at most; batches {told['batches']}")
        assert provider.paid.twice == 0
    count = int(MEGABYTES * 1e6 / EACH)
    assert (told["answered"], told["wrong"]) == (count, 0)
    ((place, error),) = told["errors"]
    assert place == count // 2
    assert "larger than the provider takes" in error
    assert sum(told["batches"]) == count
    assert len(told["batches"]) > 1
    # For the inputs that are worked on at once, whatever their number: each with what a chain takes; and twice the largest one.
    bound = 100 + min(count, WINDOW) * (EACH + 30_000) / 1e6 + 2 * limit / 1e6
    assert told["peak_mb"] - told["before_mb"] < bound
