"""``mlimages cooccur``: co-occurrence counts, and rules derived from them: written, evaluated and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlimages.cli.options import Engine, EngineOption, Json, Workers, load_hierarchy
from mlimages.cli.progress import tell_of_compiling

app = typer.Typer(help="Count which categories a teacher sees together, and derive rules.", no_args_is_help=True)

_Hierarchy = Annotated[
    str, typer.Option(help="The categories: a name such as ml-images, a path, or the folder of a table.")
]
_Keys = Annotated[Path | None, typer.Option(metavar="FILE", help="Only these categories: keys, one per line.")]
_MinImages = Annotated[int, typer.Option(min=1, help="Sources with fewer images give no rule.")]
_Counts = Annotated[Path, typer.Argument(metavar="COUNTS", help="What mlimages cooccur count wrote.")]


@app.command()
def count(
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="The folder of an annotation table.")],
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="The folder of a table of predictions.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to: .npz for scipy, else Parquet.")],
    teacher_threshold: Annotated[float, typer.Option(help="Labels with a score above this count as seen.")] = 0.95,
    sources: _Keys = None,
    targets: _Keys = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="Count only labels of this origin, such as given; may be repeated.")
    ] = None,
    among_targets: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also count pairs of the teacher's own categories, into this.")
    ] = None,
    workers: Workers = None,
    engine: EngineOption = Engine.LOCAL,
) -> None:
    """Count over a table of annotations and one of predictions, joined by image."""
    tell_of_compiling()
    from mlimages.annotate import Origin
    from mlimages.annotate.cooccurrence.counts import Cooccurrence
    from mlimages.annotate.tables.predictions import PredictionTable
    from mlimages.errors import MlimagesError

    known = {each.name.lower(): each for each in Origin}
    unknown = [each for each in origin or [] if each not in known]
    if unknown:
        raise MlimagesError(f"--origin {unknown[0]}: expected one of {', '.join(known)}")
    predicted = PredictionTable.open(predictions)
    hierarchy = predicted.hierarchy
    files = {"sources": sources, "targets": targets}
    axes = {name: None if file is None else _read_keys(file) for name, file in files.items()}
    counted = Cooccurrence.count(
        annotations,
        predicted,
        hierarchy=hierarchy,
        teacher_threshold=teacher_threshold,
        origins=[known[each] for each in origin] if origin else None,
        engine=engine.value,
        workers=workers,
        sources=axes["sources"],
        targets=axes["targets"],
    )
    _save(counted, out)
    if among_targets is not None:
        both = {} if targets is None else {"sources": axes["targets"], "targets": axes["targets"]}
        options = {"teacher_threshold": teacher_threshold, "engine": engine.value, "workers": workers, **both}
        _save(Cooccurrence.among_predictions(predicted, **options), among_targets)


@app.command()
def merge(
    counts: Annotated[list[Path], typer.Argument(metavar="COUNTS...", help="Counts of different images.")],
    hierarchy: _Hierarchy,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to: .npz for scipy, else Parquet.")],
) -> None:
    """Add up counts of different images, exactly."""
    from functools import reduce
    from operator import add

    tell_of_compiling()
    from mlimages.annotate.cooccurrence.counts import Cooccurrence

    loaded = load_hierarchy(hierarchy)
    _save(reduce(add, (Cooccurrence.load(path, hierarchy=loaded) for path in counts)), out)


@app.command()
def rules(
    counts: _Counts,
    hierarchy: _Hierarchy,
    out: Annotated[Path, typer.Option(metavar="CSV", help="Where to; the file may be edited by hand.")],
    min_probability: Annotated[float, typer.Option(help="p must be above this.")] = 0.5,
    min_images: _MinImages = 1,
    related: Annotated[
        bool, typer.Option("--related", help="Keep pairs in which one is an ancestor of the other.")
    ] = False,
    top: Annotated[int, typer.Option(min=0, help="Number of the strongest rules to print.")] = 10,
) -> None:
    """Write the rules of counts: i -> j where the teacher sees j on most images of i."""
    tell_of_compiling()
    from mlimages.annotate.cooccurrence.counts import Cooccurrence
    from mlimages.annotate.propagation.rules import write_rules
    from mlimages.cli.output import print_table

    counted = Cooccurrence.load(counts, hierarchy=load_hierarchy(hierarchy))
    frame = counted.rules(min_probability=min_probability, min_images=min_images, exclude_related=not related)
    write_rules(frame, out)
    sources = frame["source"].nunique()
    typer.echo(f"{out}: {len(frame):,} rules of {sources:,} sources", err=True)
    shown = frame.head(top)[["source", "source_name", "target", "target_name", "p", "images"]]
    if len(shown):
        printed = shown.assign(p=shown["p"].map("{:.3f}".format))
        records = [dict(zip(printed.columns, row, strict=True)) for row in printed.itertuples(index=False)]
        print_table(records, list(printed.columns), free=["source_name", "target_name"])


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(metavar="RULES", help="A rules CSV, or counts, for all their rules.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="A held-out annotation table with all labels.")],
    annotations: Annotated[
        Path | None, typer.Option(help="Apply the rules to this table of the same images, not to the truth.")
    ] = None,
    unlisted: Annotated[str, typer.Option(help="Labels that the truth does not list are wrong, or unknown.")] = "wrong",
    min_images: _MinImages = 1,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the curves into this file.")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate rules by threshold: precision and recall of what they add."""
    tell_of_compiling()
    from mlimages.annotate import AnnotationTable
    from mlimages.annotate.cooccurrence.counts import Cooccurrence
    from mlimages.annotate.inspect.judgement import evaluate_rules
    from mlimages.cli.output import print_json, without_nan

    table = AnnotationTable.open(truth)
    judged = evaluate_rules(
        source if source.suffix.lower() == ".csv" else Cooccurrence.load(source, hierarchy=table.hierarchy),
        table,
        annotations=annotations,
        unlisted=unlisted,  # type: ignore[arg-type]
        min_images=min_images,
    )
    best = judged.best()
    if as_json:
        rows = [{name: without_nan(value) for name, value in row.items()} for row in judged.at().to_dict("records")]
        summary = {"images": judged.images, "could": judged.could, "best_threshold": without_nan(best)}
        print_json({**summary, "thresholds": rows})
    else:
        typer.echo(repr(judged))
        if best == best:
            typer.echo(f"greatest f1: p above {best:.4f}")
    if plot is not None:
        judged.save_figure(plot)
        typer.echo(f"{plot}: precision and recall by threshold", err=True)


