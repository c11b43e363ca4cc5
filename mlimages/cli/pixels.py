"""``mlimages extract``, ``duplicates``, ``pack`` and ``tfrecord``: image files and containers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mlimages.cli.options import Engine, EngineOption, load_hierarchy
from mlimages.cli.progress import running

tfrecord_app = typer.Typer(help="Write and read TFRecord shards.", no_args_is_help=True)

_Workers = Annotated[int | None, typer.Option(min=1, help="Number of workers; as many as cores by default.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")]


class OnMissing(StrEnum):
    """How to treat a row whose image has no file."""

    RAISE = "raise"
    SKIP = "skip"


class OnError(StrEnum):
    """How to treat an image that cannot be decoded."""

    RAISE = "raise"
    QUARANTINE = "quarantine"


def extract(
    source: Annotated[str, typer.Argument(help="ImageNet: a tar of per-synset tars, one of these, or a folder.")],
    ids: Annotated[str, typer.Argument(help="List of ids, or an image list: the first column is read.")],
    out: Annotated[str, typer.Option(help="Folder for n01440764/n01440764_10026.JPEG and missing.txt.")],
    workers: _Workers = None,
) -> None:
    """Extract the images that a list names from the ImageNet database."""
    from mlimages.images.imagenet import MISSING, read_ids
    from mlimages.images.imagenet import extract as extract_images

    done = extract_images(source, read_ids(ids), out, workers=workers)
    missing = f", {len(done.missing):,} missing: see {out}/{MISSING}" if done.missing else ""
    typer.echo(f"{out}: {done.extracted:,} images extracted, {done.already_there:,} were there{missing}")


def duplicates(
    source: Annotated[str, typer.Argument(metavar="DIR", help="A folder of images, or packed images.")],
    out: Annotated[str, typer.Option(help="Folder for the fingerprints and groups.parquet.")],
    threshold: Annotated[int, typer.Option(help="Bits of 64 in which hashes of near duplicates may differ.")] = 4,
    exact: Annotated[bool, typer.Option("--exact", help="Only images with equal pixels.")] = False,
    merge: Annotated[str | None, typer.Option(help="Write the labels without duplicates to this folder.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Annotation table of the images; packed images have their own.")
    ] = None,
    hierarchy: Annotated[str | None, typer.Option(help="For --merge; the table's own by default.")] = None,
    workers: _Workers = None,
    engine: EngineOption = Engine.LOCAL,
    resume: _Resume = False,
) -> None:
    """Find duplicate images; with --merge keep one of each group."""
    from mlimages.errors import MlimagesError
    from mlimages.images.duplicates.groups import GROUPS, UNREADABLE, find_duplicates
    from mlimages.images.duplicates.merge import DROPPED, merge_duplicates

    if merge is None and (labels is not None or hierarchy is not None):
        raise MlimagesError("--labels and --hierarchy are for --merge FOLDER: say where to, or leave them out")
    with running("fingerprints", engine=engine, workers=workers, resume=resume) as how:
        found = find_duplicates(source, out, threshold=None if exact else threshold, **how)
    unreadable = f", {found.unreadable:,} unreadable: see {out}/{UNREADABLE}" if found.unreadable else ""
    typer.echo(
        f"{out}/{GROUPS}: {found.groups:,} groups, {found.surplus:,} of {found.images:,} images surplus{unreadable}"
    )
    if merge is not None:
        chosen = None if hierarchy is None else load_hierarchy(hierarchy)
        done = merge_duplicates(labels or source, out, merge, hierarchy=chosen, resume=resume)
        typer.echo(f"{merge}: {done.rows_after:,} of {done.rows_before:,} rows, the others in {merge}/{DROPPED}")


def pack(
    table: Annotated[str, typer.Argument(help="An annotation table; or packed images, to repack.")],
    out: Annotated[str, typer.Option(help="A new or empty folder.")],
    images: Annotated[str | None, typer.Option(help="Folder of the images that the table names.")] = None,
    row_group_mib: Annotated[int, typer.Option(min=1, help="Image bytes of a row group, MiB.")] = 32,
    shard_mib: Annotated[int, typer.Option(min=1, help="Image bytes of a shard, MiB.")] = 512,
    on_missing: Annotated[OnMissing, typer.Option(help="What becomes of rows without an image.")] = OnMissing.RAISE,
    workers: _Workers = None,
    engine: EngineOption = Engine.LOCAL,
    resume: _Resume = False,
) -> None:
    """Pack images beside their labels, in Parquet that Hugging Face datasets reads."""
    from mlimages.images import pack as pack_images

    with running("packing", engine=engine, workers=workers, resume=resume) as how:
        packed = pack_images(
            table,
            images,
            out,
            row_group_mib=row_group_mib,
            shard_mib=shard_mib,
            on_missing=on_missing.value,
            **how,
        )
    size = sum(part.bytes for part in packed.manifest.parts)
    typer.echo(f"{out}: {len(packed):,} images, {size:,} bytes, {len(packed.manifest.parts):,} shards")


@tfrecord_app.command()
def export(
    table: Annotated[str, typer.Argument(help="An annotation table, or packed images.")],
    out: Annotated[str, typer.Option(help="A new or empty folder for 0.tfrecords, 1.tfrecords, ...")],
    images: Annotated[str | None, typer.Option(help="Folder of the images that the table names.")] = None,
    keep_format: Annotated[
        bool, typer.Option("--keep-format", help="Keep PNG and others; JPEG of quality 100 by default.")
    ] = False,
    shard_mib: Annotated[int, typer.Option(min=1, help="Image bytes of a shard, MiB.")] = 256,
    on_missing: Annotated[OnMissing, typer.Option(help="What becomes of rows without an image.")] = OnMissing.RAISE,
    on_error: Annotated[OnError, typer.Option(help="What becomes of images that cannot be decoded.")] = OnError.RAISE,
    workers: _Workers = None,
    engine: EngineOption = Engine.LOCAL,
    resume: _Resume = False,
) -> None:
    """Write shards with the published fields: width, height, image, label, name."""
    from mlimages.images.tfrecord.export import export_tfrecord

    with running("exporting", engine=engine, workers=workers, resume=resume) as how:
        manifest = export_tfrecord(
            table,
            images,
            out,
            keep_format=keep_format,
            shard_mib=shard_mib,
            on_missing=on_missing.value,
            on_error=on_error.value,
            **how,
        )
    bad = manifest.counts.get("quarantined", 0)
    typer.echo(
        f"{out}: {manifest.rows:,} images, {len(manifest.parts):,} shards"
        + (f", {bad:,} undecodable: see {out}/quarantine" if bad else "")
    )


@tfrecord_app.command()
def show(
    shard: Annotated[str, typer.Argument(help="A TFRecord shard with the published fields.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of records.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print the name, size and labels of each record."""
    import json
    from itertools import islice

    from mlimages.images.tfrecord import records as tfrecord

    for record in islice(tfrecord.read(shard), limit):
        labels = {str(index): float(str(record.label[index])) for index in record.label.nonzero()[0].tolist()}
        if as_json:
            fields = {"name": record.name, "width": record.width, "height": record.height}
            fields |= {"bytes": len(record.image), "categories": len(record.label), "labels": labels}
            typer.echo(json.dumps(fields, ensure_ascii=False))
        else:
            listed = " ".join(f"{index}:{confidence:g}" for index, confidence in labels.items())
            typer.echo(f"{record.name}\t{record.width}x{record.height}\t{len(record.image)} bytes\t{listed}")
