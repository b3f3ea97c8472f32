"""`thrift-plugins distill`: plan, train, watch, promote and take back the students of an app."""

from __future__ import annotations

import typer

from thrift_plugins.cli.distill.lives import promote, rollback, status
from thrift_plugins.cli.distill.training import plan, report, run
from thrift_plugins.cli.distill.tune import tune

distill = typer.Typer(
    name="distill", no_args_is_help=True, help="Train local students of a costly model, and see what they may do."
)
distill.command()(plan)
distill.command()(run)
distill.command()(report)
distill.command()(status)
distill.command()(promote)
distill.command()(rollback)
distill.command()(tune)
