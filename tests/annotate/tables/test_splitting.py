from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mlimages import AnnotationTable, Hierarchy, MlimagesError
from mlimages.annotate import split
from mlimages.annotate.tables.splitting import stratified
from mlimages.errors import JobError
from tests.annotate.strategies import labels_by_image, table_of

CATEGORIES = 30


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> AnnotationTable:
    """600 images of 30 categories, a few of them frequent and most rare; ten images have no label."""
    lots = np.random.default_rng(5)
    hierarchy = Hierarchy([f"k{i}" for i in range(CATEGORIES)], [[] if i < 5 else [i % 5] for i in range(CATEGORIES)])
    weights = 1 / np.arange(1, CATEGORIES + 1) ** 1.2
    rows: dict[str, list[tuple[int, float]]] = {}
    for i in range(600):
        picked = lots.choice(CATEGORIES, lots.integers(1, 4), replace=False, p=weights / weights.sum())
        rows[f"{i:03d}"] = [] if i % 60 == 0 else [(int(label), 1.0) for label in picked]
    rows["001"].append((CATEGORIES - 1, 0.0))  # verified absent: no positive example
    return table_of(rows, hierarchy, tmp_path_factory.mktemp("split") / "t")


def label_distribution_distance(present: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> float:
    """LD of Sechidis et al. 2011, equation 2: how far odds of the labels in the subsets are from those in all."""
    total = 0.0
    for label in range(present.shape[1]):
        whole = present[:, label].sum() / (~present[:, label]).sum()
        for subset in (chosen, ~chosen):
            here = present[subset, label]
            total += abs(here.sum() / max(1, (~here).sum()) - whole) / 2
    return total / present.shape[1]


def test_every_image_is_in_one_of_two_tables_in_the_order_of_the_table(table: AnnotationTable, tmp_path: Path) -> None:
    train, validation = split(table, tmp_path / "out", validation=0.25, seed=3)
    assert (len(train), len(validation)) == (450, 150)
    whole = labels_by_image(table)
    both = labels_by_image(train) | labels_by_image(validation)
    assert both == whole
    assert list(labels_by_image(train)) == sorted(labels_by_image(train))
    assert train.folder == tmp_path / "out" / "train"
    assert validation.manifest.options == {
        "format": "table",
        "operation": "split",
        "subset": "validation",
        "validation": 0.25,
        "seed": 3,
    }


def test_the_seed_decides_and_the_workers_do_not(table: AnnotationTable, tmp_path: Path) -> None:
    one = split(table, tmp_path / "one", validation=60, workers=1)
    two = split(table, tmp_path / "two", validation=60, workers=2)
    assert [each.manifest for each in one] == [each.manifest for each in two]
    assert len(one.validation) == 60
    assert (stratified(table, 60, seed=1) != stratified(table, 60, seed=0)).any()
    again = split(table, tmp_path / "two", validation=60, resume=True)
    assert again.train.manifest == two.train.manifest
    with pytest.raises(JobError, match="begun with seed 0, and to be resumed with 1"):
        split(table, tmp_path / "two", validation=60, seed=1, resume=True)


def test_categories_are_dealt_in_proportion_better_than_by_the_package_and_by_chance(
    table: AnnotationTable,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, on import
        from skmultilearn.model_selection import IterativeStratification

    present = table.multi_hot(np.arange(len(table))) > 0
    count = 120
    ours, package, chance = [], [], []
    for seed in range(5):
        ours.append(label_distribution_distance(present, stratified(table, count, seed=seed)))
        np.random.seed(seed)  # noqa: NPY002  (the package knows no other way)
        splitter = IterativeStratification(n_splits=2, order=1, sample_distribution_per_fold=[0.8, 0.2])
        theirs = np.zeros(len(table), bool)
        theirs[next(splitter.split(present, present.astype(int)))[0]] = True
        package.append(label_distribution_distance(present, theirs))
        random = np.zeros(len(table), bool)
        random[np.random.default_rng(seed).permutation(len(table))[:count]] = True
        chance.append(label_distribution_distance(present, random))
    assert np.mean(ours) < np.mean(chance) / 3
    assert np.mean(ours) < np.mean(package)


def test_every_category_has_its_share_but_for_rounding(table: AnnotationTable) -> None:
    present = table.multi_hot(np.arange(len(table))) > 0
    chosen = stratified(table, 120)
    rare = present.sum(0) <= 40
    assert rare.any()
    assert np.abs(present[chosen].sum(0) - present.sum(0) * 0.2)[rare].max() <= 2.0


def test_images_without_labels_are_dealt_by_lot(zoo: Hierarchy, tmp_path: Path) -> None:
    empty = table_of({str(i): [] for i in range(50)}, zoo, tmp_path / "t")
    chosen = stratified(empty, 10, seed=1)
    assert chosen.sum() == 10
    assert not chosen[:10].all()


@pytest.mark.parametrize("validation", [0, 1.0, 0.0, -1, 600, 601, 0.0001, True, 2.5])
def test_a_split_that_leaves_one_side_empty_is_refused(
    validation: float, table: AnnotationTable, tmp_path: Path
) -> None:
    with pytest.raises(MlimagesError, match=f"validation={validation} of 600 images: expected a share"):
        split(table, tmp_path / "out", validation=validation)
    assert not (tmp_path / "out").exists()
