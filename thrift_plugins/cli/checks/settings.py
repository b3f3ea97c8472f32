"""Which settings are in force, what they switch on, and which keys the environment has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from thrift_plugins.budgeting import Budget
from thrift_plugins.cli.checks.finding import Finding, State
from thrift_plugins.config import (
    CompressionConfig,
    Config,
    DistillationConfig,
    OutputConfig,
    QualityConfig,
    RoutingConfig,
)
from thrift_plugins.errors import ConfigError

_DEFAULT_FILE = Path("thrift.toml")
_KEYS = {
    "OPENAI_API_KEY": "the demo and the examples run offline",
    "ANTHROPIC_API_KEY": "",
    "GOOGLE_API_KEY": "",
    "THRIFT_SECRET": "a Redis store needs it",
}


def load(file: Path | None) -> tuple[Config | None, Finding]:
    """The settings: those of a file, else of `./thrift.toml`, else the defaults; None where they cannot work."""
    chosen = file or (_DEFAULT_FILE if _DEFAULT_FILE.is_file() else None)
    if chosen is None:
        return Config(), Finding("config", "settings", "the defaults; there is no thrift.toml in this folder")
    try:
        return Config.load(chosen), Finding("config", "settings", f"from {chosen}")
    except ConfigError as error:
        return None, Finding("config", "settings", str(error), State.wrong)


def tactics(config: Config) -> Iterator[Finding]:
    """What is on."""
    cache, routing, ledger = config.cache, config.routing, config.ledger
    lives = f"on: an answer lives {cache.ttl / 3600:g} hours; temperatures above {cache.max_temperature:g} pass by"
    yield Finding("on", "response cache", lives if cache.enabled else "off")
    yield Finding("on", "routing", _by(routing) if routing.enabled else "off")
    yield Finding("on", "budgets", _named(config.budgets) or "off")
    yield Finding("on", "shorter answers", _shorter(config.output) or "off")
    yield Finding("on", "prompt compression", _compressed(config.compression))
    yield Finding("on", "local students", _students(config.distillation))
    yield Finding("on", "quality gate", _gate(config.quality))
    if ledger.enabled:
        share = (
            f"; {ledger.holdout:.3g} of the conversations are left alone, to measure it by" if ledger.holdout else ""
        )
        yield Finding("on", "ledger", f"on{share}")
    else:
        yield Finding("on", "ledger", "off: nothing can be proved", State.note)


def acting(config: Config) -> frozenset[str]:
    """The tactics that are on, by their names in the ledger."""
    on = {
        "cache": config.cache.enabled,
        "routing": config.routing.enabled,
        "compression": _compresses(config.compression),
        "distillation": config.distillation.enabled,
        "budget": bool(_shorter(config.output)),
    }
    return frozenset(name for name, enabled in on.items() if enabled)


def _by(routing: RoutingConfig) -> str:
    cautions = {"": routing.caution, **{f" in {name}": routing.of(name).caution for name in routing.features}}
    told = [f"{own:g}{where}" for where, own in cautions.items() if not where or own != routing.caution]
    by = f"{routing.router}, which was trained" if routing.router else f"rules, caution {', '.join(told)}"
    twice = [name for name in routing.features if routing.of(name).twice]
    also = "all features" if routing.twice else ", ".join(twice)
    written = ", ".join(routing.record)
    more = (also and f"cheap tiers are asked twice in {also}", written and f"questions of {written} are written down")
    return "; ".join(filter(None, (f"on: by {by}", *more)))


def _compresses(compression: CompressionConfig) -> bool:
    return any(compression.of(name).enabled for name in ("", *compression.features))


def _compressed(compression: CompressionConfig) -> str:
    """How much of a context may go, and in which features otherwise."""
    if not _compresses(compression):
        return "off"
    features = "".join(f"; {name}: {_limit(compression.of(name))}" for name in compression.features)
    return f"on: {_limit(compression)}{features}"


def _limit(own: CompressionConfig) -> str:
    if not own.enabled:
        return "off"
    limits = {"max_tokens": own.max_tokens, "ratio": own.ratio, "risk": own.risk}
    given = next((f"{name} {value:g}" for name, value in limits.items() if value is not None), None)
    return given or "nothing is left out, only spelling changes"


def _students(distillation: DistillationConfig) -> str:
    recorded = f"answers of {', '.join(distillation.record)} are recorded" if distillation.record else ""
    if not distillation.enabled:
        return f"off; {recorded}" if recorded else "off"
    whose = ", ".join(distillation.tasks) or "all that are in their folder"
    return "; ".join(filter(None, [f"on: {whose}, {distillation.agreement:g} agreement", recorded]))


def _gate(quality: QualityConfig) -> str:
    if not quality.enabled:
        return "off"
    then = "a tactic that drops more is rolled back" if quality.rolls_back else "nothing is rolled back"
    return f"on: {quality.share:.3g} of the answers are compared for ${quality.usd:g} a day at most, margin {quality.margin:g}; {then}"


def _named(budgets: Iterable[Budget]) -> str:
    return ", ".join(f"{budget.name} ({budget.mode})" for budget in budgets)


def _shorter(output: OutputConfig) -> str:
    """The features whose answers are to be shorter."""
    targets = {"all features": output.default(), **output.features}
    return ", ".join(f"{name} ({target.mode})" for name, target in targets.items() if target.mode != "off")


def keys() -> Iterator[Finding]:
    """Which keys are set. They are never shown."""
    for name, without in _KEYS.items():
        unset = f"not set; {without}" if without else "not set"
        yield Finding("keys", name, "set" if os.environ.get(name) else unset)
