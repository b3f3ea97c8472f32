"""`thrift-plugins condense`: shorten a system prompt, with evidence, and check in CI that the evidence is still about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.figures import JsonFile, write_figures

if TYPE_CHECKING:
    from thrift_plugins.compression.condense import Condensed


def condense(
    prompt: Annotated[Path, typer.Argument(help="The file with the system prompt.")],
    cases: Annotated[Path | None, typer.Option(help="JSON lines with `input`, and `expected` or `contains`.")] = None,
    model: Annotated[str, typer.Option(help="The model that the prompt is for.")] = "gpt-4o-mini",
    rewriter: Annotated[
        str | None, typer.Option(help="The model that writes shorter prompts; by default the same.")
    ] = None,
    margin: Annotated[float, typer.Option(help="Drop in the share of right answers that is tolerated.")] = 0.02,
    out: Annotated[
        Path | None, typer.Option(help="The file for the shorter prompt; by default beside the prompt.")
    ] = None,
    check: Annotated[bool, typer.Option(help="Only check that the lock file is about these two texts.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Write a shorter prompt and its lock file, if the cases show that it is not worse and no rule is lost."""
    from thrift_plugins.compression.condense import Lock
    from thrift_plugins.compression.condense import cases as read_cases
    from thrift_plugins.compression.condense import condense as condensed
    from thrift_plugins.errors import ConfigError

    out = out or prompt.with_name(f"{prompt.stem}.condensed{prompt.suffix}")
    if out.resolve() == prompt.resolve():
        raise ConfigError(f"{out} is the prompt itself: name another file for the shorter one")
    lock = out.with_name(f"{out.name}.lock.json")
    text = prompt.read_text(encoding="utf-8")
    if check:
        Lock.load(lock).check(text, out.read_text(encoding="utf-8"))
        typer.echo(f"{lock} is about these texts.")
        return
    if cases is None:
        raise ConfigError("condensing needs --cases: what the prompt must still get right")
    ask = _asking(model)
    rewrite = _asking(rewriter) if rewriter else ask
    found = condensed(
        text, read_cases(cases), ask, rewrite=lambda told: rewrite("", told), model=model, margin=margin, progress=_told
    )
    _print(found)
    if json_file is not None:
        write_figures(json_file, _figures(found))
    if found.best is None:
        typer.echo(
            "Nothing is written: no shorter prompt holds. More cases can show more; 149 without a loss show 2 %."
        )
        raise typer.Exit(1)
    out.write_text(found.best.text, encoding="utf-8")
    found.lock(found.best, model).save(lock)
    typer.echo(f"Written to {out}, with {lock}. In CI: thrift-plugins condense {prompt} --check")


def _asking(name: str) -> Callable[[str, str], str]:
    """A model of OpenAI's SDK, which `OPENAI_BASE_URL` may send elsewhere."""
    from thrift_plugins.errors import ConfigError

    try:
        from langchain_openai import ChatOpenAI
    except ModuleNotFoundError as error:
        raise ConfigError("condensing needs OpenAI's SDK: pip install 'thrift-plugins[openai]'") from error
    try:
        model = ChatOpenAI(model=name, max_retries=2, temperature=0)
    except Exception as error:
        raise ConfigError(f"--model {name}: {str(error).partition(chr(10))[0]}") from error

    def ask(system: str, user: str) -> str:
        return str(model.invoke([*([("system", system)] if system else []), ("human", user)]).text)

    return ask


def _told(what: str) -> None:
    typer.echo(f"trying {what}", err=True)


def _print(found: Condensed) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.compression.condense.coverage import Status

    best = found.frontier()
    table = Table(
        "prompt", "tokens", "losses", "wins", "drop at most", "rules changed", "rules lost", title_justify="left"
    )
    table.title = f"On {found.candidates[0].score.cases} cases; * is beaten by no other. Asked twice, {found.noise} answers differ"
    for one in found.candidates:
        score, covered = one.score, one.coverage
        table.add_row(
            Text(one.name + (" *" if one in best else "")),
            f"{one.tokens:,}",
            str(score.losses),
            str(score.wins),
            f"{score.drop_at_most:.1%}",
            str(len(covered.of("changed"))),
            str(len(covered.of("lost"))),
        )
    Console().print(table)
    shown = found.best or found.candidates[-1]
    statuses: tuple[Status, ...] = ("lost", "changed")
    for status in statuses:
        for rule, _, _, missing in shown.coverage.of(status):
            typer.echo(f"{status}: {rule.text}" + (f"  (lacks {', '.join(missing)})" if missing else ""))


def _figures(found: Condensed) -> dict[str, Any]:
    best = found.best
    return {
        "cases": found.candidates[0].score.cases,
        "tokens_before": found.candidates[0].tokens,
        "tokens_after": best.tokens if best else found.candidates[0].tokens,
        "drop_at_most": best.score.drop_at_most if best else 0.0,
        "noise": found.noise,
        "rules_changed": len(best.coverage.of("changed")) if best else 0,
        "rules_lost": len(best.coverage.of("lost")) if best else 0,
    }
