"""``mlimages checkpoint``: the weights of networks in files."""

from __future__ import annotations

import typer

checkpoint = typer.Typer(help="Convert and look at the weights of networks.", no_args_is_help=True)


@checkpoint.command()
def convert(
    ckpt: str = typer.Argument(help="A TensorFlow V2 checkpoint: the path before .index."),
    out: str = typer.Option(..., "--out", "-o", help="The .safetensors file to write."),
    hierarchy: str | None = typer.Option(
        None, "--hierarchy", help="The hierarchy that the outputs are categories of: a dictionary, or a Parquet file."
    ),
) -> None:
    """Convert a published TensorFlow checkpoint to safetensors, without TensorFlow."""
    from mlimages.models import convert, save_model

    categories = None
    if hierarchy is not None:
        from mlimages import Hierarchy

        read = Hierarchy.from_parquet if hierarchy.endswith(".parquet") else Hierarchy.from_dictionary
        categories = read(hierarchy)
    model = convert(ckpt.removesuffix(".index"))
    save_model(model, out, hierarchy=categories)
    typer.echo(f"{out}: {model.card.name}, {model.card.num_classes} classes")


@checkpoint.command()
def show(
    file: str = typer.Argument(help="A .safetensors file of ours, or a TensorFlow checkpoint prefix."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print what a file of weights holds: its card, or the variables of a TensorFlow checkpoint."""
    import json
    from dataclasses import asdict
    from pathlib import Path

    from mlimages.models import TensorFlowCheckpoint, read_card

    prefix = file.removesuffix(".index")
    if Path(f"{prefix}.index").is_file():
        shapes = {name: list(each.shape) for name, each in TensorFlowCheckpoint(prefix).variables.items()}
        typer.echo(json.dumps(shapes) if as_json else "\n".join(f"{name} {shape}" for name, shape in shapes.items()))
        return
    values = asdict(read_card(file))
    if not as_json:  # thousands of keys are for programs
        values["categories"] = f"{len(values['categories'])} keys" if values["categories"] else "not known"
    typer.echo(json.dumps(values) if as_json else "\n".join(f"{name}: {value}" for name, value in values.items()))
