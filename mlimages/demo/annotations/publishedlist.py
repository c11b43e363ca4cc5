"""The published rows of ML-Images, if available: recover the given labels, regenerate the annotations."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from mlimages import AnnotationTable, Hierarchy, Propagation
from mlimages.annotate import statistics
from mlimages.annotate.pipeline import annotate
from mlimages.annotate.propagation.recover import recover_given
from mlimages.demo.account import Account
from mlimages.hierarchy.load import DATA_VARIABLE, DICTIONARY_FILE

LIST_FILE = "train_im_list_tiny.txt"
_BESIDE = Path("..") / "shared" / "ml-images"


def published_folder() -> Path | None:
    """The folder that holds the published list and its dictionary, or None."""
    given = os.environ.get(DATA_VARIABLE)
    for folder in [*([Path(given)] if given else []), _BESIDE]:
        if all((folder / name).is_file() for name in (LIST_FILE, DICTIONARY_FILE)):
            return folder
    return None


def regenerate_published(folder: Path, out: Path, account: Account) -> AnnotationTable:
    """Reduce the published rows to their given labels, regenerate them, and count the rows that are identical."""
    hierarchy = Hierarchy.from_dictionary(folder / DICTIONARY_FILE)
    account.say(f"{folder / DICTIONARY_FILE}: {len(hierarchy):,} categories")
    batches = list(annotate(folder / LIST_FILE, hierarchy, propagation="none"))
    published = _labels(batches)
    given = list(recover_given(iter(batches), hierarchy))
    table: AnnotationTable = annotate(given, hierarchy, out=out, propagation=Propagation.published())
    again = _labels(table.batches())
    same = sum(again[image] == labels for image, labels in published.items())
    account.say(
        f"{folder / LIST_FILE}: {len(published):,} rows, {sum(map(len, published.values())):,} labels, "
        f"made of {sum(map(len, _labels(given).values())):,} given ones\n"
        f"regenerated from those under the published rules: {same:,} of {len(published):,} rows exactly as published"
    )
    account.say(repr(statistics(table)))
    return table


def _labels(batches: Iterable[pa.RecordBatch]) -> dict[str, list[tuple[int, float]]]:
    """By image: its (label, confidence) pairs, in order."""
    columns = ("image", "labels", "confidences")
    return {
        image: list(zip(labels, confidences, strict=True))
        for batch in batches
        for image, labels, confidences in zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    }
