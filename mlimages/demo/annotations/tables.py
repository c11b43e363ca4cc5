"""The demo's label lists and annotation tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.demo.scenes.scene import Scene
from mlimages.hierarchy.wordnet.synsets import close_upwards

#: Predictions below this are not kept.
LEAST_SCORE = 0.05


def objects_hierarchy(keys: Iterable[str]) -> Hierarchy:
    """The synsets of the objects and all their hypernyms, each with all its parents, out of the embedded WordNet."""
    return Hierarchy.from_wordnet(close_upwards(keys), multiple_parents=True)


def write_list(scenes: Sequence[Scene], hierarchy: Hierarchy, path: Path) -> None:
    """The published labels, one a scene, as a list in the published format: name, tab, ``index:confidence``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{scene.name}\t{hierarchy.index(scene.published)}:1.0\n" for scene in scenes)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def true_table(scenes: Sequence[Scene], hierarchy: Hierarchy, out: Path) -> AnnotationTable:
    """All that is truly in the scenes, with its ancestors."""
    labels = [hierarchy.index(scene.objects).tolist() for scene in scenes]
    batch = pa.record_batch(
        {"image": [scene.name for scene in scenes], "labels": pa.array(labels, pa.list_(pa.int32()))}
    )
    table: AnnotationTable = annotate([batch], hierarchy, out=out)
    return table


def predictions(scenes: Sequence[Scene], scores: NDArray[np.float32], outputs: NDArray[np.int32]) -> pa.Table:
    """What a teacher says, as a table of predictions: columns image, labels and scores; the least sure left out.

    Parameters
    ----------
    scenes : sequence of Scene
        m of them.
    scores : float32 array [m, k]
        How sure the teacher is.
    outputs : int32 array [k]
        Of which categories.
    """
    rows, columns = np.nonzero(scores > LEAST_SCORE)
    offsets = pa.array(np.searchsorted(rows, np.arange(len(scenes) + 1)), pa.int32())
    return pa.table(
        {
            "image": [scene.name for scene in scenes],
            "labels": pa.ListArray.from_arrays(offsets, pa.array(outputs[columns], pa.int32())),
            "scores": pa.ListArray.from_arrays(offsets, pa.array(scores[rows, columns], pa.float32())),
        }
    )
