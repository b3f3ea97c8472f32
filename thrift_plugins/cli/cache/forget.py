"""`thrift-plugins cache forget` and `clear`."""

from __future__ import annotations

from typing import Annotated

import typer

from thrift_plugins.cli.cache.opened import ConfigFile, Json, StoreUrl, settings, store_of, tell


def forget(
    key: Annotated[str | None, typer.Option(help="The address of one answer.")] = None,
    tag: Annotated[str | None, typer.Option(help="Answers with this tag of the app's own.")] = None,
    feature: Annotated[str | None, typer.Option(help="Answers of this feature.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Answers of this tenant; '' for calls that name none.")] = None,
    config: ConfigFile = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Forget answers: one by its key, or all with a tag, of a feature, of a tenant; a tenant narrows the other two.

    An answer that is on its way meanwhile is not kept either.
    """
    from thrift_plugins.forgetting import Forgetting

    chosen = Forgetting(key=key, tag=tag, feature=feature, tenant=tenant)
    with store_of(settings(config).store if store is None else store) as opened:
        count = chosen.apply(opened)
    words = "Forgotten." if count is None else f"{count:,} answer{'' if count == 1 else 's'} forgotten."
    tell({"forgotten": count}, words, as_json=as_json)


def clear(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Forget every answer of every tenant in the store."""
    if not yes:
        typer.confirm("Forget every answer of every tenant?", abort=True, err=True)
    with store_of(settings(config).store if store is None else store) as opened:
        opened.clear()
    tell({"cleared": True}, "Cleared.", as_json=as_json)
