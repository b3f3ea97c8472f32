"""The command line: `thrift-plugins replay`, `demo`, `report`, `diff`, `watch`, `router`, `gate`, `simulate` and so on.

`--help` loads neither framework.
"""

from __future__ import annotations

import sys

import typer

from thrift_plugins.cli.batch import batch
from thrift_plugins.cli.budgets import budgets
from thrift_plugins.cli.cache import cache
from thrift_plugins.cli.compress import compress
from thrift_plugins.cli.condense import condense
from thrift_plugins.cli.demo import demo
from thrift_plugins.cli.diff import diff
from thrift_plugins.cli.distill import distill
from thrift_plugins.cli.doctor import doctor
from thrift_plugins.cli.export import export
from thrift_plugins.cli.gate import gate
from thrift_plugins.cli.ledger import ledger
from thrift_plugins.cli.promotion import promote, rollback
from thrift_plugins.cli.reconcile import reconcile
from thrift_plugins.cli.replay import replay
from thrift_plugins.cli.report import report
from thrift_plugins.cli.router import router
from thrift_plugins.cli.simulate import simulate
from thrift_plugins.cli.watch import watch
from thrift_plugins.errors import ThriftError

app = typer.Typer(
    name="thrift-plugins",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """Cuts what a LangChain or LlamaIndex app pays for LLM calls, and proves what was saved."""


app.command()(replay)
app.command()(demo)
app.command()(report)
app.command()(diff)
app.command()(watch)
app.command()(export)
app.command()(reconcile)
app.command()(doctor)
app.command()(budgets)
app.command()(gate)
app.command()(simulate)
app.command()(condense)
app.add_typer(batch)
app.add_typer(cache)
app.add_typer(compress)
app.add_typer(distill)
app.add_typer(ledger)
router.command()(promote)
router.command()(rollback)
app.add_typer(router)


def main() -> None:
    """Run the command line. What goes wrong on purpose, or with a file, is one sentence on stderr and exit code 2."""
    try:
        app()
    except (ThriftError, OSError) as error:
        sys.stderr.write(f"thrift-plugins: {error}\n")
        sys.exit(2)
