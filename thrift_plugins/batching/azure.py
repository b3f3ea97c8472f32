"""Azure OpenAI's batch API, both its versions: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch (2026-11).

It is OpenAI's, with other paths and keys. A model is a *deployment*, and batches need one of the type "Global-Batch" or
"Data Zone Batch", apart from the one that answers at once. A batch does not expire after its 24 hours: it goes on.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import httpx
import orjson

from thrift_plugins.batching.client import Address, BatchLine, BatchRefused, Intent, Limits
from thrift_plugins.batching.openai import WITHOUT_BATCH, OpenAIBatchClient
from thrift_plugins.batching.remote import required_key
from thrift_plugins.prices import Prices

API_VERSION: Final = "2024-10-21"
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)(/[^?]*)")
_ENDPOINTS: Final = frozenset({"/chat/completions", "/completions", "/embeddings", "/responses"})
_PENDING_S: Final = 300.0
_LOOK_AGAIN_S: Final = 0.5


class AzureBatchClient(OpenAIBatchClient):
    """Batches of an Azure OpenAI resource.

    Args:
        endpoint: such as "https://NAME.openai.azure.com".
        api_key: by default that in AZURE_OPENAI_API_KEY.
        deployments: deployment that the app calls to the one that takes batches; one that is not named is taken for both.
        api_version: of the batch requests.

    The other arguments are those of `OpenAIBatchClient`.
    """

    provider = "azure"

    def __init__(
        self,
        endpoint: str,
        api_key: str | None = None,
        *,
        deployments: Mapping[str, str] | None = None,
        api_version: str = API_VERSION,
        account: str | None = None,
        queued_tokens: Mapping[str, int] | None = None,
        without_batch: Sequence[str] = WITHOUT_BATCH,
        prices: Prices | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        key = required_key(api_key, "AZURE_OPENAI_API_KEY")
        self._batch_of = dict(deployments or {})
        self._instant_of = {batch: instant for instant, batch in self._batch_of.items()}
        self._start(
            endpoint,
            {"api-key": key},
            key,
            account,
            queued_tokens,
            without_batch,
            prices,
            http,
            {"api-version": api_version},
        )

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        """See `BatchClient`. The model of an address is the deployment that takes batches."""
        found = _DEPLOYMENT.search(path)
        named = found.group(1) if found else body.get("model")
        url = found.group(2) if found else "/" + httpx.URL(path).path.partition("/v1/")[2]
        if url not in _ENDPOINTS or not isinstance(named, str) or not self.has_batch(named):
            return None
        return Address(self._batch_of.get(named, named), url)

    def limits(self, model: str) -> Limits:
        """100,000 lines and 200 MB, with no end."""
        return Limits(lines=100_000, queued_tokens=self._queued_tokens.get(model), window_s=None)

    def flex(self, model: str) -> bool:  # noqa: ARG002
        """Azure offers none."""
        return False

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        """See `BatchClient`. Waits until Azure has read the file, which it must before it takes a batch of it."""
        file_id = await super().upload(intent, (_of_deployment(line, intent.model) for line in lines))
        until = time.monotonic() + _PENDING_S
        while (state := await self._file_state(file_id)) in {"pending", "running"} and time.monotonic() < until:  # noqa: ASYNC110  (Azure's file, no event of ours)
            await asyncio.sleep(_LOOK_AGAIN_S)
        if state == "error":
            raise BatchRefused(f"Azure could not read the file {file_id}", code="file_error")
        return file_id

    async def _file_state(self, file_id: str) -> str:
        return str((await self._wire.get(self._path(f"/files/{file_id}"))).get("status"))

    def _path(self, path: str) -> str:
        return f"/openai{path}"

    def _instant_path(self, line: BatchLine) -> str:
        batch = str(orjson.loads(line.body).get("model", ""))
        deployment = self._instant_of.get(batch, batch)
        return f"/openai/deployments/{deployment}{line.url}"


def _of_deployment(line: BatchLine, deployment: str) -> BatchLine:
    """The line with the deployment as its model, which an SDK for Azure says in the URL."""
    body = orjson.loads(line.body)
    if body.get("model") == deployment:
        return line
    return BatchLine(line.custom_id, line.url, orjson.dumps({**body, "model": deployment}))
