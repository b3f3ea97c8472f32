"""The quality gate of an app: its judge, its budget, and how the processes of a store come to agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thrift_plugins.audited import Audits
from thrift_plugins.caching.refusals import refusal
from thrift_plugins.config import Config
from thrift_plugins.errors import ConfigError
from thrift_plugins.learnt import Learnt
from thrift_plugins.prices import Prices
from thrift_plugins.purse import Bounds, Purse
from thrift_plugins.quality import AutoJudge, ExactJudge, Gate, JsonJudge, Judge, SimilarityJudge, Terms
from thrift_plugins.stores.base import Store

if TYPE_CHECKING:
    from thrift_plugins.text.embed import Embedder

CHANNEL: Final = "verdicts"
"""The feed of the store in which judgements go round."""

_NAME: Final = "gate"
_EVERY: Final = 5.0
_LIVES: Final = 30 * 86_400.0


def open_gate(
    settings: Config, judge: Judge | None, embedder: Embedder | None, *, prices: Prices, bounds: Bounds
) -> Audits | None:
    """The gate of an app, None where it is off.

    Args:
        judge: one of the app's own.
        embedder: what the judge "similarity" reads answers with; None for the default.

    Raises:
        ConfigError: there is a judge, and no gate.
    """
    quality = settings.quality
    if not quality.enabled:
        if judge is not None:
            raise ConfigError(
                "a judge has nothing to judge: set enabled = true under [quality], or QualityConfig(enabled=True)"
            )
        return None
    terms = Terms(quality.margin, quality.share, rolls_back=quality.rolls_back)
    gate = Gate(terms, judge or _judge(quality.judge, embedder), refusing=refusal)
    for_all = [one for one in settings.budgets if not (one.per or one.match or one.window in ("call", "run"))]
    return Audits(gate, Purse((*for_all, quality.budget()), prices, bounds, imposes=False))


def shared(store: Store, gate: Gate) -> Learnt:
    """Passes judgements on to other processes of a store, and takes theirs in. In memory there are none."""
    return Learnt(store, {_NAME: gate}, channel=CHANNEL, every=_EVERY, lives=_LIVES)


def known(store: Store, settings: Config) -> Gate:
    """The gate as a new process of an app would know it.

    Raises:
        StoreError: the store cannot be read.
    """
    quality = settings.quality
    gate = Gate(Terms(quality.margin, quality.share, rolls_back=False), AutoJudge())
    shared(store, gate).take()
    return gate


def _judge(name: str, embedder: Embedder | None) -> Judge:
    match name:
        case "exact":
            return ExactJudge()
        case "json":
            return JsonJudge()
        case "similarity":
            from thrift_plugins.text.embed import StaticEmbedder  # noqa: PLC0415  numpy is for those who use it

            return SimilarityJudge((embedder or StaticEmbedder()).embed)
        case _:
            return AutoJudge()
