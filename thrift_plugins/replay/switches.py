"""Which tactics a replay has on: one switch each. A new tactic is one entry in `SWITCHES`.

A switch says what an app would set to have its tactic, and makes of the month before what the tactic learns from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from thrift_plugins.config import (
    CacheConfig,
    CompressionConfig,
    Config,
    DistillationConfig,
    RoutingConfig,
    SemanticConfig,
)
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices import Prices
from thrift_plugins.replay.apps import cheapness
from thrift_plugins.replay.past import Asking, Remembered, remembered
from thrift_plugins.replay.trace import Trace
from thrift_plugins.routing import LearnedRouter, Router, RuleRouter
from thrift_plugins.types import Decision, Request, Tier

if TYPE_CHECKING:
    from thrift_plugins.routing.example import Example
    from thrift_plugins.runtime import Runtime

MONTH: Final = 30 * 86_400.0
"""Seconds that an answer lives in a replay with everything on. What depends on the time of asking lives shorter."""

RATIO: Final = 4.0
"""How many times fewer tokens retrieved passages have in a replay with compression."""

QUALITY: Final = 0.99
"""What a learned router promises in a replay: this share of the baseline's quality, in each feature."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How the runtime of a replay is made.

    Attributes:
        config: its settings.
        parts: further arguments of `Runtime`: policies that no setting names.
        begins: what is done with the runtime before the first request.
        waits: whether what may wait for a day is answered by a batch.
        shared: features whose answers are the same for every tenant, as an app would say that makes these calls for none.
        learnt: what was learnt from the month before, in words.
    """

    config: Config
    parts: Mapping[str, Any] = field(default_factory=dict)
    begins: Sequence[Callable[[Runtime], None]] = ()
    waits: bool = False
    shared: frozenset[str] = frozenset()
    learnt: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What a replay may learn from before it begins.

    Attributes:
        remembered: feature to what is known of it from the month before.
        asking: how each feature asks.
        folder: an empty one, for what is made of that.
    """

    remembered: Mapping[str, Sequence[Remembered]]
    asking: Asking
    folder: Path


Switch: TypeAlias = Callable[[Setup, Past], Setup]


def prepared(
    names: Iterable[str],
    trace: Trace,
    warm: Path | None,
    folder: Path,
    *,
    prices: Mapping[str, Mapping[str, float]] | None = None,
) -> Setup:
    """The set-up of a replay with some tactics on, after they have learnt from the month before.

    Args:
        names: of tactics, as in `SWITCHES`.
        warm: a folder with what the app has from the month before; see `replay.past`. None: nothing.
        folder: an empty one, for what is made of that.
        prices: over those of the trace, which tell the models' order.

    Raises:
        ConfigError: there is no such tactic, or nothing in the folder is about this app.
        TraceError: a line of the trace that cannot be replayed.
    """
    known = Prices({**trace.prices, **(prices or {})})
    known.load()
    asking, price = Asking(), cheapness(known)
    for row in trace:
        asking.add(row, price)
    past = Past(remembered(warm, asking) if warm else {}, asking, folder)
    return switched(names, past)


def switched(names: Iterable[str], past: Past) -> Setup:
    """The set-up with some tactics on and the others off.

    Args:
        names: of tactics, as in `SWITCHES`.

    Raises:
        ConfigError: there is no such tactic.
    """
    setup = Setup(Config.none())
    for name in names:
        if name not in SWITCHES:
            raise ConfigError(f"no tactic is called {name!r}; there are {', '.join(SWITCHES)}")
        setup = SWITCHES[name](setup, past)
    return setup


def _cache(setup: Setup, past: Past) -> Setup:  # noqa: ARG001  a switch is given both
    cache = replace(setup.config.cache, enabled=True, ttl=MONTH)
    return replace(setup, config=replace(setup.config, cache=cache))


def _semantic(setup: Setup, past: Past) -> Setup:  # noqa: ARG001
    own = setup.config.cache
    exact = own if own.enabled else CacheConfig(ttl=MONTH)  # it finds what the exact cache keeps
    cache = replace(exact, semantic=SemanticConfig(enabled=True))
    return replace(setup, config=replace(setup.config, cache=cache), begins=(*setup.begins, _draw_alike))


