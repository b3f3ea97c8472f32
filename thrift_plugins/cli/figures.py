"""Options of the commands that measure something: files that can be written, known before the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from thrift_plugins.errors import ConfigError


def writable(option: str) -> Callable[[Path | None], Path | None]:
    """A check of a file that an option names."""

    def check(file: Path | None) -> Path | None:
        if file is not None and file.is_dir():
            raise ConfigError(f"{option} {file}: is a folder, not a file")
        if file is not None and not file.parent.is_dir():
            raise ConfigError(f"{option} {file}: no such folder as {file.parent}")
        return file

    return check


JsonFile: TypeAlias = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file.", callback=writable("--json"))
]
MarkdownFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--markdown", help="Write it as Markdown, for a pull request.", callback=writable("--markdown")),
]


def write_figures(file: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, over what is there, whole or not at all, for its owner alone."""
    import orjson

    from thrift_plugins.report.files import whole

    with whole(file) as opened:
        opened.write(orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_text(file: Path, text: str) -> None:
    """Write a text, whole or not at all, for its owner alone."""
    from thrift_plugins.report.files import whole

    with whole(file) as opened:
        opened.write(text.encode("utf-8", "backslashreplace"))
