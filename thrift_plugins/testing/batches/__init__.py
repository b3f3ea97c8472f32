"""A provider of batch APIs on this machine, with faults and a ledger of paid lines."""

from __future__ import annotations

from thrift_plugins.testing.batches.faults import BatchFaults, BatchLimits, Ending, Refusal
from thrift_plugins.testing.batches.paid import PaidLedger, PaidLine
from thrift_plugins.testing.batches.server import LoopbackBatches

__all__ = ["BatchFaults", "BatchLimits", "Ending", "LoopbackBatches", "PaidLedger", "PaidLine", "Refusal"]
