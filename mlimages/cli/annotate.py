"""``mlimages annotate``: label lists into an annotation table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def annotate(
    lists: Annotated[list[str], typer.Argument(help="Label lists: files, or patterns such as 'lists/*.txt.gz'.")],
    hierarchy: Annotated[str, typer.Option(help="The categories: a name such as ml-images or imagenet-1k, or a path.")],
    out: Annotated[Path, typer.Option(help="Folder of the table, new or empty.")],
    propagation: Annotated[
        str, typer.Option(help="What labels bring: default, published, parent or none.")
    ] = "default",
    form: Annotated[str, typer.Option("--format", help="What the files are: list, imagenet or open-images.")] = "list",
    on_error: Annotated[str, typer.Option(help="Bad rows: raise ends the job, quarantine keeps them aside.")] = "raise",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; as many as there are cores by default.")] = None,
    engine: Annotated[str, typer.Option(help="Where the work is done: local or ray.")] = "local",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted job stopped.")] = False,
) -> None:
    """Regenerate annotations: add to every image what its labels bring."""
    from mlimages.annotate.pipeline import annotate as run
    from mlimages.cli.progress import job_progress

    with job_progress(f"annotate to {out}", resumable=True) as progress:
        table = run(
            list(lists),
            hierarchy,
            out=out,
            propagation=propagation,
            format=form,  # type: ignore[arg-type]
            on_error=on_error,  # type: ignore[arg-type]
            workers=workers,
            engine=engine,  # type: ignore[arg-type]
            resume=resume,
            progress=progress,
        )
    counts = table.manifest.counts
    size = sum(part.bytes for part in table.manifest.parts)
    typer.echo(f"{out}: {len(table):,} images, {size:,} bytes in {len(table.manifest.parts)} parts")
    for name, count in counts.items():
        typer.echo(f"  {name.replace('_', ' ')}: {count:,}")
    if counts.get("quarantined"):
        typer.echo(f"  the quarantined rows and why: {out / 'quarantine'}")
