"""``mlimages annotate``: an annotation table from label lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlimages.cli.options import Resume, Workers


def annotate(
    lists: Annotated[list[str], typer.Argument(help="Label lists: files, or patterns such as 'lists/*.txt.gz'.")],
    hierarchy: Annotated[str, typer.Option(help="The categories: a name such as ml-images or imagenet-1k, or a path.")],
    out: Annotated[Path, typer.Option(help="Folder of the table, new or empty.")],
    propagation: Annotated[str, typer.Option(help="Propagation: default, published, parent or none.")] = "default",
    rules: Annotated[
        Path | None, typer.Option(help="Co-occurrence rules, a CSV: they add what usually occurs with a category.")
    ] = None,
    rule_confidence: Annotated[
        str, typer.Option(help="Confidence of what rules add: one, as published, or p, the rule's probability.")
    ] = "one",
    form: Annotated[str, typer.Option("--format", help="What the files are: list, imagenet or open-images.")] = "list",
    on_error: Annotated[str, typer.Option(help="Bad rows: raise ends the job, quarantine sets them aside.")] = "raise",
    workers: Workers = None,
    engine: Annotated[str, typer.Option(help="Where the work is done: local or ray.")] = "local",
    resume: Resume = False,
    absent: Annotated[
        str, typer.Option(help="Verified absences: keep, or descendants to apply them to these too.")
    ] = "keep",
    unmapped: Annotated[
        str | None,
        typer.Option(help="imagenet: unknown synsets: drop (and count), or map to the nearest ancestor."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="imagenet: the order of class numbers: the development kit's meta.mat, or synsets in a text."
        ),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="open-images: a CSV label,key; the rows of all other labels are removed.")
    ] = None,
    images_csv: Annotated[
        list[Path] | None,
        typer.Option(help="open-images: name the images by their URLs in this images CSV; may be repeated."),
    ] = None,
    class_descriptions: Annotated[
        Path | None, typer.Option(help="open-images: the names of labels, for removed_labels.csv.")
    ] = None,
) -> None:
    """Regenerate annotations: add to every image the labels that its own imply."""
    from dataclasses import replace

    from mlimages.cli.progress import running, tell_of_compiling

    tell_of_compiling()
    from mlimages.annotate import Propagation
    from mlimages.annotate.pipeline import annotate as run

    with running(f"annotate to {out}", engine=engine, workers=workers, resume=resume) as how:
        table = run(
            list(lists),
            hierarchy,
            out=out,
            propagation=replace(Propagation.named(propagation), absent=absent),  # type: ignore[arg-type]
            rules=rules,
            rule_confidence=rule_confidence,  # type: ignore[arg-type]
            format=form,  # type: ignore[arg-type]
            on_error=on_error,  # type: ignore[arg-type]
            **how,
            unmapped=unmapped,
            classes=classes,
            mapping=mapping,
            images_csv=images_csv or None,
            class_descriptions=class_descriptions,
        )
    counts = table.manifest.counts
    size = sum(part.bytes for part in table.manifest.parts)
    typer.echo(f"{out}: {len(table):,} images, {size:,} bytes in {len(table.manifest.parts)} parts")
    synsets = {name: count for name, count in counts.items() if name.startswith("unmapped ")}
    for name, count in counts.items():
        if name not in synsets:
            typer.echo(f"  {name.replace('_', ' ')}: {count:,}")
    shown = sorted(synsets, key=lambda name: (-synsets[name], name))[:10]
    for name in shown:
        typer.echo(f"    {name.removeprefix('unmapped ')}: {synsets[name]:,}")
    if len(synsets) > len(shown):
        typer.echo(f"    and {len(synsets) - len(shown):,} more synsets, see {out / 'manifest.json'}")
    if counts.get("removed_rows"):
        typer.echo(f"  the removed labels: {out / 'removed_labels.csv'}")
    if counts.get("quarantined"):
        typer.echo(f"  the quarantined rows and why: {out / 'quarantine'}")
