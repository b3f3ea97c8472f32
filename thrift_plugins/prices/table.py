"""The price of any model: the user's where there is one, else that of the installed price list."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import sha256

from thrift_plugins.errors import ConfigError, UnknownModelPrice
from thrift_plugins.prices import overrides as own
from thrift_plugins.prices.names import own_names, tidy
from thrift_plugins.prices.rates import CONTEXTS, Rates
from thrift_plugins.prices.snapshot import SOURCE, Schedule, find, installed_version
from thrift_plugins.types import Nano, Processing, Usage


class Prices:
    """Prices of models.

    Args:
        overrides: model to its rates in US dollars per million tokens. `input` and `output` are required;
            `cached_input` (or `cache_read`), `cache_write`, `cache_write_1h`, `input_audio`, `output_audio` and
            `reasoning` default to the plain rate of their side. The same names after `batch_`, `flex_` or `priority_` are those
            of that processing mode. An override replaces the model: nothing of it comes from the price list any more.
        clock: seconds since the epoch, for prices that are asked for without a date.

    Raises:
        ConfigError: an unknown key, a rate that is no finite number of 0 or more, or `input` or `output` missing.
    """

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, float | int | str]] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._overrides = {tidy(model): own.parse(model, given) for model, given in (overrides or {}).items()}
        digest = sha256(repr(sorted(self._overrides.items())).encode()).hexdigest()[:8]
        self._local = f"+{own.OVERRIDE}.{digest}" if self._overrides else ""
        self._clock = clock
        self._resolved: dict[tuple[str, Processing], Rates | Schedule] = {}

    @staticmethod
    def load() -> None:
        """Read the price list now, on this thread, instead of at the first price.

        The list's package brings an HTTP client that model SDKs look for in the middle of a request; imported by
        another thread at that moment, it would be seen half made.
        """
        find("")

    @property
    def snapshot(self) -> dict[str, str]:
        """Which prices these are, as `source` and `version`. A digest in the version tells overrides apart."""
        return {"source": SOURCE, "version": installed_version() + self._local}

    def cost(self, model: str, usage: Usage, *, at: float | None = None, processing: Processing = "standard") -> Nano:
        """What one call of a model costs.

        Args:
            at: seconds since the epoch; now, if None.

        Raises:
            UnknownModelPrice: as `rates`.
        """
        return self.rates(model, at=at, processing=processing, input_tokens=usage.input_tokens).cost(usage)

    def rates(
        self, model: str, *, at: float | None = None, processing: Processing = "standard", input_tokens: int = 0
    ) -> Rates:
        """The rates that a call is charged at.

        A listed model without prices for a processing mode, or without them at that date, is charged its standard
        ones, so that no saving is claimed. An overridden model must say what a mode costs.

        Args:
            model: as an API, LangChain, LlamaIndex, LiteLLM, Bedrock or Azure names it.
            at: seconds since the epoch; now, if None.
            input_tokens: size of the whole prompt, which decides the tier of some models.

        Raises:
            UnknownModelPrice: no price for the model, or an override without this processing mode.
            ConfigError: no such processing mode.
        """
        found = self._resolved.get((model, processing))
        if found is None:
            found = self._resolved[model, processing] = self._resolve(model, processing)
        if isinstance(found, Rates):
            return found
        return found.at(self._clock() if at is None else at, input_tokens)

    def knows(self, model: str) -> bool:
        """Whether the model has a standard price."""
        listing = find(model)
        return self._override(model) is not None or (listing is not None and listing.is_priced)

    def window(self, model: str) -> int | None:
        """The model's context window in tokens, None where the price list does not say."""
        listing = find(model)
        return listing.model.context_window if listing else None

    def _override(self, model: str) -> Mapping[Processing, Rates] | None:
        return next((self._overrides[name] for name in own_names(model) if name in self._overrides), None)

    def _resolve(self, model: str, processing: Processing) -> Rates | Schedule:
        if processing not in CONTEXTS:
            raise ConfigError.unknown_key(processing, CONTEXTS, "processing")
        override = self._override(model)
        if override is not None:
            if processing in override:
                return override[processing]
            needs = f"the override, which needs '{processing}_input' and '{processing}_output' for {processing} mode"
            raise UnknownModelPrice(model, needs)
        listing = find(model)
        if listing is None or not listing.is_priced:
            raise UnknownModelPrice(model, f"{SOURCE} {installed_version()}")
        return listing.in_mode(processing)