@app.command()
def draw(
    rules_csv: Annotated[Path, typer.Argument(metavar="RULES", help="A rules CSV.")],
    hierarchy: _Hierarchy,
    out: Annotated[Path, typer.Option(metavar="HTML", help="The page to write.")],
    root: Annotated[str | None, typer.Option(help="Only rules whose source is this category (a key) or below.")] = None,
    kind: Annotated[str, typer.Option(help="heatmap or network.")] = "heatmap",
    top: Annotated[int, typer.Option(min=1, help="Rules to draw, at most.")] = 40,
) -> None:
    """Draw the strongest rules as an interactive page."""
    tell_of_compiling()
    from mlimages.annotate.propagation.rules import read_rules
    from mlimages.storage.files import replacing

    loaded = load_hierarchy(hierarchy)
    figure = loaded.draw_rules(read_rules(rules_csv, loaded), root, kind=kind, top=top)
    with replacing(out) as file:
        file.write(figure.to_html(include_plotlyjs=True).encode())
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB", err=True)


def _read_keys(path: Path) -> list[str]:
    """Read a file of keys, one per line."""
    from mlimages.hierarchy.text import read_lines

    return [line for _, line in read_lines(path.read_bytes(), path=path)]


def _save(counted: object, out: Path) -> None:
    from mlimages.annotate.cooccurrence.counts import Cooccurrence

    assert isinstance(counted, Cooccurrence)
    counted.save(out)
    typer.echo(
        f"{out}: {counted.counts.nnz:,} pairs of {len(counted.sources):,} sources and {len(counted.targets):,} targets "
        f"on {counted.total:,} images",
        err=True,
    )
    without = ("annotated images without predictions", "predictions of no annotated image")
    for number, what in zip(counted.unmatched, without, strict=True):
        if number:
            typer.echo(f"  {what}: {number:,}, not counted", err=True)
