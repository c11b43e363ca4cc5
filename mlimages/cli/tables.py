"""The commands for annotation tables: inspect, check, and derive others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlimages.cli.options import Engine, EngineOption, Json, Resume, Workers
from mlimages.cli.output import print_json, print_table
from mlimages.cli.progress import running, tell_of_compiling

if TYPE_CHECKING:
    from mlimages import AnnotationTable
    from mlimages.images.packed.reading import PackedImages
    from mlimages.storage.manifest import Manifest

app = typer.Typer()

_Table = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of an annotation table.")]
_Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new table, new or empty.")]


@app.command()
def stats(
    table: _Table,
    trainable_over: Annotated[int, typer.Option(min=0, help="A category with more images is trainable.")] = 100,
    top: Annotated[int, typer.Option(min=0, help="Number of categories with most images to print.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write the figures; DIR-statistics by default.")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Write the two figures as PNG, and all categories as CSV.")] = True,
    html: Annotated[bool, typer.Option("--html", help="Write the figures as interactive pages too.")] = False,
    engine: EngineOption = Engine.LOCAL,
    as_json: Json = False,
) -> None:
    """Count images, categories and labels; write the figures beside the table."""
    tell_of_compiling()
    from mlimages.annotate import statistics
    from mlimages.errors import MlimagesError

    if not pictures and (html or out is not None):
        raise MlimagesError("--no-pictures writes nothing: leave out --html and --out")
    counted = statistics(table, trainable_over=trainable_over, engine=engine.value)
    columns = ["key", "name", "images", "subtree_images"]
    first = counted.per_category.sort_values("images", ascending=False, kind="stable")[columns].head(top)
    rows = first.to_dict("records")
    if as_json:
        print_json({**counted.to_dict(), **({"top": rows} if top else {})})
    else:
        typer.echo(repr(counted))
        for origin, count in counted.by_origin.items():
            if count:
                typer.echo(f"  labels, {origin}: {count:,}")
        if absent := int(counted.absent.sum()):
            typer.echo(f"  of them verified absent: {absent:,}")
        if rows:
            typer.echo()
            print_table(rows, columns, free=["name"])
    if pictures:
        folder = out if out is not None else table.resolve().with_name(f"{table.resolve().name}-statistics")
        written = counted.save_figures(folder, html=html)
        counted.per_category.to_csv(folder / "categories.csv", lineterminator="\n")
        typer.echo(f"{folder}: {', '.join(path.name for path in written)}, categories.csv", err=True)


@app.command()
def explain(
    table: _Table,
    image: Annotated[str, typer.Argument(help="Name of the image, as the table has it.")],
    as_json: Json = False,
) -> None:
    """List the labels of an image and what each derives from."""
    tell_of_compiling()
    from mlimages.annotate import explain as explain_image

    explanation = explain_image(table, image)
    if as_json:
        print_json(explanation.to_dict())
        return
    rows = explanation.to_dict()["labels"]
    for row in rows:
        row["confidence"] = "absent" if row["confidence"] == 0 else f"{row['confidence']:g}"
    typer.echo(f"{image}: {len(rows)} label{'s' if len(rows) != 1 else ''}")
    print_table(rows, ["category", "name", "confidence", "origin", "because"], free=["name", "because"])


@app.command("audit-labels")
def audit_labels(
    source: Annotated[list[str], typer.Argument(help="The folder of a table, or label lists (patterns allowed).")],
    hierarchy: Annotated[
        str | None, typer.Option(help="The categories of a list: a name such as ml-images, or a path.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Examples of each problem to print; --out has up to 1,000.")] = 3,
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="Write the examples into this CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Find labels that are not closed, not monotone, unknown or repeated."""
    tell_of_compiling()
    from mlimages.annotate import audit_labels as audit

    found = audit(source[0] if len(source) == 1 else list(source), hierarchy, examples=max(examples, 1000))
    if out is not None:
        found.table.to_csv(out, index=False, lineterminator="\n")
    shown = found.table.groupby("problem", sort=False).head(examples).to_dict("records")
    if as_json:
        print_json({**found.to_dict(), "examples": shown})
        return
    typer.echo(f"{found.rows:,} rows, {found.labels:,} labels: {'clean' if found.clean else 'problems found'}")
    counts = [{"problem": problem, **count} for problem, count in found.summary.items()]
    print_table(counts, ["problem", "rows", "labels"])
    if shown:
        typer.echo()
        print_table(shown, ["image", "problem", "category", "detail"], free=["image", "detail"])


