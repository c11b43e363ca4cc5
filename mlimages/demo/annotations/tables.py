"""Label lists, annotation tables and predictions of scenes."""

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

#: Predictions up to this score are left out.
LEAST_SCORE = 0.05


def objects_hierarchy(keys: Iterable[str]) -> Hierarchy:
    """The synsets of the objects with all hypernyms and all parents, from the embedded WordNet."""
    return Hierarchy.from_wordnet(close_upwards(keys), multiple_parents=True)


def write_list(scenes: Sequence[Scene], hierarchy: Hierarchy, path: Path) -> None:
    """Write the published labels, one per scene, in the published format: name, tab, ``index:confidence``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{scene.name}\t{hierarchy.index(scene.published)}:1.0\n" for scene in scenes)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def true_table(scenes: Sequence[Scene], hierarchy: Hierarchy, out: Path) -> AnnotationTable:
    """Write the table of the true contents of scenes, with ancestors."""
    labels = [hierarchy.index(scene.objects).tolist() for scene in scenes]
    batch = pa.record_batch(
        {"image": [scene.name for scene in scenes], "labels": pa.array(labels, pa.list_(pa.int32()))}
    )
    table: AnnotationTable = annotate([batch], hierarchy, out=out)
    return table


def predictions(scenes: Sequence[Scene], scores: NDArray[np.float32], outputs: NDArray[np.int32]) -> pa.Table:
    """The table of a teacher's predictions above `LEAST_SCORE`: columns image, labels and scores.

    Parameters
    ----------
    scenes : sequence of Scene
        m of them.
    scores : float32 array [m, k]
        Probabilities.
    outputs : int32 array [k]
        Category index of each column.
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
