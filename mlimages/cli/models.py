"""``mlimages checkpoint``, ``train`` and ``finetune``: weights of networks, and their training."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlimages.cli.options import Json, load_hierarchy
from mlimages.cli.output import is_first_rank

_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, as in TOML; may be given several times."),
]
_Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in the folder, if there is one.")]

checkpoint = typer.Typer(help="Convert and inspect the weights of networks.", no_args_is_help=True)


@checkpoint.command()
def convert(
    ckpt: str = typer.Argument(help="A TensorFlow V2 checkpoint: the path before .index."),
    out: str = typer.Option(..., "--out", "-o", help="The .safetensors file to write."),
    hierarchy: str | None = typer.Option(
        None,
        "--hierarchy",
        help="The categories that the outputs are: a name such as ml-images, or a path.",
    ),
) -> None:
    """Convert a published TensorFlow checkpoint to safetensors, without TensorFlow."""
    from mlimages.models import convert, save_model

    categories = None if hierarchy is None else load_hierarchy(hierarchy)
    model = convert(ckpt.removesuffix(".index"))
    save_model(model, out, hierarchy=categories)
    typer.echo(f"{out}: {model.card.name}, {model.card.num_classes} classes")


@checkpoint.command()
def show(
    file: str = typer.Argument(help="A .safetensors file of ours, or a TensorFlow checkpoint prefix."),
    as_json: Json = False,
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
    if not as_json:  # thousands of keys are not readable
        values["categories"] = f"{len(values['categories'])} keys" if values["categories"] else "not known"
    typer.echo(json.dumps(values) if as_json else "\n".join(f"{name}: {value}" for name, value in values.items()))


def train(
    config: str | None = typer.Option(None, help="A TOML file of settings; options given here win over it."),
    table: str | None = typer.Option(None, help="The annotation table, or packed images."),
    images: str | None = typer.Option(None, help="Folder of the images of an annotation table, or packed images."),
    out: str | None = typer.Option(None, "--out", "-o", help="Folder of the run."),
    model: str | None = typer.Option(None, help="resnet50-mlimages, resnet101-mlimages, resnet152-mlimages or timm's."),
    start: str | None = typer.Option(None, help="A model to start from."),
    categories: str | None = typer.Option(None, help="A file of keys, one per line: the outputs."),
    loss: str | None = typer.Option(None, help="ml-images, bce, asymmetric, max-constraint or softmax."),
    unknown: str | None = typer.Option(None, help="How unlisted categories count: absent, left-out or below."),
    schedule: str | None = typer.Option(None, help="published, cosine or staircase."),
    learning_rate: float | None = typer.Option(None, help="Highest rate, for cosine and staircase."),
    epochs: int | None = typer.Option(None, help="How many times every image is seen."),
    batch: int | None = typer.Option(None, help="Images of a batch on each rank."),
    accumulate: int | None = typer.Option(None, help="Batches whose gradients make one step."),
    valid_table: str | None = typer.Option(None, help="A table to evaluate on after each epoch."),
    valid_images: str | None = typer.Option(None, help="Folder of its images."),
    workers: int | None = typer.Option(None, help="Processes that load, on each rank."),
    seed: int | None = typer.Option(None, help="Of all that is drawn."),
    device: str | None = typer.Option(None, help="auto, cpu or cuda."),
    bf16: bool | None = typer.Option(None, help="Compute in bfloat16 where that is safe."),
    settings: _Settings = None,
    resume: _Resume = False,
) -> None:
    """Train a network on a table; torchrun -m mlimages train ... uses several devices or machines."""
    changes = _changes(locals())
    from mlimages.models import TrainConfig
    from mlimages.models import train as train_network

    chosen = TrainConfig.of(changes) if config is None else TrainConfig.from_toml(config, **changes)
    _print_once(train_network(chosen, resume=resume))


def finetune(
    start: str | None = typer.Option(None, help="The model to start from: .safetensors, or a checkpoint prefix."),
    config: str | None = typer.Option(None, help="A TOML file of settings; options given here win over it."),
    table: str | None = typer.Option(None, help="The annotation table, or packed images."),
    images: str | None = typer.Option(None, help="Folder of the images of an annotation table, or packed images."),
    out: str | None = typer.Option(None, "--out", "-o", help="Folder of the run."),
    categories: str | None = typer.Option(None, help="A file of keys, one per line; by default imagenet-1k."),
    epochs: int | None = typer.Option(None, help="How many times every image is seen; 120 by default."),
    batch: int | None = typer.Option(None, help="Images of a batch on each rank."),
    learning_rate: float | None = typer.Option(None, help="By default 0.1 per 256 images of a step."),
    size: int | None = typer.Option(None, help="Height and width of images at first: 224."),
    late_size: int | None = typer.Option(None, help="Height and width of images at the end: 299."),
    late_epoch: int | None = typer.Option(None, help="First epoch of --late-size; by default after three quarters."),
    freeze: int | None = typer.Option(None, help="Stages that are not trained; 2 for the published networks."),
    valid_table: str | None = typer.Option(None, help="A table to evaluate on after each epoch."),
    valid_images: str | None = typer.Option(None, help="Folder of its images."),
    workers: int | None = typer.Option(None, help="Processes that load, on each rank."),
    seed: int | None = typer.Option(None, help="Of all that is drawn."),
    device: str | None = typer.Option(None, help="auto, cpu or cuda."),
    bf16: bool | None = typer.Option(None, help="Compute in bfloat16 where that is safe."),
    settings: _Settings = None,
    resume: _Resume = False,
) -> None:
    """Fine-tune a trained network on ImageNet, or other classes, by the published recipe: 224 pixels, then 299."""
    changes = _changes(locals())
    from mlimages.models import finetuning
    from mlimages.models import train as train_network
    from mlimages.models.training.config import read_toml

    _print_once(train_network(finetuning((read_toml(config) if config else {}) | changes), resume=resume))


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """The settings given by the options of a command: named ones, and those of --set."""
    named = {name: value for name, value in options.items() if name not in ("config", "settings", "resume")}
    given = {name: value for name, value in named.items() if value is not None}
    return given | dict(map(_setting, options["settings"] or []))


def _print_once(path: object) -> None:
    """Print the path of the result on the first rank only."""
    if is_first_rank():
        typer.echo(path)


def _setting(text: str) -> tuple[str, object]:
    """Parse ``name=value``; a value that is not TOML is a string."""
    import tomllib

    from mlimages.errors import ModelError

    name, equals, value = text.partition("=")
    if not equals:
        raise ModelError(f"--set {text}: expected name=value")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value
