"""The demo's label lists and annotation tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate import Origin
from mlimages.annotate.pipeline import annotate
from mlimages.demo.scenes import Scene
from mlimages.hierarchy.wordnet import close_upwards


def objects_hierarchy(keys: Iterable[str]) -> Hierarchy:
    """The synsets of the objects and all their hypernyms, out of the embedded WordNet."""
    return Hierarchy.from_wordnet(close_upwards(keys))


def write_list(scenes: Sequence[Scene], hierarchy: Hierarchy, path: Path) -> None:
    """The published labels, one a scene, as a list in the published format: name, tab, ``index:confidence``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{scene.name}\t{hierarchy.index(scene.published)}:1.0\n" for scene in scenes)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def true_table(scenes: Sequence[Scene], hierarchy: Hierarchy, out: Path) -> AnnotationTable:
    """All that is truly in the scenes, with its ancestors."""
    return _annotated(scenes, lambda scene: [(key, Origin.GIVEN) for key in scene.objects], hierarchy, out)


def ruled_table(
    scenes: Sequence[Scene], brought: Callable[[Scene], Sequence[str]], hierarchy: Hierarchy, out: Path
) -> AnnotationTable:
    """The published label of each scene, what rules bring to it, and the ancestors of both."""

    def labels(scene: Scene) -> list[tuple[str, Origin]]:
        return [(scene.published, Origin.GIVEN), *((key, Origin.COOCCURRENCE) for key in brought(scene))]

    return _annotated(scenes, labels, hierarchy, out)


def _annotated(
    scenes: Sequence[Scene],
    labels: Callable[[Scene], Sequence[tuple[str, Origin]]],
    hierarchy: Hierarchy,
    out: Path,
) -> AnnotationTable:
    found = [list(labels(scene)) for scene in scenes]
    batch = pa.record_batch(
        {
            "image": [scene.name for scene in scenes],
            "labels": pa.array([[hierarchy.index(key) for key, _ in each] for each in found], pa.list_(pa.int32())),
            "confidences": pa.array([[1.0] * len(each) for each in found], pa.list_(pa.float32())),
            "origins": pa.array([[int(origin) for _, origin in each] for each in found], pa.list_(pa.uint8())),
        }
    )
    table: AnnotationTable = annotate([batch], hierarchy, out=out)
    return table
