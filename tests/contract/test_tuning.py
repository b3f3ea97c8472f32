"""Fine-tuning at a provider over real HTTP: one paid job, whatever is killed, and none that does not pay."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests import distillation_kit as kit
from tests.cli_kit import ROOT, command, stranger
from tests.tuning_kit import shop
from thrift_plugins.distillation.dataset import Dataset
from thrift_plugins.distillation.openai_jobs import OpenAIJobs
from thrift_plugins.distillation.tuning import Files, Tuning, quote
from thrift_plugins.errors import ConfigError, NotDistillable

KILLS = max(3, round(4 * float(os.environ.get("THRIFT_TEST_SCALE", "1"))))


def worker(url: str, journal: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.tuning_kit", url, str(journal)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_run_that_is_killed_goes_on_with_the_job_it_has(tmp_path: Path):
    chance, killed, journals = random.Random(7), 0, 0
    with shop() as provider:
        while killed < KILLS:
            journals += 1
            journal = tmp_path / f"{journals}.json"
            before = len(provider.jobs)
            for _ in range(20):
                provider.kills = {provider.requests + chance.randint(1, 4): chance.choice(["before", "after"])}
                done = worker(provider.url, journal)
                killed += done.returncode < 0
                if done.returncode == 0:
                    break
                assert done.returncode < 0, done.stderr
                if killed >= KILLS:
                    provider.kills = {}
            assert done.stdout.strip() == "succeeded"
            assert len(provider.jobs) == before + 1
            for job in provider.jobs.values():
                job["metadata"] = {}  # the next run has the same examples, and must not find this one's
        told = json.loads(journal.read_text())
    assert told["tuned_model"] == "ft:gpt-4.1-mini:x"
    assert told["checkpoints"] == [{"model": "ft:x:ckpt-1", "step": 10, "metrics": {"valid_loss": 0.1}}]
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_what_is_asked_for(tmp_path: Path):
    files = Files.of(kit.examples(60, "p"), "gpt-4.1-mini", "Be brief.")
    train = [json.loads(line) for line in files.train.decode().splitlines()]
    assert [message["role"] for message in train[0]["messages"]] == ["system", "user", "assistant"]
    both = {json.dumps(line) for line in train} & set(files.validation.decode().splitlines())
    assert not both
    with shop() as provider:
        provider.fails = True
        tuning = Tuning(OpenAIJobs(provider.url, "k-0"), tmp_path / "j.json", clock=lambda: 0.0, sleep=lambda _: None)
        done = tuning.run(files, model="gpt-4.1-mini", epochs=2, seed=5, suffix="s" * 80)
        (job,) = provider.jobs.values()
        with pytest.raises(ConfigError, match="is of another run"):
            tuning.run(files, model="gpt-4.1-mini", epochs=3, seed=5, suffix="s")
    assert (done["status"], done["error"], done["checkpoints"]) == ("failed", "blocked by moderation", [])
    assert job["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    assert (job["seed"], len(job["suffix"])) == (5, 64)
    with pytest.raises(NotDistillable, match="too few"):
        Files.of(kit.examples(8, "p"), "gpt-4.1-mini")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"today": date(2027, 1, 6)}, "takes no new fine-tuning jobs since 2027-01-06"),
        ({"today": date(2027, 1, 5), "requests": 10.0}, "before the model is shut down on 2027-01-14"),
        ({"today": date(2027, 3, 1), "host": "api.example.com"}, ""),
        ({"today": date(2027, 3, 1), "host": "api.example.com", "rent": 50.0}, "than the machines that serve"),
        (
            {"today": date(2027, 3, 1), "host": "api.example.com", "shutdown": date(2027, 3, 2), "requests": 100.0},
            "2027-03-02",
        ),
        ({"today": date(2026, 12, 1), "requests": 0.0}, "give --requests"),
    ],
)
def test_what_does_not_pay_is_refused(told: dict[str, object], why: str):
    given = {"requests": 1_000.0, **told}
    made = quote(1_000_000, 3, training=3.0, saved=0.01, **given)  # type: ignore[arg-type]
    assert made.usd == 9.0
    assert why in made.why
    assert bool(made.why) is bool(why)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k-0")
    Dataset(tmp_path, kit.TASK).append(kit.examples(60, "p"))
    (tmp_path / "thrift.toml").write_text(f'[distillation]\nfolder = "{tmp_path}"\n')
    with shop() as provider:
        provider.polls = 1
        asked = ["distill", "tune", kit.TASK, "--model", "gpt-4.1-mini", "--training-usd", "5", "--base-url", provider.url,
                 "--requests", "1000", "--saved-usd", "2"]  # fmt: skip
        assert "Nothing was asked for" in command(*asked).output
        assert "--i-have-read-terms" in str(command(*asked, "--max-usd", "9").exception)
        assert not provider.jobs
        done = command(*asked, "--max-usd", "9", "--i-have-read-terms")
        assert "Model ft:gpt-4.1-mini:x" in done.output, done.output
        again = command(*asked, "--max-usd", "9", "--i-have-read-terms")
        assert again.exit_code == 0
        assert "This run has ended" in again.output
        assert len(provider.jobs) == 1


def test_a_run_goes_on_whatever_was_recorded_and_decided_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k-0")
    dataset, journal = Dataset(tmp_path, kit.TASK), tmp_path / kit.TASK / "tuning.json"
    dataset.append(kit.examples(60, "p"))
    (tmp_path / "thrift.toml").write_text(f'[distillation]\nfolder = "{tmp_path}"\n')
    with shop() as provider:
        tune = ["distill", "tune", kit.TASK, "--model", "gpt-4.1-mini", "--training-usd", "5", "--base-url", provider.url]
        first = command(*tune, "--requests", "1000", "--saved-usd", "2", "--max-usd", "9", "--i-have-read-terms")
        assert first.exit_code == 0, first.output
        told = json.loads(journal.read_text())
        # as if it had been killed before it heard of its job, and the app had gone on
        early = {name: told[name] for name in ("run", "model", "training_file", "validation_file")}
        journal.write_text(json.dumps({**early, "asking": True}))
        dataset.append(kit.examples(80, "p", seed=4))
        again = command(*tune)
        assert again.exit_code == 0, again.exception
        assert json.loads(journal.read_text())["job"] == told["job"]
        assert len(provider.jobs) == 1
        journal.with_suffix(".train.jsonl").unlink()
        assert "look at your provider's list of jobs" in str(command(*tune).exception)


def test_two_processes_do_not_ask_for_a_job_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k-0")
    Dataset(tmp_path, kit.TASK).append(kit.examples(60, "p"))
    (tmp_path / "thrift.toml").write_text(f'[distillation]\nfolder = "{tmp_path}"\n')
    lock = tmp_path / kit.TASK / "tuning.lock"
    holding = (
        "import sys; from pathlib import Path; from thrift_plugins.stores.locks import FileLocks;"
        f"assert FileLocks(Path({str(lock)!r})).take(0); print('held', flush=True); sys.stdin.read()"
    )
    with shop() as provider:
        other = subprocess.Popen(
            [sys.executable, "-c", holding], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with other:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            done = command(
                "distill", "tune", kit.TASK, "--model", "gpt-4.1-mini", "--training-usd", "5", "--base-url", provider.url,
                "--requests", "1000", "--saved-usd", "2", "--max-usd", "9", "--i-have-read-terms",
            )  # fmt: skip
            assert "another process is at the run" in str(done.exception)
            assert not provider.jobs
            other.communicate("")
