"""The steps of a build: their inputs, parameters and functions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from mlimages.annotate.sources.source import expand_paths
from mlimages.build.config import BuildConfig, LabelledImages
from mlimages.build.step import Step
from mlimages.errors import JobError, MlimagesError
from mlimages.hierarchy import Hierarchy, load_hierarchy
from mlimages.storage.files import replacing
from mlimages.storage.manifest import MANIFEST

_COUNTS, _RULES = "cooccurrence.parquet", "rules.csv"
_STATISTICS = "statistics.json"


def steps_of(config: BuildConfig, folder: Path) -> Iterator[Step]:
    """Yield the steps in order; each is created once the previous are done, as it may depend on their files."""
    steps = _Steps(config, folder)
    if config.open_images is not None:
        yield steps.table("open-images", config.open_images)
    yield steps.table("imagenet", config.imagenet)
    if config.teacher.source is None:
        yield steps.teacher()
    yield steps.predictions()
    yield steps.cooccurrence()
    rules = Path(config.final.rules) if config.final.rules is not None else folder / "cooccurrence" / _RULES
    if config.open_images is None:
        yield steps.table("train", config.imagenet, rules=rules)
    else:
        yield steps.table("final-open-images", config.open_images, rules=rules)
        yield steps.table("final-imagenet", config.imagenet, rules=rules)
        yield steps.merged("train", ["final-open-images", "final-imagenet"])
    if config.validation is not None:
        yield steps.table("validation", config.validation, rules=rules if config.final.validation_rules else None)
    yield steps.statistics(["train"] + ["validation"] * (config.validation is not None))


def check_inputs(config: BuildConfig) -> None:
    """Check that all input files and folders exist, before the first step starts.

    Raises
    ------
    MlimagesError
        If the hierarchy, a list or a folder of images is not found.
    FileNotFoundError
        If another file is not found.
    """
    load_hierarchy(config.hierarchy)
    for section in (config.open_images, config.imagenet, config.validation):
        if section is None:
            continue
        if not _is_tree(section):
            expand_paths(list(section.labels))
        if section.images is not None and not Path(section.images).is_dir():
            raise MlimagesError(f"{section.images}: no such folder: expected images")
        for path in (section.mapping, *(section.images_csv or ()), section.class_descriptions, section.classes):
            if path is not None:
                Path(path).stat()
    teacher = config.teacher
    for path in (teacher.categories, teacher.class_file, teacher.mapping, teacher.weights, config.final.rules):
        if path is not None:
            Path(path).stat()
    for file in [] if teacher.source is None else _weight_files(teacher.source):
        file.stat()


class _Steps:
    """The steps of one build, in its folder."""

    def __init__(self, config: BuildConfig, folder: Path) -> None:
        self.config, self.folder = config, folder

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The categories."""
        return load_hierarchy(self.config.hierarchy)

    def table(self, name: str, source: LabelledImages, *, rules: Path | None = None) -> Step:
        """An annotation table; rules are applied if given."""
        from mlimages.annotate.pipeline import annotate

        config = self.config
        options = {
            each: getattr(source, each)
            for each in ("mapping", "images_csv", "class_descriptions", "unmapped", "classes")
        }
        tree = _is_tree(source)
        if tree and source.images is not None and not Path(source.labels[0]).samefile(source.images):
            raise MlimagesError(f"{source.labels[0]}: a folder of labels is that of the images, not {source.images}")
        files = [] if tree else expand_paths(list(source.labels))
        for each in ("mapping", "images_csv", "class_descriptions", "classes"):
            given = options[each]
            files += [Path(path) for path in (given if isinstance(given, list) else [given]) if path is not None]

        def run(place: Path, resume: bool) -> None:
            annotate(
                source.labels[0] if tree else list(source.labels),
                self.hierarchy,
                out=place,
                propagation=config.propagation,
                rules=rules if rules is not None and _has_rules(rules) else None,
                rule_confidence=config.final.rule_confidence,  # type: ignore[arg-type]
                format=source.format,  # type: ignore[arg-type]
                on_error=config.on_error,  # type: ignore[arg-type]
                workers=config.workers,
                engine=config.engine,  # type: ignore[arg-type]
                resume=resume,
                **options,
            )

        parameters = {
            "hierarchy": self.hierarchy.fingerprint,
            "propagation": config.propagation,
            "on_error": config.on_error,
            "format": source.format,
            "unmapped": source.unmapped,
            "rule_confidence": config.final.rule_confidence if rules is not None else None,
            "folder": self._relative(source.labels[0]) if tree else None,
        }
        return Step(
            name=name,
            inputs=[*files, *([rules] if rules is not None else [])],
            parameters=parameters,
            outputs=[MANIFEST],
            run=run,
        )

    def teacher(self) -> Step:
        """A network trained on the Open Images table, restricted to the categories of the teacher."""
        from mlimages.models.training.config import TrainConfig
        from mlimages.models.training.loop import MODEL, train

        section, source = self.config.teacher, self.config.open_images
        assert source is not None
        assert source.images is not None
        packed = self._packed(source.images)
        values = section.train | {
            "table": os.fspath(self.folder / "open-images"),
            "images": source.images,
            "out": os.fspath(self.folder / "teacher"),
            **({} if section.categories is None else {"categories": section.categories}),
        }
        chosen = TrainConfig.of(values)

        def run(place: Path, resume: bool) -> None:
            if train(chosen, resume=resume) != place / MODEL:
                raise JobError(f"{place}: training was stopped by a signal: run the build again to go on")

        files = [self.folder / "open-images" / MANIFEST, *([packed] if packed is not None else [])]
        files += [Path(path) for path in (section.categories, chosen.start) if path is not None]
        settings = {name: value for name, value in section.train.items() if name != "start"}  # a file, by its content
        parameters = {"train": settings, "images": self._relative(source.images)}
        return Step(name="teacher", inputs=files, parameters=parameters, outputs=[MODEL], run=run, together=True)

    def predictions(self) -> Step:
        """The teacher's predictions for the ImageNet images."""
        from mlimages.models.inference.predictions import predict_images
        from mlimages.models.inference.teachersource import load_teacher
        from mlimages.models.training.loop import MODEL

        config, section, images = self.config, self.config.teacher, self.config.imagenet.images
        assert images is not None
        options = {name: getattr(section, name) for name in ("class_file", "mapping", "weights", "activation", "size")}
        options["crop"] = section.crop
        trained = section.source is None
        source = os.fspath(self.folder / "teacher" / MODEL) if section.source is None else section.source
        if not trained:
            options["categories"] = section.categories
        packed = self._packed(images)

        def run(place: Path, resume: bool) -> None:
            predict_images(
                load_teacher(source, self.hierarchy, **options),
                images if packed is not None else self.folder / "imagenet",
                place,
                root=None if packed is not None else images,
                resume=resume,
                engine=config.engine,  # type: ignore[arg-type]
                workers=config.workers,
                **asdict(config.predict),
            )

        files = [packed] if packed is not None else [self.folder / "imagenet" / MANIFEST]
        files += [Path(options[name]) for name in ("class_file", "mapping", "weights") if options[name] is not None]
        files += [Path(section.categories)] if section.categories is not None and not trained else []
        parameters = {
            "hierarchy": self.hierarchy.fingerprint,
            "teacher": None if _weight_files(source) else source,
            "activation": section.activation,
            "size": section.size,
            "crop": section.crop,
            "images": self._relative(images),
            **{name: value for name, value in asdict(config.predict).items() if name != "device"},
        }
        return Step(
            name="predictions",
            inputs=[*files, *_weight_files(source)],
            parameters=parameters,
            outputs=[MANIFEST],
            run=run,
            together=True,
        )

    def cooccurrence(self) -> Step:
        """Co-occurrence counts and their rules."""
        from mlimages.annotate.cooccurrence.counts import Cooccurrence
        from mlimages.annotate.propagation.rules import write_rules

        section, workers = self.config.cooccurrence, self.config.workers
        tables = [self.folder / "imagenet", self.folder / "predictions"]

        def run(place: Path, resume: bool) -> None:  # noqa: ARG001  (begun anew: it takes seconds)
            place.mkdir(exist_ok=True)
            counted = Cooccurrence.count(*tables, teacher_threshold=section.teacher_threshold, workers=workers)
            counted.save(place / _COUNTS)
            rules = counted.rules(
                min_probability=section.min_probability,
                min_images=section.min_images,
                exclude_related=section.exclude_related,
            )
            write_rules(rules, place / _RULES)

        return Step(
            name="cooccurrence",
            inputs=[table / MANIFEST for table in tables],
            parameters=asdict(section),
            outputs=[_COUNTS, _RULES],
            run=run,
        )

    def merged(self, name: str, tables: list[str]) -> Step:
        """One table merged of several."""
        from mlimages.annotate.tables.merging import merge

        folders = [self.folder / each for each in tables]

        def run(place: Path, resume: bool) -> None:
            merge(folders, place, workers=self.config.workers, resume=resume)

        inputs = [each / MANIFEST for each in folders]
        return Step(name=name, inputs=inputs, parameters={}, outputs=[MANIFEST], run=run)

    def statistics(self, tables: list[str]) -> Step:
        """Counts, and optionally figures, of the final tables."""
        from mlimages.annotate.inspect.statistics import statistics

        section = self.config.statistics

        def run(place: Path, resume: bool) -> None:  # noqa: ARG001  (begun anew: it takes seconds)
            for table in tables:
                (place / table).mkdir(parents=True, exist_ok=True)
                counted = statistics(self.folder / table, trainable_over=section.trainable_over)
                with replacing(place / table / _STATISTICS) as file:
                    file.write((json.dumps(counted.to_dict(), indent=1, ensure_ascii=False) + "\n").encode())
                counted.per_category.to_csv(place / table / "categories.csv", lineterminator="\n")
                if section.pictures:
                    counted.save_figures(place / table)

        return Step(
            name="statistics",
            inputs=[self.folder / each / MANIFEST for each in tables],
            parameters=asdict(section),
            outputs=[f"{each}/{_STATISTICS}" for each in tables],
            run=run,
        )

    def _relative(self, path: str) -> str:
        """A path relative to the folder of the build, so that all can be moved together."""
        return os.path.relpath(path, self.folder)

    @staticmethod
    def _packed(images: str) -> Path | None:
        """The manifest of packed images; None for a folder of files."""
        from mlimages.images.packed.reading import is_packed

        return Path(images) / MANIFEST if is_packed(images) else None


def _is_tree(source: LabelledImages) -> bool:
    return len(source.labels) == 1 and Path(source.labels[0]).is_dir()


def _has_rules(path: Path) -> bool:
    """Whether a rules CSV has more than its header."""
    return len(path.read_text(encoding="utf-8").splitlines()) > 1


def _weight_files(source: str) -> list[Path]:
    """The files of a teacher's weights."""
    prefix = source.removesuffix(".index")
    index = Path(f"{prefix}.index")
    if index.is_file():
        return [index, *sorted(index.parent.glob(f"{index.stem}.data-*"))]
    return [] if source.startswith(("timm:", "python:")) else [Path(source)]
