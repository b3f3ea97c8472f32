"""The files of vLLM's run-batch."""

import json
import stat

import pytest

from thrift_plugins.batching.client import BatchLine, BatchRefused, Intent
from thrift_plugins.batching.vllm import RunBatchFiles, read_run_batch, write_run_batch

URL = "/v1/chat/completions"


def line(number):
    body = {"model": "m", "messages": [{"role": "user", "content": f"q{number}\u2028"}]}
    return BatchLine(f"c{number}", URL, json.dumps(body, indent=2).encode())


def answered(path, *numbers, out):
    """What vLLM writes."""
    rows = []
    for raw in path.read_text().split("\n")[:-1]:
        row = json.loads(raw)
        if int(row["custom_id"][1:]) in numbers:
            body = {"choices": [{"message": {"content": row["body"]["messages"][0]["content"]}}]}
            response = {"status_code": 200, "request_id": "vllm-batch-1", "body": body}
            rows.append({"id": "vllm-1", "custom_id": row["custom_id"], "response": response, "error": None})
        else:
            response = {"status_code": 400, "request_id": "vllm-batch-2", "body": None}
            error = {"message": "too long", "type": "BadRequestError", "code": 400}
            rows.append(
                {"id": "vllm-2", "custom_id": row["custom_id"], "response": response, "error": {"error": error}}
            )
    out.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{cut off")


def test_what_is_written_is_one_object_a_line(tmp_path):
    path = tmp_path / "in.jsonl"
    assert write_run_batch(path, [line(n) for n in range(3)]) == 3
    rows = [json.loads(raw) for raw in path.read_bytes().split(b"\n")[:-1]]
    assert [(row["custom_id"], row["method"], row["url"]) for row in rows] == [(f"c{n}", "POST", URL) for n in range(3)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_id_twice_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="c1"):
        write_run_batch(tmp_path / "in.jsonl", [line(1), line(1)])
    assert list(tmp_path.iterdir()) == []


def test_answers_and_errors_are_read_back(tmp_path):
    write_run_batch(tmp_path / "in.jsonl", [line(n) for n in range(3)])
    answered(tmp_path / "in.jsonl", 0, 2, out=tmp_path / "out.jsonl")
    found = {one.custom_id: one for one in read_run_batch(tmp_path / "out.jsonl")}
    assert [found[f"c{n}"].outcome for n in range(3)] == ["answered", "errored", "answered"]
    assert found["c1"].status == 400
    assert json.loads(found["c1"].body)["error"]["message"] == "too long"


async def test_a_directory_is_a_batch_api(tmp_path):
    client = RunBatchFiles(tmp_path / "jobs")
    lines = [line(n) for n in range(3)]
    intent = Intent("w1", "d", "m", URL, 3, 100.0)
    await client.create(intent, await client.upload(intent, lines), lines)
    batch = await client.create(intent, await client.upload(intent, lines), lines)  # again: the same batch
    assert [status.id async for status in client.listing(0.0)] == [batch.id]
    assert batch.state == "running"
    answered(client.input_file(batch.id), 0, 1, 2, out=client.output_file(batch.id))
    done = await client.status(batch.id)
    assert (done.state, done.counts.completed, done.ready) == ("completed", 3, True)
    assert {one.custom_id async for one in client.results(done)} == {"c0", "c1", "c2"}
    with pytest.raises(BatchRefused, match="base_url"):
        await client.ask(lines[0])


async def test_a_batch_that_is_given_up_is_cancelled(tmp_path):
    client = RunBatchFiles(tmp_path)
    intent = Intent("w1", "d", "m", URL, 1, 100.0)
    await client.create(intent, await client.upload(intent, [line(0)]), [line(0)])
    assert (await client.cancel("w1")).state == "cancelled"
    with pytest.raises(BatchRefused, match="no batch"):
        await client.status("other")
