"""The `--json` option of the commands that measure something: a file that can be written, known before the work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from thrift_plugins.errors import ConfigError


def _writable(file: Path | None) -> Path | None:
    if file is not None and file.is_dir():
        raise ConfigError(f"--json {file}: is a folder, not a file")
    if file is not None and not file.parent.is_dir():
        raise ConfigError(f"--json {file}: no such folder as {file.parent}")
    return file


JsonFile: TypeAlias = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file.", callback=_writable)
]


def write_figures(file: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, over what is there."""
    import orjson

    file.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
