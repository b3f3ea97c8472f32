"""`thrift-plugins compress`: calibrate the risk of compression on your own examples, and train a ranker on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrift_plugins.cli.figures import JsonFile, write_figures

compress = typer.Typer(name="compress", no_args_is_help=True, help="Calibrate and train prompt compression.")

Examples = Annotated[
    Path,
    typer.Argument(help="JSON lines with `question`, `passages` or `transcript`, and `answers`, `needed` or `cited`."),
]
RankerFile = Annotated[Path | None, typer.Option("--ranker", help="A ranker that `compress train` has made.")]
Encoder = Annotated[Path | None, typer.Option(help="Folder of a sentence encoder in ONNX form, where the app uses one.")]


@compress.command()
def calibrate(
    examples: Examples,
    ranker: RankerFile = None,
    encoder: Encoder = None,
    risk: Annotated[float, typer.Option(help="The risk to show the promise for.")] = 0.02,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("calibration.json"),
    json_file: JsonFile = None,
) -> None:
    """Learn how much of a context may go so that what an answer needs is lost no more often than a stated risk."""
    from thrift_plugins.compression.calibrating import calibrated
    from thrift_plugins.compression.labelled import labelled
    from thrift_plugins.compression.opened import extractor_of

    extractor = extractor_of(str(ranker or ""), str(encoder or ""))
    made = calibrated(labelled(examples), extractor)
    promise = made.promise(risk)
    made.save(out)
    typer.echo(
        f"{promise.examples:,} examples. At risk {risk:g}, {promise.lost} of them lose what they need; the risk is {promise.low:.1%} to "
        f"{promise.high:.1%} with 95 % confidence, and at most {risk:g} in the mean.\n"
        f'Written to {out}. Put it to use: [compression] enabled = true, risk = {risk:g}, calibration = "{out}".'
    )
    if json_file is not None:
        write_figures(json_file, promise._asdict())


@compress.command()
def train(
    examples: Examples,
    encoder: Encoder = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("ranker.json"),
) -> None:
    """Teach a ranker what your questions need, beginning with the shipped one. The file holds weights, and no text."""
    from thrift_plugins.compression.calibrating import trained
    from thrift_plugins.compression.labelled import labelled
    from thrift_plugins.compression.opened import extractor_of
    from thrift_plugins.errors import ConfigError

    embedder = extractor_of(encoder=str(encoder or "")).embedder
    known = list(labelled(examples))
    try:
        made = trained(known, embedder=embedder, note=f"{len(known):,} examples of the app's own")
    except ValueError as error:
        raise ConfigError(f"{examples}: {error}") from error
    out.write_text(made.dump(), encoding="utf-8")
    typer.echo(f'Written to {out}. Calibrate with it, and put it to use: [compression] ranker = "{out}".')
