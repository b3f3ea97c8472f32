"""Shortens a system prompt once, offline, with evidence: which rules are still there, and that answers did not get worse.

Instructions are never cut word by word. A model writes them shorter, or whole segments go where cases show that nobody needs
them; every rule of the original is then looked for, and what is not there as it was is named.
"""

from thrift_plugins.compression.condense.cases import Case, cases
from thrift_plugins.compression.condense.condensing import Candidate, Condensed, condense
from thrift_plugins.compression.condense.coverage import Coverage, Rule, coverage, rules
from thrift_plugins.compression.condense.lock import Lock

__all__ = ["Candidate", "Case", "Condensed", "Coverage", "Lock", "Rule", "cases", "condense", "coverage", "rules"]
