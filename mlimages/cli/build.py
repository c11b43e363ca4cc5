"""``mlimages build``: every step from label lists to final tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlimages.cli.output import is_first_rank


def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to make of what; see docs/build.toml.")],
) -> None:
    """Make the whole data set; steps that are done are skipped. torchrun -m mlimages build ... shares the teacher."""
    from mlimages.cli.progress import job_progress, tell_of_compiling

    tell_of_compiling()
    from mlimages.build import BuildConfig
    from mlimages.build import build as run

    known = BuildConfig.from_toml(config)
    with job_progress(f"build {known.out}", resumable=False):
        path = run(known, report=lambda name, what: typer.echo(f"{name}: {what}"))
    if is_first_rank():
        typer.echo(str(path))
