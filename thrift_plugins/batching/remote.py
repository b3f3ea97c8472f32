"""What the clients of all providers are made of: an account with a key, whom it speaks to, and calls at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal

import httpx

from thrift_plugins.batching.client import Instant
from thrift_plugins.batching.wire import BatchWire, account_id
from thrift_plugins.errors import ConfigError, UnknownModelPrice
from thrift_plugins.prices import Prices

LISTING_SLACK: Final = 60.0
"""Seconds by which a provider's clock may be behind ours where batches are listed by when they were made."""


class Remote:
    """The half of a `BatchClient` that is the same for every provider with one address and one key."""

    provider: str

    def _connect(
        self,
        url: str,
        headers: Mapping[str, str],
        key: str,
        account: str | None,
        http: httpx.AsyncClient | None,
        params: Mapping[str, str] | None = None,
    ) -> None:
        self._wire = BatchWire(url, headers, params=params, http=http)
        self._account = f"{self.provider}:{account}" if account else account_id(self.provider, self._wire.host, key)

    @property
    def host(self) -> str:
        """See `BatchClient`."""
        return self._wire.host

    @property
    def account(self) -> str:
        """See `BatchClient`."""
        return self._account

    def flex(self, model: str) -> bool:  # noqa: ARG002
        """Few providers offer it."""
        return False

    async def aclose(self) -> None:
        """See `BatchClient`."""
        await self._wire.aclose()


def required_key(given: str | None, variable: str) -> str:
    """A key from an argument or the environment.

    Raises:
        ConfigError: there is none.
    """
    key = given or os.environ.get(variable)
    if not key:
        raise ConfigError(f"a batch client needs a key; give api_key=, or set the environment variable {variable}")
    return key


def cheaper(prices: Prices, model: str, processing: Literal["batch", "flex"]) -> bool:
    """Whether a way of processing costs less than the standard one."""
    try:
        return prices.rates(model, processing=processing).input < prices.rates(model).input
    except UnknownModelPrice:
        return False


async def instant(wire: BatchWire, path: str, body: bytes) -> Instant:
    """A call made at once. What the provider refuses is an answer too, with its status."""
    response = await wire.send_any("POST", path, content=body, headers={"content-type": "application/json"})
    return Instant(response.status_code, response.content, dict(response.headers))


def from_v1(path: str) -> str:
    """A path from its "/v1" on, whatever a gateway has before it."""
    before, found, after = path.rpartition("/v1/")
    return f"/v1/{after}" if found else before or path
