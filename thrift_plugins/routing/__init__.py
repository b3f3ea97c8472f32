"""Routing: which of the app's models answers, what may be tried after a failure, and which answers must not stand."""

from __future__ import annotations

from thrift_plugins.routing.agreement import alike
from thrift_plugins.routing.base import Router, Verifier
from thrift_plugins.routing.constraints import eligible, forced
from thrift_plugins.routing.conversations import Conversations, in_tool_loop, turn_of
from thrift_plugins.routing.drift import DriftGuard
from thrift_plugins.routing.explore import Exploring
from thrift_plugins.routing.fallback import input_billed, misread, recoverable
from thrift_plugins.routing.learned import LearnedRouter
from thrift_plugins.routing.rules import RuleRouter
from thrift_plugins.routing.twice import LEAST_HEAT, Twice
from thrift_plugins.routing.verify import rejects

__all__ = [
    "LEAST_HEAT",
    "Conversations",
    "DriftGuard",
    "Exploring",
    "LearnedRouter",
    "Router",
    "RuleRouter",
    "Twice",
    "Verifier",
    "alike",
    "eligible",
    "forced",
    "in_tool_loop",
    "input_billed",
    "misread",
    "recoverable",
    "rejects",
    "turn_of",
]
