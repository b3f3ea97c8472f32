"""What an app can have forgotten: one answer, all with a tag, all of a feature, all of a tenant."""

from __future__ import annotations

from dataclasses import dataclass

from thrift_plugins.caching.key import tenant_tag
from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.base import Store

_FEATURE = "feature:"
"""Every answer has its feature as a tag of this form."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Which answers are to be forgotten: those that fit all that is given.

    Attributes:
        key: the address of one answer, as events and `cache stats` show it.
        tag: a tag of the app's own.
        feature: what `scope(feature=...)` said when they were asked for.
        tenant: whose they are; "" are those that were asked for without a tenant.

    Raises:
        ConfigError: nothing is given, or what cannot be combined.
    """

    key: str | None = None
    tag: str | None = None
    feature: str | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        if all(part is None for part in (self.key, self.tag, self.feature, self.tenant)):
            raise ConfigError("say what to forget: key, tag, feature or tenant; to forget everything there is clear()")
        if self.key is not None and (self.tag, self.feature, self.tenant) != (None, None, None):
            raise ConfigError("a key names one answer: give it alone")
        if self.tag is not None and self.feature is not None:
            raise ConfigError("give tag or feature, not both")

    @property
    def _label(self) -> str | None:
        return self.tag if self.feature is None else f"{_FEATURE}{self.feature}"

    @property
    def _prefix(self) -> str:
        return "" if self.tenant is None else f"{{{tenant_tag(self.tenant)}}}:"

    def apply(self, store: Store) -> int | None:
        """Forget them. Returns how many there were, None where the store does not count.

        Raises:
            StoreUnavailable: the store is down; nobody should believe that they are gone.
        """
        if self.key is not None:
            store.delete(self.key)
            return None
        if self._label is not None:
            return store.forget(self._label, self._prefix)
        store.clear(self._prefix)
        return None

    async def aapply(self, store: Store) -> int | None:
        """`apply` without blocking the event loop."""
        if self.key is not None:
            await store.adelete(self.key)
            return None
        if self._label is not None:
            return await store.aforget(self._label, self._prefix)
        await store.aclear(self._prefix)
        return None
