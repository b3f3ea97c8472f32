"""The app that `thrift-plugins demo` runs: a help centre that answers from its articles, on either framework.

Importing this loads neither framework.
"""

from thrift_plugins.demo.bill import Billed
from thrift_plugins.demo.trial import CAP, Framework, Run, Visit, expected_cost, run

__all__ = ["CAP", "Billed", "Framework", "Run", "Visit", "expected_cost", "run"]
