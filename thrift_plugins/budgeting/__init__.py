"""Token budget: fewer tokens are asked for, and what may be spent is reserved before a call and settled after it."""

from thrift_plugins.budgeting.budget import Budget, Usd, Window
from thrift_plugins.budgeting.continuation import continuation, is_cut, joined
from thrift_plugins.budgeting.estimate import Estimate, affordable, most_output, spent
from thrift_plugins.budgeting.fuse import Fuse
from thrift_plugins.budgeting.lengths import Lengths
from thrift_plugins.budgeting.output import Note, OutputPolicy, Plan
from thrift_plugins.budgeting.output_place import noted
from thrift_plugins.budgeting.target import OutputMode, Target

__all__ = [
    "Budget",
    "Estimate",
    "Fuse",
    "Lengths",
    "Note",
    "OutputMode",
    "OutputPolicy",
    "Plan",
    "Target",
    "Usd",
    "Window",
    "affordable",
    "continuation",
    "is_cut",
    "joined",
    "most_output",
    "noted",
    "spent",
]
