"""``mlimages predict``: a table of a teacher's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlimages.cli.options import load_hierarchy
from mlimages.cli.output import is_first_rank


def predict(
    teacher: Annotated[
        str,
        typer.Option(
            help="A .safetensors file, a TensorFlow checkpoint (the path before .index), timm:NAME, or "
            "python:MODULE:NAME for a callable from images (numpy, B x 3 x H x W, -1 to 1) to probabilities."
        ),
    ],
    images: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder of images, packed images, or an annotation table (--root).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the table, new or empty.")],
    hierarchy: Annotated[
        str | None,
        typer.Option(help="The categories: a name such as ml-images, or a path; by default those beside the images."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of the images of an annotation table.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Leave out scores up to this; a negative one keeps all.")] = 0.5,
    top: Annotated[int | None, typer.Option(min=1, help="Maximum number of labels per image.")] = None,
    class_file: Annotated[
        Path | None, typer.Option(help="The key of each output, one per line; ImageNet's class list by default.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="A CSV label,key: the category of each class whose key differs.")
    ] = None,
    categories: Annotated[
        Path | None, typer.Option(help="Keys of the categories to keep, one per line; all by default.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="timm: a file of weights instead of the published ones.")] = None,
    activation: Annotated[
        str | None, typer.Option(help="sigmoid or softmax; softmax for timm's by default, sigmoid for others.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels; what the network was made for by default.")] = None,
    crop: Annotated[
        str, typer.Option(help="classifier: the middle square of the image; central: its middle 0.8 by 0.8.")
    ] = "classifier",
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 64,
    unit_images: Annotated[int, typer.Option(min=1, help="Images in a part.")] = 4096,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads, or actors with Ray; as many as there are cores by default.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Where the work is done: local or ray.")] = "local",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted job.")] = False,
) -> None:
    """Predict labels of images; torchrun -m mlimages predict ... distributes them over several processes."""
    from mlimages.cli.progress import running, tell_of_compiling

    tell_of_compiling()
    from mlimages.errors import MlimagesError
    from mlimages.models import load_teacher, predict_images
    from mlimages.models.data.sources import open_pictures

    known = load_hierarchy(hierarchy) if hierarchy is not None else open_pictures(images, root=root).hierarchy
    if known is None:
        raise MlimagesError(f"{images}: has no categories beside the images: name them (--hierarchy)")
    loaded = load_teacher(
        teacher,
        known,
        class_file=class_file,
        mapping=mapping,
        categories=categories,
        weights=weights,
        activation=activation,
        size=size,
        crop=crop,
    )
    with running(f"predict to {out}", engine=engine, workers=workers, resume=resume) as how:
        table = predict_images(
            loaded,
            images,
            out,
            root=root,
            threshold=threshold,
            top=top,
            batch=batch,
            unit_images=unit_images,
            device=device,
            **how,
        )
    if not is_first_rank():
        return
    broken = table.manifest.counts.get("broken", 0)
    typer.echo(
        f"{out}: {len(table):,} images in {len(table.manifest.parts)} parts, {len(table.outputs):,} categories"
        + (f"; {broken:,} could not be read: see {out / 'broken.tsv'}" if broken else "")
    )
