"""Token budget: what may be spent is reserved before a call and settled after it."""

from thrift_plugins.budgeting.budget import Budget, Usd, Window
from thrift_plugins.budgeting.estimate import Estimate, affordable, most_output, spent
from thrift_plugins.budgeting.fuse import Fuse

__all__ = ["Budget", "Estimate", "Fuse", "Usd", "Window", "affordable", "most_output", "spent"]
