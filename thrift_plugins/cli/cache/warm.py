"""`thrift-plugins cache warm`: recorded questions and answers, kept as the app itself would have kept them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.cli.cache.opened import Json, tell

if TYPE_CHECKING:
    from thrift_plugins.upkeep.warm import Warmable


def warm(
    trace: Annotated[Path, typer.Argument(help="Questions and answers: a trace, .jsonl or .jsonl.gz.")],
    app: Annotated[
        str, typer.Option(help="The app's own wrapped model, as module:name. Its settings are part of the key.")
    ],
    as_json: Json = False,
) -> None:
    """Keep a trace's answers in the store of the app's model, under its own keys and by its own policy. Nobody is asked."""
    from thrift_plugins.replay import Trace
    from thrift_plugins.upkeep.warm import warm_up

    done = warm_up(_model(app), Trace(trace))
    facts = {"kept": done.kept, "known": done.known, "not_kept": done.not_kept, "not_recorded": done.not_recorded}
    words = (
        f"{done.kept:,} answers kept; {done.known:,} were there already, {done.not_kept:,} may not be kept, "
        f"{done.not_recorded:,} have no recorded answer of the model that would be asked."
    )
    tell(facts, words, as_json=as_json)


def _model(path: str) -> Warmable:
    """The wrapped model that `module:name` names.

    Raises:
        ConfigError: there is none.
    """
    import sys

    from thrift_plugins.errors import ConfigError
    from thrift_plugins.upkeep.warm import Warmable

    module, _, name = path.partition(":")
    sys.path.insert(0, "")  # the app's own folder, as `python -m` has it
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"--app {path}: {error}; give module:name of a ThriftChatModel or ThriftLLM") from error
    finally:
        sys.path.remove("")
    if not isinstance(found, Warmable):
        raise ConfigError(f"--app {path}: is a {type(found).__name__}, not a ThriftChatModel or ThriftLLM")
    return found