def _draw_alike(runtime: Runtime) -> None:
    """What is compared is drawn, and must be the same in each replay."""
    if runtime.semantic is not None:
        runtime.semantic.tier.draw_by(random.Random(0).random)  # noqa: S311  no secret


def _routing(setup: Setup, past: Past) -> Setup:
    setup = replace(setup, config=replace(setup.config, routing=RoutingConfig()))
    routers, learnt = _learned(past)
    parts = {**setup.parts, "router": Routers(tuple(routers))} if routers else setup.parts
    return replace(setup, parts=parts, learnt=(*setup.learnt, *learnt))


def _compression(setup: Setup, past: Past) -> Setup:
    """Passages that were retrieved for a question are shortened; of a conversation nothing is left out."""
    from thrift_plugins.compression.prompt_parts import passages  # noqa: PLC0415  numpy is for those who use it

    own = {name: {"ratio": RATIO} for name, feature in past.asking.features.items() if passages(feature.question) > 1}
    compression = CompressionConfig(enabled=True, features=own)
    return replace(setup, config=replace(setup.config, compression=compression))


def _distillation(setup: Setup, past: Past) -> Setup:
    """A student for each feature whose answers were kept, if it may promise anything. It has been in the shadow, by then."""
    from thrift_plugins.replay.students import students  # noqa: PLC0415  as above

    tasks, learnt = students(past.remembered, past.folder)
    learnt = [*setup.learnt, *learnt]
    if not tasks:
        return replace(setup, learnt=learnt)
    settings = DistillationConfig(enabled=True, folder=str(past.folder), tasks=list(tasks))
    return replace(
        setup,
        config=replace(setup.config, distillation=settings),
        learnt=learnt,
        begins=(*setup.begins, *tasks.values()),
    )


def _batch(setup: Setup, past: Past) -> Setup:  # noqa: ARG001
    return replace(setup, waits=True)


SWITCHES: Final[Mapping[str, Switch]] = {
    "cache": _cache,
    "semantic": _semantic,
    "routing": _routing,
    "compression": _compression,
    "distillation": _distillation,
    "batch": _batch,
}
"""Tactic to what puts it on. The order is that in which they are put on."""


@dataclass(frozen=True, slots=True)
class Routers:
    """A learned router for each set of models, and rules for what none of them may promise anything about."""

    learned: Sequence[LearnedRouter]
    rules: Router = field(default_factory=RuleRouter)

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        """Choose a tier; see `Router.decide`."""
        names = {tier.name for tier in tiers}
        for router in self.learned:
            promise = router.promises.get(request.scope.feature)
            if names <= set(router.tiers) and promise is not None and promise.limit is not None:
                return router.decide(request, tiers, baseline)
        return self.rules.decide(request, tiers, baseline)


def _learned(past: Past) -> tuple[list[LearnedRouter], list[str]]:
    """Routers that the month before has the labels for, one for each set of models, and what they came to."""
    from thrift_plugins.routing.example import Example  # noqa: PLC0415
    from thrift_plugins.routing.promise import LEAST  # noqa: PLC0415
    from thrift_plugins.routing.training import train  # noqa: PLC0415  numpy is for those who use it

    labelled: dict[tuple[str, ...], list[Example]] = {}
    for known in past.remembered.values():
        for each in known:
            if len(each.scores) > 1:
                labelled.setdefault(tuple(each.scores), []).append(Example(each.request, each.scores))
    routers: list[LearnedRouter] = []
    learnt: list[str] = []
    for models, examples in labelled.items():
        if len(examples) < LEAST or not _tell_apart(examples):
            learnt.append(f"routing: {len(examples):,} answers of {' and '.join(models)} teach nothing")
            continue
        router = train(examples, models, quality=QUALITY)
        routers.append(router)
        told = (f"{name} {promise.cheaper:.0%}" for name, promise in router.promises.items())
        learnt.append(f"routing: of {len(examples):,} answers, for a cheaper model: {', '.join(told)}")
    return routers, learnt


def _tell_apart(examples: Sequence[Example]) -> bool:
    return len({tuple(example.scores.values()) for example in examples}) > 1
