"""``mlimages evaluate``, ``classify`` and ``features``: inference with trained networks."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlimages.cli.options import Json, load_hierarchy
from mlimages.cli.output import without_nan

if TYPE_CHECKING:
    from mlimages.models.evaluation.evaluate import MultiLabelResult, TopK
    from mlimages.models.networks.build import Network

Model = Annotated[str, typer.Option("--model", "-m", help="A .safetensors file, or a TensorFlow checkpoint prefix.")]
Images = Annotated[
    list[str], typer.Argument(metavar="IMAGES...", help="Images, folders, .txt lists of images, or packed images.")
]
Batch = Annotated[int, typer.Option(min=1, help="Images in a batch.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that load.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Bf16 = Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16 where that is safe.")]
Size = Annotated[int | None, typer.Option(min=1, help="Height and width; what the model was made for by default.")]
Crop = Annotated[str, typer.Option(help="central: the middle 0.8; classifier: shorter side 256, middle 224.")]
Activation = Annotated[str | None, typer.Option(help="sigmoid or softmax; by default the model's own activation.")]
Consistent = Annotated[
    bool, typer.Option("--consistent", help="Make ancestors at least as probable as their descendants.")
]


def evaluate(
    models: Annotated[list[str], typer.Argument(help=".safetensors files, or TensorFlow checkpoint prefixes.")],
    table: Annotated[str, typer.Option(help="The annotation table, or packed images.")],
    images: Annotated[str | None, typer.Option(help="Folder of the images of an annotation table.")] = None,
    multi_label: Annotated[
        bool | None,
        typer.Option("--multi-label/--top-k", help="Which metrics; by default those that fit the model's activation."),
    ] = None,
    sizes: Annotated[str, typer.Option(help="For top-k: heights and widths, separated by commas.")] = "224,299",
    setting: Annotated[
        list[str] | None, typer.Option(help="For top-k: how each model was trained, for the second column.")
    ] = None,
    unknown: Annotated[
        str,
        typer.Option(
            help="For multi-label: how a class that an image does not list counts: left-out, absent, or below, which "
            "leaves out only what lies below its most specific labels."
        ),
    ] = "left-out",
    train_table: Annotated[
        str | None, typer.Option(help="For multi-label: the training table, which determines trainable classes.")
    ] = None,
    more_than: Annotated[int, typer.Option(min=0, help="A trainable class has more images than this.")] = 100,
    top: Annotated[str, typer.Option(help="For multi-label: predictions per image, separated by commas.")] = "1,5",
    consistent: Consistent = False,
    crop: Crop = "central",
    size: Size = None,
    batch: Batch = 64,
    workers: Workers = 2,
    device: Device = "auto",
    bf16: Bf16 = False,
    activation: Activation = None,
    csv: Annotated[
        str | None, typer.Option("--csv", help="Write a CSV file: one line per class, or per size for top-k.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate networks on a table: top-1 and top-5 accuracy, or multi-label metrics."""
    from mlimages.errors import ModelError
    from mlimages.models import Inference
    from mlimages.models.data.unlisted import background

    how = Inference(batch=batch, workers=workers, device=device, bf16=bf16, size=size, crop=crop)
    background(unknown)
    if setting and len(setting) != len(models):
        raise ModelError(f"{len(setting)} times --setting for {len(models)} models: expected as many")
    loaded = [_load(path, activation) for path in models]
    by_label = multi_label if multi_label is not None else loaded[0].card.activation == "sigmoid"
    if not by_label:
        if size is not None:
            raise ModelError("--size is for multi-label: give --sizes")
        from mlimages.models import evaluate_top_k

        chosen = _numbers(sizes, "--sizes")
        measured = [evaluate_top_k(model, table, images, sizes=chosen, how=how) for model in loaded]
        rows = list(zip(models, setting or [""] * len(models), measured, strict=True))
        _show_top_k(rows, csv=csv, as_json=as_json)
        return
    from mlimages.models import evaluate_multi_label, trainable_categories
    from mlimages.models.networks.outputs import table_hierarchy

    trainable = None
    if train_table is not None:
        trainable = trainable_categories(train_table, more_than=more_than, hierarchy=table_hierarchy(table))
    results = [
        evaluate_multi_label(
            model,
            table,
            images,
            unknown=unknown,
            make_consistent=consistent,
            trainable=trainable,
            ks=_numbers(top, "--top"),
            how=how,
        )
        for model in loaded
    ]
    _show_multi_label(models, results, csv=csv, as_json=as_json)


