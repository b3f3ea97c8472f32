"""The ledger: one event a call, priced and attributed exactly. It measures; it changes nothing."""

from thrift_plugins.ledger.bill import Bill, bill, shapley
from thrift_plugins.ledger.event import Cost, Event
from thrift_plugins.ledger.holdout import Comparison, Holdout, in_holdout
from thrift_plugins.ledger.leaks import Leaks, leaks
from thrift_plugins.ledger.ledger import Ledger, Observer
from thrift_plugins.ledger.summary import Line, Summary, summarise

__all__ = [
    "Bill",
    "Comparison",
    "Cost",
    "Event",
    "Holdout",
    "Leaks",
    "Ledger",
    "Line",
    "Observer",
    "Summary",
    "bill",
    "in_holdout",
    "leaks",
    "shapley",
    "summarise",
]
