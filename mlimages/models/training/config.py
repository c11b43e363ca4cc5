"""The settings of a training run, from the command line or a TOML file."""

from __future__ import annotations

import math
import os
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, get_type_hints

from mlimages.errors import FormatError, ModelError
from mlimages.models.data.unlisted import UNLISTED

_CHOICES = {
    "loss": ("ml-images", "bce", "asymmetric", "max-constraint", "softmax"),
    "schedule": ("published", "cosine", "staircase"),
    "floor": ("published", "paper"),
    "unknown": UNLISTED,
}
# fields that only some schedules read
_OF_SCHEDULES = {"learning_rate": ("cosine", "staircase"), "warm_up": ("cosine",), "in_epochs": ("published",)}
_FREE = (
    "table",
    "images",
    "workers",
    "log_every",
    "save_every",
    "compile",
    "device",
    "valid_table",
    "valid_images",
    "valid_every",
)  # may change when a run is resumed; the content of the table may not, which the checkpoint compares


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The settings of a training run; each field has its own description.

    Raises
    ------
    ModelError
        For a value out of its range, or one that the other values would leave unused.
    """

    table: str
    """The annotation table, or packed images."""
    out: str
    """Folder of the run: its checkpoint, its log and, when it has finished, its model."""
    images: str | None = None
    """For an annotation table: the folder of its images, or packed images that hold them."""
    model: str = "resnet101-mlimages"
    """A name for :func:`mlimages.models.build_model`."""
    start: str | None = None
    """A model file whose weights the run starts from; its last layer is taken over where it fits."""
    pretrained: bool = False
    """Start from the weights that timm publishes for the model."""
    categories: str | None = None
    """The categories of the outputs: a file of keys, one per line, or a class list such as imagenet-1k; by default all
    of the table."""
    unknown: str = "absent"
    """How categories count that an image does not list: absent; left-out (of the loss); or below, which leaves out the
    descendants of the image's most specific labels and counts all others as absent."""

    epochs: int = 60
    """Number of passes over the images."""
    batch: int = 64
    """Images in a batch on each rank."""
    accumulate: int = 1
    """Batches whose gradients are averaged in one step."""
    size: int | None = None
    """Height and width of the input in pixels; by default what the model was made for."""
    late_size: int | None = None
    """Height and width in pixels from epoch `late_epoch` on."""
    late_epoch: int = 0
    """The first epoch, from 0, with `late_size`."""
    least_area: float = 0.7
    """The least fraction of the area of an image that a random crop keeps."""
    pool: int = 8
    """Row groups that are shuffled together."""
    workers: int = 2
    """Loading processes on each rank."""
    seed: int = 0
    """Seed of all random draws."""
    most_broken: float = 0.01
    """The greatest fraction of broken images, once a thousand were read; a greater one stops the run."""

    loss: str = "ml-images"
    """One of ml-images, bce, asymmetric, max-constraint, softmax."""
    neg_select: float = 0.1
    """For ml-images: the probability that a class which is absent from the batch is trained."""
    floor: str = "published"
    """For ml-images: the least coefficient of an absent class, published (0.001) or paper (0.01)."""
    greatest_loss: float = 1e6
    """A greater loss stops the run."""

    schedule: str = "published"
    """One of published (scaled by the batch), cosine, staircase."""
    learning_rate: float | None = None
    """For cosine and staircase: the highest rate, 0.08 by default. The published schedule has its own rates."""
    warm_up: float = 0.0
    """For cosine: epochs of linear warm-up."""
    decay_every: float = 25.0
    """For staircase: epochs after each of which the rate falls to a tenth."""
    in_epochs: bool = False
    """For published: count its phases in epochs of this table, 8 of warm-up, then a tenth of the rate every 25."""
    momentum: float = 0.9
    """Momentum of stochastic gradient descent."""
    weight_decay: float = 1e-4
    """L2 penalty on all weights except those of batch norms."""
    norm_decay: float = 0.0
    """L2 penalty on the weights of batch norms; 1e-5 in the published fine-tuning."""
    freeze: int = 0
    """Number of frozen stages, with the first convolution; 2 in the published fine-tuning, 0 freezes nothing."""

    ema: float = 0.0
    """Decay of the moving average of the weights, which is then the result, such as 0.9999; 0 keeps no average."""
    bf16: bool = False
    """Compute in bfloat16 where autocast considers it safe."""
    channels_last: bool = True
    """Use the channels-last memory format."""
    compile: bool = False
    """Compile the model with torch.compile."""
    device: str = "auto"
    """auto, cpu, cuda."""
    valid_table: str | None = None
    """A table on which the model is evaluated between epochs."""
    valid_images: str | None = None
    """The folder of its images, or packed images."""
    valid_every: int = 1
    """Epochs between evaluations; there is always one after the last epoch."""
    log_every: int = 20
    """Steps between lines of the log."""
    save_every: int = 1000
    """Steps between checkpoints; each epoch ends with one as well."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):  # nan would pass the comparisons below
                raise ModelError(f"{field.name} is {value}: expected a finite number")
        if not 0 <= self.seed < 1 << 63:
            raise ModelError(f"seed is {self.seed}: expected from 0 to 2**63 - 1")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ModelError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(choices)}")
        for name in ("epochs", "batch", "accumulate", "pool", "log_every", "save_every", "valid_every"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}: expected at least 1")
        for name in (
            *("workers", "freeze", "weight_decay", "norm_decay", "momentum", "warm_up", "late_epoch"),
            *("learning_rate", "decay_every", "most_broken"),
        ):
            if (getattr(self, name) or 0) < 0:
                raise ModelError(f"{name} is {getattr(self, name)}: expected at least 0")
        if not 0 <= self.ema < 1:
            raise ModelError(f"ema is {self.ema}: expected from 0 to below 1")
        defaults = {field.name: field.default for field in fields(self)}
        for name, schedules in _OF_SCHEDULES.items():
            if getattr(self, name) != defaults[name] and self.schedule not in schedules:
                raise ModelError(
                    f"{name} is {getattr(self, name)}, which the schedule {self.schedule} would pass over: it is for "
                    f"{' and '.join(schedules)}"
                )
        if not 0 < self.least_area <= 1:
            raise ModelError(f"least_area is {self.least_area}: expected above 0 and up to 1")
        for name in ("size", "late_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}: expected at least 1")
        if self.start and self.pretrained:
            raise ModelError("start and pretrained are given: a run begins with one or the other")

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **changes: Any) -> Self:
        """Read the fields from a flat TOML file; `changes` take precedence.

        Raises
        ------
        FormatError
            For a file that is not TOML, an unknown or missing name, or a value of another type.
        """
        values = read_toml(path)
        try:
            return cls.of(values | changes)
        except ModelError as error:
            raise FormatError(str(error), path=path) from error

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Make a configuration of `values` by field name.

        Raises
        ------
        ModelError
            For an unknown or missing name, and a value of another type.
        """
        kinds = get_type_hints(cls)
        unknown = sorted(set(values) - set(kinds))
        if unknown:
            raise ModelError(f"unknown settings {', '.join(unknown)}: expected {', '.join(kinds)}")
        missing = [name for name in ("table", "out") if values.get(name) is None]
        if missing:
            raise ModelError(f"{' and '.join(missing)} must be given")
        made = dict(values)
        for name, value in values.items():
            takes_float = kinds[name] in (float, float | None)
            accepted = kinds[name] | int if takes_float else kinds[name]
            if not isinstance(value, accepted) or (isinstance(value, bool) and kinds[name] is not bool):
                raise ModelError(f"{name} is {value!r}: expected {getattr(kinds[name], '__name__', kinds[name])}")
            if takes_float and value is not None:
                made[name] = float(value)
        return cls(**made)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def check_resumes(self, saved: dict[str, Any]) -> None:
        """Raise a ModelError unless a run that was saved with the settings `saved` can continue with these."""
        fixed = [field.name for field in fields(self) if field.name not in (*_FREE, "out")]
        changed = [name for name in fixed if getattr(self, name) != saved.get(name)]
        if changed:
            raise ModelError(
                f"the run in {self.out} was begun with other settings: "
                + ", ".join(f"{name} was {saved.get(name)!r}, now {getattr(self, name)!r}" for name in changed)
                + "; use those, or begin another run"
            )


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a TOML file by name.

    Raises
    ------
    FormatError
        For a file that is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not TOML ({error})", path=path) from error
