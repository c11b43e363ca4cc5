"""What a training run is told, from the command line or a TOML file."""

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
)  # may differ when a run is resumed; what the table holds may not, and is compared apart


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """A training run; see the fields.

    Raises
    ------
    ModelError
        For a value that makes no sense.
    """

    table: str
    """The annotation table, or packed images."""
    out: str
    """Folder of the run: its checkpoint, its log, in the end its model."""
    images: str | None = None
    """Folder of the images of an annotation table, or packed images that hold them."""
    model: str = "resnet101-mlimages"
    """What :func:`mlimages.models.build_model` builds."""
    start: str | None = None
    """A model to begin with, as :func:`mlimages.models.load_model` reads; its last layer is kept where it fits."""
    pretrained: bool = False
    """Begin with the weights that timm publishes for the model."""
    categories: str | None = None
    """The categories of the table that are the outputs: a file of keys, one a line, or imagenet-1k, -11k, ..."""
    unknown: str = "absent"
    """What a category is that an image does not list: absent; left-out; or below, which leaves out what lies below the
    most specific labels of the image, as they say nothing of it, and takes all else as absent."""

    epochs: int = 60
    """How many times every image is seen."""
    batch: int = 64
    """Images of a step on each rank, in each of `accumulate` parts."""
    accumulate: int = 1
    """Batches whose gradients make one step."""
    size: int | None = None
    """Height and width of pictures; what the model was made for by default."""
    late_size: int | None = None
    """Height and width from epoch `late_epoch` on."""
    late_epoch: int = 0
    """When pictures take their `late_size`."""
    least_area: float = 0.7
    """The least part of a picture that a random crop keeps."""
    pool: int = 8
    """Row groups that are shuffled together."""
    workers: int = 2
    """Processes that load, on each rank."""
    seed: int = 0
    """Of all that is drawn."""
    most_broken: float = 0.01
    """The greatest part of broken pictures, once a thousand were read; more stop the run."""

    loss: str = "ml-images"
    """One of ml-images, bce, asymmetric, max-constraint, softmax."""
    neg_select: float = 0.1
    """For ml-images: the probability that an absent class is trained."""
    floor: str = "published"
    """For ml-images: the least coefficient, published or paper."""
    greatest_loss: float = 1e6
    """A greater loss stops the run."""

    schedule: str = "published"
    """One of published (scaled by the batch), cosine, staircase."""
    learning_rate: float | None = None
    """The highest, of cosine and staircase: 0.08 by default. The published schedule has rates of its own."""
    warm_up: float = 0.0
    """Epochs, of cosine."""
    decay_every: float = 25.0
    """Epochs after which the rate falls to a tenth, of staircase."""
    in_epochs: bool = False
    """Count the phases of the published schedule in epochs of this table: 8 to warm up, a tenth every 25."""
    momentum: float = 0.9
    """Of stochastic gradient descent."""
    weight_decay: float = 1e-4
    """On everything but batch norm."""
    norm_decay: float = 0.0
    """On batch norm; the published fine-tuning has 1e-5."""
    freeze: int = 0
    """Stages that are not trained, with all before them; the published fine-tuning knows 2."""

    ema: float = 0.0
    """Decay of the average of weights that is saved instead of the last ones, such as 0.9999; 0 keeps none."""
    bf16: bool = False
    """Compute in bfloat16 where that is safe (autocast)."""
    channels_last: bool = True
    """Keep the channels of a pixel together in memory."""
    compile: bool = False
    """Let torch compile the model."""
    device: str = "auto"
    """auto, cpu, cuda."""
    valid_table: str | None = None
    """A table on which the model is evaluated now and then."""
    valid_images: str | None = None
    """Folder of its images, or packed images."""
    valid_every: int = 1
    """Epochs between evaluations; the last epoch ends with one."""
    log_every: int = 20
    """Steps between lines of the log."""
    save_every: int = 1000
    """Steps between checkpoints; the end of each epoch saves as well."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):  # nan passes every comparison below
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
        """Read a flat TOML file of the fields; `changes` win over it.

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
        """Check names and types of `values`, and make a configuration of them."""
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
        """Raise a ModelError unless a run with the `saved` settings can go on with these."""
        fixed = [field.name for field in fields(self) if field.name not in (*_FREE, "out")]
        changed = [name for name in fixed if getattr(self, name) != saved.get(name)]
        if changed:
            raise ModelError(
                f"the run in {self.out} was begun with other settings: "
                + ", ".join(f"{name} was {saved.get(name)!r}, now {getattr(self, name)!r}" for name in changed)
                + "; use those, or begin another run"
            )


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a TOML file, or a FormatError."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not TOML ({error})", path=path) from error
