"""`thrift-plugins budgets`: what is left of every budget, and when it starts anew."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from thrift_plugins.purse import Remaining

_DEFAULT = Path("thrift.toml")


def budgets(
    tenant: Annotated[str, typer.Option(help="Whose budgets.")] = "",
    user: Annotated[str, typer.Option(help="Whose budgets.")] = "",
    feature: Annotated[str, typer.Option(help="Which feature's budgets.")] = "",
    session: Annotated[str, typer.Option(help="Which session's budgets.")] = "",
    run: Annotated[str, typer.Option(help="Which run's budgets.")] = "",
    config: Annotated[Path | None, typer.Option(help="A thrift.toml; by default the one in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is spent, reserved and left of the budgets that cover a scope."""
    from thrift_plugins.runtime import open_budgets
    from thrift_plugins.types import Scope

    scope = Scope(tenant=tenant, user=user, feature=feature, session=session)
    left = open_budgets(config or (_DEFAULT if _DEFAULT.is_file() else None), scope, run)
    if as_json:
        _print_json(left)
    else:
        _print(left)


def _print_json(left: list[Remaining]) -> None:
    import orjson

    told: list[dict[str, Any]] = [
        {
            "name": one.budget.name,
            "unit": one.budget.unit,
            "mode": one.budget.mode,
            "limit": one.budget.limit,
            "used": one.used,
            "held": one.held,
            "left": one.left,
            "resets": one.resets if math.isfinite(one.resets) else None,
        }
        for one in left
    ]
    typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())


def _print(left: list[Remaining]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not left:
        typer.echo("No budget covers this scope. Set one under [[budgets]] in thrift.toml.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("budget", "used", "reserved", "left", "of", "starts anew"):
        table.add_column(column, justify="left" if column in ("budget", "starts anew") else "right")
    for one in left:
        amounts = (one.used, one.held, one.left, one.budget.limit)
        style = "bold red" if not one.left else ""
        table.add_row(
            Text(one.budget.name),
            *(_amount(amount, one.budget.unit) for amount in amounts),
            _when(one.resets),
            style=style,
        )
    Console(highlight=False).print(table)


def _amount(amount: int, unit: str) -> str:
    return f"{amount:,}" if unit == "tokens" else f"${amount / 1e9:,.4f}"


def _when(resets: float) -> str:
    return f"{datetime.fromtimestamp(resets, UTC):%Y-%m-%d %H:%M} UTC" if math.isfinite(resets) else "never"