def classify(
    images: Images,
    model: Model,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes.")] = 5,
    dictionary: Annotated[
        str | None, typer.Option(help="The published classifier's names of the classes: imagenet2012_dictionary.txt.")
    ] = None,
    hierarchy: Annotated[str | None, typer.Option(help="The categories, for names and --consistent.")] = None,
    consistent: Consistent = False,
    crop: Crop = "classifier",
    size: Size = None,
    batch: Batch = 64,
    workers: Workers = 0,
    device: Device = "auto",
    bf16: Bf16 = False,
    activation: Activation = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print the most probable classes, one line per image: the path, then name: probability, separated by tabs."""
    from mlimages.errors import ModelError
    from mlimages.models import Inference
    from mlimages.models import classify as best_classes
    from mlimages.models.networks.outputs import output_names

    if consistent and hierarchy is None:
        raise ModelError("--consistent needs the categories: give --hierarchy")
    network = _load(model, activation)
    categories = None if hierarchy is None else load_hierarchy(hierarchy)
    names = output_names(network.card, hierarchy=categories, dictionary=dictionary)
    how = Inference(batch=batch, workers=workers, device=device, bf16=bf16, size=size, crop=crop)
    seen = broken = 0
    for found in best_classes(network, images, top=top, hierarchy=categories if consistent else None, how=how):
        seen += 1
        if found.reason is not None:
            broken += 1
            typer.echo(f"{found.image}: {found.reason}", err=True)
        if as_json:
            typer.echo(json.dumps(_classified_json(found, names, network.card.categories), ensure_ascii=False))
        elif found.reason is None:
            pairs = zip(found.classes, found.probabilities, strict=True)
            typer.echo("\t".join([found.image, *(f"{names[each]}: {chance:.3f}" for each, chance in pairs)]))
    if broken == seen:
        raise ModelError(f"none of {seen} pictures could be read")


def features(
    images: Images,
    model: Model,
    out: Annotated[str, typer.Option("--out", "-o", help="The Parquet file to write.")],
    crop: Crop = "central",
    size: Size = None,
    batch: Batch = 64,
    workers: Workers = 2,
    device: Device = "auto",
    bf16: Bf16 = False,
) -> None:
    """Write the features of images, the input of the last layer, to a Parquet file."""
    from mlimages.models import Inference, write_features

    network = _load(model, None)
    how = Inference(batch=batch, workers=workers, device=device, bf16=bf16, size=size, crop=crop)
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger("mlimages").addHandler(handler)
    try:
        written, broken = write_features(network, images, out, how=how)
    finally:
        logging.getLogger("mlimages").removeHandler(handler)
    missing = f"; {broken:,} broken" if broken else ""
    typer.echo(f"{out}: {written:,} pictures, {network.num_features} features each{missing}")


def _load(path: str, activation: str | None) -> Network:
    from dataclasses import replace

    from mlimages.models import load_model

    model = load_model(path)
    if activation is not None:
        model.card = replace(model.card, activation=activation)
    return model


def _numbers(text: str, option: str) -> list[int]:
    from mlimages.errors import ModelError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ModelError(f"{option} is {text!r}: expected whole numbers from 1, separated by commas")
    return [int(part) for part in parts]


def _show_top_k(rows: list[tuple[str, str, list[TopK]]], *, csv: str | None, as_json: bool) -> None:
    from mlimages.models import results_table

    flat = [
        {"model": path, "setting": setting, **_top_k_values(each)} for path, setting, sized in rows for each in sized
    ]
    if as_json:
        typer.echo(json.dumps(flat, indent=2))
    else:
        typer.echo(results_table([(_stem(path), setting, sized) for path, setting, sized in rows]))
        first = rows[0][2][0]
        typer.echo(
            f"\n{first.images:,} images; left out: {first.left_out:,} without exactly one class, "
            f"{first.broken:,} broken"
        )
    if csv is not None:  # last, so that results are printed even if the file cannot be written
        _write_csv(csv, flat)


def _top_k_values(each: TopK) -> dict[str, Any]:
    counts = {"size": each.size, "images": each.images, "left_out": each.left_out, "broken": each.broken}
    return counts | {name: without_nan(value) for name, value in each.accuracy.items()}


def _show_multi_label(paths: list[str], results: list[MultiLabelResult], *, csv: str | None, as_json: bool) -> None:
    rows = [
        {"model": path, "broken": result.broken} | {name: without_nan(value) for name, value in result.metrics.items()}
        for path, result in zip(paths, results, strict=True)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            widest = max(map(len, row))
            for name, value in row.items():
                shown = "--" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
                typer.echo(f"{name:<{widest}}  {shown}")
    if csv is not None:  # last, so that results are printed even if the file cannot be written
        _write_csv(csv, [row for path, result in zip(paths, results, strict=True) for row in _class_rows(path, result)])


def _class_rows(path: str, result: MultiLabelResult) -> list[dict[str, Any]]:
    return [
        {
            "model": path,
            "category": key,
            "images": int(images),
            "trainable": bool(trainable),
            "average_precision": without_nan(float(precision)),
        }
        for key, images, trainable, precision in zip(
            result.keys, result.images_of_class, result.trainable, result.average_precision, strict=True
        )
    ]


def _write_csv(path: str, rows: list[dict[str, Any]]) -> None:
    import csv

    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _classified_json(found: Any, names: list[str], keys: tuple[str, ...]) -> dict[str, Any]:
    if found.reason is not None:
        return {"image": found.image, "error": found.reason}
    classes = [
        {"index": each, **({"key": keys[each]} if keys else {}), "name": names[each], "probability": chance}
        for each, chance in zip(found.classes, found.probabilities, strict=True)
    ]
    return {"image": found.image, "classes": classes}


def _stem(path: str) -> str:
    return Path(path).stem if path.endswith(".safetensors") else Path(path).name
