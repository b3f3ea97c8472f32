"""Replays a recorded month of an app through the real adapters, and says what it would have cost.

A trace is JSON lines, gzipped or not: a header with prices, then one request a line in the order of time, each with
what every recorded model answered, what that used, and whether it was right. Only a recorded model may answer.
"""

from thrift_plugins.replay.month import Outcome, replay
from thrift_plugins.replay.row import Arm, Check, Row
from thrift_plugins.replay.switches import SWITCHES, Setup, prepared
from thrift_plugins.replay.trace import Trace

__all__ = ["SWITCHES", "Arm", "Check", "Outcome", "Row", "Setup", "Trace", "prepared", "replay"]
