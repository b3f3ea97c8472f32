"""What an operator does with a store of answers: look at it, copy it, write it to a file and read it back, fill it."""

from thrift_plugins.upkeep.archive import export_entries, import_entries
from thrift_plugins.upkeep.statistics import Holdings, Traffic, holdings, traffic
from thrift_plugins.upkeep.transfer import Copied, Limits, copy_entries, hottest

__all__ = [
    "Copied",
    "Holdings",
    "Limits",
    "Traffic",
    "copy_entries",
    "export_entries",
    "holdings",
    "hottest",
    "import_entries",
    "traffic",
]