@app.command()
def merge(
    tables: Annotated[list[Path], typer.Argument(metavar="DIR DIR...", help="The tables, at least two.")],
    out: _Out,
    workers: Workers = None,
    engine: EngineOption = Engine.LOCAL,
    resume: Resume = False,
) -> None:
    """Merge tables into one; an image that is in several gets the labels of all."""
    tell_of_compiling()
    from mlimages.annotate import merge as merge_tables

    with running(f"merge to {out}", engine=engine, workers=workers, resume=resume) as how:
        made = merge_tables(tables, out, **how)
    _print_made(made)


@app.command()
def split(
    table: _Table,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the tables train and validation.")],
    validation: Annotated[str, typer.Option(help="The share of the images for validation, or how many.")] = "0.1",
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same split.")] = 0,
    workers: Workers = None,
    engine: EngineOption = Engine.LOCAL,
    resume: Resume = False,
) -> None:
    """Split images into training and validation sets, stratified by category."""
    tell_of_compiling()
    from mlimages.annotate import split as split_table
    from mlimages.errors import MlimagesError

    try:
        share = int(validation) if validation.isascii() and validation.isdigit() else float(validation)
    except ValueError:
        raise MlimagesError(f"--validation {validation}: expected a share such as 0.1 or a number of images") from None
    with running(f"split to {out}", engine=engine, workers=workers, resume=resume) as how:
        made = split_table(table, out, validation=share, seed=seed, **how)
    for each in made:
        _print_made(each)


@app.command("filter")
def filter_(
    table: _Table,
    out: _Out,
    category: Annotated[
        list[str] | None, typer.Option(help="Keep images that carry this one (a key or an index); repeatable.")
    ] = None,
    match_all: Annotated[bool, typer.Option("--all", help="Keep images that carry every --category.")] = False,
    restrict: Annotated[
        list[str] | None, typer.Option(help="Keep only the labels of this category; repeatable.")
    ] = None,
    min_confidence: Annotated[float | None, typer.Option(help="Drop present labels that are less confident.")] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="Keep only labels of this origin, such as given; repeatable.")
    ] = None,
    keep_empty: Annotated[bool, typer.Option("--keep-empty", help="Keep images without remaining labels.")] = False,
    workers: Workers = None,
    engine: EngineOption = Engine.LOCAL,
    resume: Resume = False,
) -> None:
    """Keep some labels, and the images that carry certain categories."""
    from mlimages import AnnotationTable

    tell_of_compiling()
    from mlimages.annotate import filter as filter_table
    from mlimages.errors import MlimagesError

    if match_all and not category:
        raise MlimagesError("--all goes with --category: name at least one")
    opened = AnnotationTable.open(table)
    with running(f"filter to {out}", engine=engine, workers=workers, resume=resume) as how:
        made = filter_table(
            opened,
            out,
            categories=_categories(opened, category),
            match="all" if match_all else "any",
            restrict=_categories(opened, restrict),
            min_confidence=min_confidence,
            origins=origin or None,
            keep_empty=keep_empty,
            **how,
        )
    _print_made(made)


@app.command()
def subset(
    table: _Table,
    images: Annotated[Path, typer.Option(metavar="FILE", help="One name per line; an image list is accepted.")],
    out: _Out,
    workers: Workers = None,
    engine: EngineOption = Engine.LOCAL,
    resume: Resume = False,
) -> None:
    """Keep the images that a file names."""
    tell_of_compiling()
    from mlimages.annotate import subset as subset_table

    with running(f"subset to {out}", engine=engine, workers=workers, resume=resume) as how:
        made = subset_table(table, out, images=images, **how)
    _print_made(made)
    if missing := made.manifest.options["not_found"]:
        typer.echo(f"  not in the table: {missing:,} of {made.manifest.options['images']:,} names")


