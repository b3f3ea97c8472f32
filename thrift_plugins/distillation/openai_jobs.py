"""OpenAI's files and fine-tuning jobs over HTTP, and those of whoever speaks the same."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import uuid4

from thrift_plugins.distillation.tuning import MARK, TuningError
from thrift_plugins.errors import ConfigError

_TIMEOUT: Final = 60.0
_PAGES: Final = 50


class OpenAIJobs:
    """The files and jobs of an account.

    Args:
        base_url: of the API, with its version: "https://api.openai.com/v1".
        api_key: sent in the header, and kept nowhere.

    Raises:
        ConfigError: no URL of a web server.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        found = urllib.parse.urlsplit(base_url)
        if found.scheme not in ("https", "http") or not found.hostname:
            raise ConfigError(f"{base_url!r} is no URL of an API")
        self._base, self._key, self._host = base_url.rstrip("/"), api_key, found.hostname

    @property
    def host(self) -> str:
        """Whose it is."""
        return self._host

    def upload(self, name: str, data: bytes) -> str:
        """Upload a file to tune on; gives its id."""
        mark = uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--{mark}\r\n'
        head += (
            f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/jsonl\r\n\r\n'
        )
        body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
        return str(self._ask("POST", "/files", body, f"multipart/form-data; boundary={mark}")["id"])

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a job."""
        return self._ask("POST", "/fine_tuning/jobs", json.dumps(body).encode(), "application/json")

    def job(self, job: str) -> dict[str, Any]:
        """How a job stands."""
        return self._ask("GET", f"/fine_tuning/jobs/{urllib.parse.quote(job, safe='')}")

    def marked(self, run: str) -> dict[str, Any] | None:
        """The job with the mark of a run, if there is one; the latest jobs first."""
        after = ""
        for _ in range(_PAGES):
            page = self._ask("GET", f"/fine_tuning/jobs?limit=100{after}")
            found: list[dict[str, Any]] = page.get("data") or []
            for job in found:
                if (job.get("metadata") or {}).get(MARK) == run:
                    return job
            if not found or not page.get("has_more"):
                return None
            after = f"&after={urllib.parse.quote(str(found[-1]['id']), safe='')}"
        raise TuningError("the provider lists too many jobs to look through: find this run's by hand before going on")

    def checkpoints(self, job: str) -> list[dict[str, Any]]:
        """A job's checkpoints: name of the model, step, and metrics."""
        found = self._ask("GET", f"/fine_tuning/jobs/{urllib.parse.quote(job, safe='')}/checkpoints").get("data") or []
        return [
            {
                "model": each.get("fine_tuned_model_checkpoint"),
                "step": each.get("step_number"),
                "metrics": each.get("metrics") or {},
            }
            for each in found
        ]

    def shutdown(self, model: str) -> date | None:
        """When a model is shut down, as the provider's list of models says; None where it does not."""
        for each in self._ask("GET", "/models").get("data") or []:
            told = each.get("shutdown_date") if each.get("id") == model else None
            if isinstance(told, int | float):
                return datetime.fromtimestamp(told, UTC).date()
            if isinstance(told, str):
                return date.fromisoformat(told[:10])
        return None

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", **({"Content-Type": kind} if kind else {})}
        request = urllib.request.Request(self._base + path, body, headers, method=method)  # noqa: S310  checked above
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
                found = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise TuningError(f"{self._host} answered {error.code} to {method} {path}: {_message(error)}") from None
        except (OSError, ValueError) as error:
            raise TuningError(
                f"{self._host} could not be asked ({type(error).__name__}); run it again to go on"
            ) from error
        if not isinstance(found, dict):
            raise TuningError(f"{self._host} answered {method} {path} with something else than an object")
        return found


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError, OSError):
        return error.reason
