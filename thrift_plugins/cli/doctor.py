"""`thrift-plugins doctor`: what is installed, what is on, whether all is well, what the tactics did, what to turn on next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from thrift_plugins.cli.checks import Finding


def doctor(
    config: Annotated[Path | None, typer.Option(help="A thrift.toml; by default the one in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check versions, settings, store, ledger, prices and keys; say what each tactic did in the last 30 days, and what to do next.

    Exit code 1 where something is wrong.
    """
    findings = diagnose(config)
    if as_json:
        _print_json(findings)
    else:
        _print(findings)
    if _wrong(findings):
        raise typer.Exit(1)


def diagnose(file: Path | None) -> list[Finding]:
    """Everything that was found.

    Args:
        file: settings, None for those that an app in this folder would use.
    """
    from thrift_plugins.cli import checks

    config, settings = checks.load(file)
    findings = [*checks.versions(), *checks.keys(), settings]
    if config is not None:
        findings += [*checks.tactics(config), *checks.store(config), *checks.ledger(config)]
        findings += checks.worth(config, checks.acting(config))
    return findings


def _wrong(findings: list[Finding]) -> int:
    from thrift_plugins.cli.checks import State

    return sum(finding.state is State.wrong for finding in findings)


def _print_json(findings: list[Finding]) -> None:
    import orjson

    told = [{"area": f.area, "name": f.name, "state": f.state.value, "what": f.what} for f in findings]
    typer.echo(orjson.dumps({"ok": not _wrong(findings), "findings": told}, option=orjson.OPT_INDENT_2).decode())


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.cli.checks import State

    marks = {State.ok: ("ok", "green"), State.note: ("note", "yellow"), State.wrong: ("WRONG", "bold red")}
    table = Table(box=None, pad_edge=False, show_header=False)
    area = ""
    for finding in findings:
        mark, style = marks[finding.state]
        table.add_row(finding.area if finding.area != area else "", Text(mark, style), Text(finding.name), Text(finding.what))
        area = finding.area
    wrong = _wrong(findings)
    console = Console(highlight=False)
    console.print(table)
    verdict = f"{wrong} thing{'s' if wrong != 1 else ''} to repair." if wrong else "All is well."
    console.print(f"\n{verdict}", style="bold red" if wrong else "bold green")
