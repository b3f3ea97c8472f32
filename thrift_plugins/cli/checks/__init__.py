"""What `thrift-plugins doctor` looks at, a file for each part. A check never raises for what it finds."""

from thrift_plugins.cli.checks.books import ledger
from thrift_plugins.cli.checks.finding import Finding, State
from thrift_plugins.cli.checks.installed import versions
from thrift_plugins.cli.checks.settings import acting, keys, load, tactics
from thrift_plugins.cli.checks.storage import store
from thrift_plugins.cli.checks.worth import worth

__all__ = ["Finding", "State", "acting", "keys", "ledger", "load", "store", "tactics", "versions", "worth"]