@app.command()
def export(
    table: _Table,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file; .gz and .zst are compressed.")],
    form: Annotated[
        str | None,
        typer.Option("--format", help="list, csv or croissant; by default by suffix (.csv, .json)."),
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="In a list, write keys in place of indices.")] = False,
    workers: Workers = None,
    engine: EngineOption = Engine.LOCAL,
) -> None:
    """Write a table as the published text list, as CSV or as Croissant metadata."""
    tell_of_compiling()
    from mlimages.annotate import export as export_table

    chosen: Any = form  # one of the formats, or refused by name
    written = export_table(table, out, format=chosen, keys=keys, engine=engine.value, workers=workers)
    typer.echo(f"{out}: {written.images:,} images, {out.stat().st_size:,} bytes")
    if written.left_out:
        typer.echo(f"  images without a label, left out: {written.left_out:,}")


@app.command()
def verify(
    tables: Annotated[list[Path], typer.Argument(metavar="DIR...", help="The folders of annotation tables.")],
    content: Annotated[
        bool, typer.Option("--content", help="Read all rows too: list the first bad row of each part.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the parts of tables against the hashes in their manifests; exit 1 if any differs."""
    from mlimages.storage.manifest import Manifest
    from mlimages.storage.verify import verify_parts

    results: list[dict[str, Any]] = []
    for table in tables:
        manifest = Manifest.read(table)
        problems = verify_parts(table)
        if content:
            problems += [each for each in _content_problems(table, manifest) if each not in problems]
        results.append({"table": str(table), "parts": len(manifest.parts), "problems": problems})
    if as_json:
        print_json(results)
    else:
        for result in results:
            for problem in result["problems"]:
                typer.echo(problem)
            state = f"{len(result['problems'])} problems" if result["problems"] else "as the manifest says"
            typer.echo(f"{result['table']}: {result['parts']} parts, {state}")
    if any(result["problems"] for result in results):
        raise typer.Exit(1)


def _content_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """The first problem of each invalid part of a table; none for a folder of another kind."""
    from mlimages.annotate.tables.annotations import AnnotationTable
    from mlimages.annotate.tables.predictions import PREDICTIONS, PredictionTable
    from mlimages.errors import MlimagesError
    from mlimages.images.packed.reading import read
    from mlimages.images.packed.writing import PACKED
    from mlimages.storage.manifest import MANIFEST

    openers: dict[Any, Callable[[Path], AnnotationTable | PredictionTable | PackedImages]] = {
        None: AnnotationTable.open,
        PREDICTIONS: PredictionTable.open,
        PACKED: read,
    }
    kind = manifest.metadata.get("content")
    if kind in ("download", "image fingerprints", "TFRecord shards"):
        return
    if not isinstance(kind, str | None) or kind not in openers:
        yield f"{folder / MANIFEST}: found content {kind!r}, which is none that mlimages writes"
        return
    try:
        yield from openers[kind](folder).problems()
    except MlimagesError as error:
        yield str(error).partition("; mlimages verify")[0]


def _categories(table: AnnotationTable, named: list[str] | None) -> list[int] | None:
    """Indices of categories given by key or by index."""
    if not named:
        return None
    hierarchy = table.hierarchy
    return [
        hierarchy.index(int(each) if each not in hierarchy and each.isascii() and each.isdigit() else each)
        for each in named
    ]


def _print_made(table: AnnotationTable) -> None:
    typer.echo(f"{table.folder}: {len(table):,} images in {len(table.manifest.parts)} parts")
    for name, count in table.manifest.counts.items():
        typer.echo(f"  {name.replace('_', ' ')}: {count:,}")
