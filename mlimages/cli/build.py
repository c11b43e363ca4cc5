"""``mlimages build``: every step from label lists to final tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlimages.cli.output import is_first_rank


def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The configuration; see docs/build.toml.")],
) -> None:
    """Build the whole dataset; finished steps are skipped. torchrun -m mlimages build ... distributes the teacher."""
    from mlimages.cli.progress import job_progress, tell_of_compiling

    tell_of_compiling()
    from mlimages.build import BuildConfig
    from mlimages.build import build as run

    known = BuildConfig.from_toml(config)
    with job_progress(f"build {known.out}", resumable=False):
        path = run(known, report=lambda name, what: typer.echo(f"{name}: {what}"))
    if is_first_rank():
        typer.echo(str(path))
