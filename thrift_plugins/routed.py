"""The router of an app, as its settings have it."""

from __future__ import annotations

import logging

from thrift_plugins.config import Config, RoutingConfig
from thrift_plugins.paired import Lessons
from thrift_plugins.prices import Prices
from thrift_plugins.routing import DriftGuard, Exploring, LearnedRouter, Router, RuleRouter, Twice
from thrift_plugins.routing.drift import EVERY

logger = logging.getLogger("thrift_plugins")


def open_router(settings: RoutingConfig) -> Router:
    """The router of an app.

    Raises:
        ConfigError: the file of a trained one that cannot be read.
    """
    cautions = {name: settings.of(name).caution for name in settings.features}
    made: Router = RuleRouter(settings.caution, {name: own for name, own in cautions.items() if own != settings.caution})
    if settings.router:
        made = DriftGuard(_held_to(settings, LearnedRouter.load(settings.router)))
    return Exploring(made, settings.explore) if settings.explore else made


def _held_to(settings: RoutingConfig, router: LearnedRouter) -> LearnedRouter:
    """The router, that leaves the features to the baseline of which it promises less than the settings ask for."""
    asked = {name: settings.of(name) for name in {*router.promises, *settings.features}}
    short = sorted(name for name, own in asked.items() if router.short_of(name, own.quality, own.confidence))
    for name in short:
        logger.warning(
            "routing: %s promises %.4g of the quality with %.4g confidence for %s, less than is asked for: the baseline answers "
            "there; train it anew",
            settings.router, *router.goal(name), "every feature" if name == EVERY else repr(name),
        )  # fmt: skip
    return router.without(short)


def fixed(settings: RoutingConfig) -> dict[str, str]:
    """Feature to the tier that it always goes to."""
    named = {name: settings.tier(name) for name in settings.features} if settings.enabled else {}
    return {name: tier for name, tier in named.items() if tier}


def open_twice(settings: RoutingConfig, prices: Prices) -> Twice | None:
    """What plans second answers, None where no feature wants any."""
    wanted = {name: settings.of(name).twice for name in settings.features}
    if not settings.enabled or not (settings.twice or any(wanted.values())):
        return None
    return Twice(prices, lambda feature: wanted.get(feature, settings.twice))


def open_lessons(settings: Config, prices: Prices) -> Lessons | None:
    """Who writes down what a router is trained on, None where no feature is to be."""
    if not settings.routing.enabled or not settings.routing.record:
        return None
    from thrift_plugins.lessons import Questions, questions_file  # noqa: PLC0415  for those who use it

    return Questions(questions_file(settings), settings.routing.record, settings.routing.shadow, prices)
