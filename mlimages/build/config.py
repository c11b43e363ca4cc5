"""The configuration of a build, read from TOML: one table per step, each key checked."""

from __future__ import annotations

import os
import tomllib
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from mlimages.errors import FormatError, ModelError
from mlimages.models.training.config import TrainConfig

T = TypeVar("T")

_CHOICES = {
    "engine": ("local", "ray"),
    "format": ("list", "imagenet", "open-images"),
    "on_error": ("raise", "quarantine"),
    "rule_confidence": ("one", "p"),
    "propagation": ("default", "published", "parent", "none"),
    "unmapped": ("drop", "ancestor"),
    "crop": ("classifier", "central"),
    "activation": ("sigmoid", "softmax"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledImages:
    """Label lists and the folder of their images."""

    labels: list[str]
    """Files, or patterns of them; a folder for ``imagenet``."""
    format: str = "list"
    """list, imagenet or open-images."""
    images: str | None = None
    """The folder that the names in the lists are relative to, or packed images of them."""
    mapping: str | None = None
    """For open-images: a CSV ``label,key``; the rows of all other labels are removed."""
    images_csv: list[str] | None = None
    """For open-images: name the images by their URLs."""
    class_descriptions: str | None = None
    """For open-images: the names of labels, for ``removed_labels.csv``."""
    unmapped: str | None = None
    """For imagenet: handling of a synset that is not in the hierarchy: drop, or map to its nearest ancestor."""
    classes: str | None = None
    """For imagenet: the order of class numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherSection:
    """The teacher: loaded if `source` is given, else trained on the Open Images table."""

    source: str | None = None
    """A teacher, as for ``mlimages predict --teacher``."""
    categories: str | None = None
    """A file of keys: the categories to predict."""
    class_file: str | None = None
    """A file with the key of each output of a loaded teacher."""
    mapping: str | None = None
    """A CSV ``label,key`` for the classes of a loaded teacher."""
    weights: str | None = None
    """A file of weights for ``timm:NAME``."""
    activation: str | None = None
    """sigmoid or softmax."""
    size: int | None = None
    """Height and width of the network's input, in pixels."""
    crop: str = "classifier"
    """classifier or central."""
    train: dict[str, Any] = field(default_factory=dict)
    """Settings of ``mlimages train``, except table, images, out and categories."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictSection:
    """Options of the teacher's predictions."""

    threshold: float = 0.5
    """Scores up to this are left out."""
    top: int | None = None
    """Maximum number of labels per image."""
    batch: int = 64
    """Images per batch."""
    unit_images: int = 4096
    """Images per part."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CooccurrenceSection:
    """Thresholds of the rules."""

    teacher_threshold: float = 0.95
    """A category is predicted where its score is above this."""
    min_probability: float = 0.5
    """p(target | source) must be above this."""
    min_images: int = 1
    """Sources with fewer images give no rule."""
    exclude_related: bool = True
    """No rules between a category and its ancestors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalSection:
    """Options of the final tables."""

    rules: str | None = None
    """A rules CSV to apply instead of the computed one."""
    rule_confidence: str = "one"
    """The confidence of labels that rules add: one, as published, or p."""
    validation_rules: bool = True
    """Whether rules apply to the validation images too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatisticsSection:
    """Options of the statistics."""

    trainable_over: int = 100
    """A category with more images is trainable."""
    pictures: bool = True
    """Draw the two published figures (needs the extra plot)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """The configuration of a build."""

    out: str
    """Folder of all outputs."""
    hierarchy: str
    """The categories: a name such as ml-images, or a path."""
    imagenet: LabelledImages
    """The images that the teacher predicts."""
    open_images: LabelledImages | None = None
    """The images that the teacher is trained on."""
    validation: LabelledImages | None = None
    """The images of the validation table."""
    teacher: TeacherSection = field(default_factory=TeacherSection)
    """The teacher."""
    predict: PredictSection = field(default_factory=PredictSection)
    """Its predictions."""
    cooccurrence: CooccurrenceSection = field(default_factory=CooccurrenceSection)
    """The rules."""
    final: FinalSection = field(default_factory=FinalSection)
    """The final tables."""
    statistics: StatisticsSection = field(default_factory=StatisticsSection)
    """The statistics."""
    propagation: str = "default"
    """Propagation: default, published, parent or none."""
    on_error: str = "raise"
    """Bad rows: raise, or quarantine."""
    engine: str = "local"
    """Engine of annotation and prediction: local or ray."""
    workers: int | None = None
    """Threads, or tasks at a time with Ray; as many as cores by default."""

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> BuildConfig:
        """Read a TOML file; its paths are relative to the folder of the file.

        Raises
        ------
        FormatError
            If the file is not TOML, a key is unknown or missing, or a value has a wrong type or is not allowed.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"not TOML ({error})", path=path) from error
        try:
            config = _read(cls, values, "")
            _check(config)
        except _BadKey as error:
            raise FormatError(str(error), path=path) from None
        return _located(config, Path(path).parent)


class _BadKey(ValueError):  # noqa: N818  (becomes a FormatError that names the file)
    """An invalid key or value."""


def _read(kind: type[T], values: Any, place: str) -> T:
    """Make a dataclass of a TOML table, checking each key; `place` is the table's name and a dot, for messages."""
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise _BadKey(f"{place.rstrip('.')} is {values!r}: expected a table of {', '.join(hints)}")
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise _BadKey(f"found the key {place}{unknown[0]}, expected one of {', '.join(hints)}")
    required = [
        each.name for each in fields(kind)  # type: ignore[arg-type]
        if each.default is MISSING and each.default_factory is MISSING
    ]  # fmt: skip
    lacking = [name for name in required if name not in values]
    if lacking:
        raise _BadKey(f"found no {place}{lacking[0]}, which must be given")
    return kind(**{name: _value(hints[name], value, place + name) for name, value in values.items()})


def _value(hint: Any, value: Any, place: str) -> Any:
    """Check a value against its type; tables become dataclasses."""
    kinds = [each for each in get_args(hint) if each is not type(None)] if isinstance(hint, UnionType) else [hint]
    (kind,) = kinds
    name = place.rpartition(".")[2]
    if hasattr(kind, "__dataclass_fields__"):
        return _read(kind, value, place + ".")
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise _BadKey(f"{place} is {value!r}: expected a table")
        return value
    if get_origin(kind) is list:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not listed or not all(isinstance(each, str) for each in listed):
            raise _BadKey(f"{place} is {value!r}: expected a string or a list of strings")
        return listed
    accepted = (float, int) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _BadKey(f"{place} is {value!r}: expected {kind.__name__}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise _BadKey(f"{place} is {value!r}: expected one of {', '.join(_CHOICES[name])}")
    return float(value) if kind is float else value


def _check(config: BuildConfig) -> None:
    """Check conditions that concern several values."""
    teacher = config.teacher
    if config.imagenet.images is None:
        raise _BadKey("found no imagenet.images, which the teacher looks at")
    if teacher.source is None and (config.open_images is None or config.open_images.images is None):
        raise _BadKey("found neither teacher.source nor open_images with images: a teacher is loaded, or trained there")
    if teacher.source is not None and teacher.train:
        raise _BadKey("found both teacher.source and teacher.train: a teacher is loaded or trained")
    only_loaded = [
        name for name in ("class_file", "mapping", "weights", "activation") if getattr(teacher, name) is not None
    ]
    if teacher.source is None and only_loaded:
        raise _BadKey(f"found teacher.{only_loaded[0]}, which is for a teacher that is loaded: give teacher.source")
    fixed = [name for name in ("table", "images", "out", "categories") if name in teacher.train]
    if fixed:
        raise _BadKey(f"found the key teacher.train.{fixed[0]}, which the build itself decides")
    try:
        TrainConfig.of(teacher.train | {"table": "", "out": ""})
    except ModelError as error:
        raise _BadKey(f"teacher.train: {error}") from None
    if config.cooccurrence.teacher_threshold < config.predict.threshold:
        raise _BadKey(
            f"cooccurrence.teacher_threshold is {config.cooccurrence.teacher_threshold} and predict.threshold "
            f"{config.predict.threshold}: scores up to the latter are left out, so it must not be the greater"
        )
    if config.workers is not None and config.workers < 1:
        raise _BadKey(f"workers is {config.workers}: expected at least 1")


def _located(config: BuildConfig, folder: Path) -> BuildConfig:
    """The configuration with all paths joined to a folder."""

    def at(path: str | None) -> Any:
        return None if path is None else os.fspath(folder / path)

    def labelled(section: LabelledImages | None) -> Any:
        if section is None:
            return None
        return replace(
            section,
            labels=[at(each) for each in section.labels],
            images_csv=None if section.images_csv is None else [at(each) for each in section.images_csv],
            **{name: at(getattr(section, name)) for name in ("images", "mapping", "class_descriptions", "classes")},
        )

    teacher = config.teacher
    named = teacher.source is None or teacher.source.startswith(("timm:", "python:"))
    is_path = config.hierarchy.endswith((".txt", ".parquet", ".json", ".csv", ".tsv")) or "/" in config.hierarchy
    return replace(
        config,
        out=os.fspath(folder / config.out),
        hierarchy=os.fspath(folder / config.hierarchy) if is_path else config.hierarchy,
        imagenet=labelled(config.imagenet),
        open_images=labelled(config.open_images),
        validation=labelled(config.validation),
        teacher=replace(
            teacher,
            source=teacher.source if named else at(teacher.source),
            train={name: at(value) if name == "start" else value for name, value in teacher.train.items()},
            **{name: at(getattr(teacher, name)) for name in ("categories", "class_file", "mapping", "weights")},
        ),
        final=replace(config.final, rules=at(config.final.rules)),
    )
