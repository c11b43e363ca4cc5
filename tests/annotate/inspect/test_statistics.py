from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlimages
from mlimages import Hierarchy, MlimagesError, Propagation, statistics
from mlimages.annotate import Origin
from mlimages.annotate.inspect.statistics import TableStatistics
from mlimages.errors import MissingExtraError, TableError
from tests.annotate.reference import reach
from tests.annotate.strategies import PROPAGATIONS, hierarchies, labels_by_image, rows_of, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
ROWS = {"a": [(PUPPY, 0.5)], "b": [(CAT, 1.0), (WATER, 0.25)], "c": [(ROSE, 0.75), (DOG, 0.0)], "d": []}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def counted(zoo: Hierarchy, tmp_path: Path) -> TableStatistics:
    return statistics(table_of(ROWS, zoo, tmp_path / "t"), trainable_over=1)


def test_the_published_figures_are_counted(counted: TableStatistics) -> None:
    assert counted.to_dict() == {
        "images": 4,
        "labels": 14,
        "verified_absences": 1,
        "images_without_labels": 1,
        "categories_of_the_hierarchy": 10,
        "categories": 10,
        "trainable_categories": 3,
        "trainable_over": 1,
        "mean_labels_per_image": 3.5,
        "most_labels_of_an_image": 6,
        "mean_images_per_category": 1.4,
        "by_origin": {"given": 5, "ancestor": 10, "cooccurrence": 0, "descendant": 0, "teacher": 0},
        "labels_per_image": [1, 0, 0, 1, 0, 1, 1],
    }
    assert repr(counted).splitlines()[2] == "   3  trainable categories (over 1 images)"
    assert counted._repr_html_().startswith("<pre>   4  images")


def test_every_category_has_its_row(counted: TableStatistics) -> None:
    frame = counted.per_category
    assert frame.loc[THING, ["key", "name", "images", "subtree_images", "absent", "given", "ancestor"]].tolist() == [
        "thing",
        "Thing",
        3,
        3,
        0,
        0,
        3,
    ]
    assert frame.loc[DOG, ["images", "absent", "given", "ancestor"]].tolist() == [1, 1, 1, 1]


def test_a_subtree_counts_images_of_what_is_below_even_where_labels_are_not_closed(
    zoo: Hierarchy, tmp_path: Path
) -> None:
    counted = statistics(table_of(ROWS, zoo, tmp_path / "t", "none"))
    assert counted.images_per_category[THING] == 0
    assert counted.subtree_images.tolist() == [1, 1, 2, 2, 1, 1, 1, 1, 1, 3]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_counts_agree_with_a_loop(data: st.DataObject) -> None:
    hierarchy, rules = data.draw(hierarchies()), data.draw(PROPAGATIONS)
    rows = data.draw(st.lists(rows_of(hierarchy), max_size=6))
    with tempfile.TemporaryDirectory() as folder:
        table = table_of({str(i): row for i, row in enumerate(rows)}, hierarchy, Path(folder) / "t", rules)
        counted, labels = statistics(table, workers=2), list(labels_by_image(table).values())
    n = range(len(hierarchy))
    present = [{label for label, confidence, _ in row if confidence > 0} for row in labels]
    assert counted.images_per_category.tolist() == [sum(i in row for row in present) for i in n]
    assert counted.absent.tolist() == [sum((i, 0.0) in [e[:2] for e in row] for row in labels) for i in n]
    reached = [row | {above for label in row for above in reach(hierarchy, label, "all")} for row in present]
    assert counted.subtree_images.tolist() == [sum(i in row for row in reached) for i in n]
    for origin in Origin:
        expected = [sum((i, origin) == (label, o) for row in labels for label, _, o in row) for i in n]
        assert counted.counts_by_origin[origin].tolist() == expected
    assert counted.histogram.tolist() == np.bincount([len(row) for row in present], minlength=1).tolist()


def test_parts_and_workers_do_not_matter(zoo: Hierarchy, tmp_path: Path) -> None:
    rows = {f"{i}": [(i % 10, 1.0)] for i in range(50)}
    one = statistics(table_of(rows, zoo, tmp_path / "one"), workers=1).to_dict()
    table = table_of(rows, zoo, tmp_path / "parts", part_rows=8)
    assert len(table.manifest.parts) == 7
    assert statistics(tmp_path / "parts", workers=2).to_dict() == one


def test_the_published_list_is_counted(official: Path, ml_images: Hierarchy, tmp_path: Path) -> None:
    source = official / "train_im_list_tiny.txt"
    table = mlimages.annotate(
        source, ml_images, out=tmp_path / "t", propagation=Propagation(ancestors="none", uncertain="none")
    )
    counted = statistics(table)
    tokens = [line.split("\t")[1:] for line in source.read_text().splitlines()]
    assert counted.mean_labels_per_image == sum(map(len, tokens)) / 100 == 8.27
    assert counted.categories == len({token.partition(":")[0] for row in tokens for token in row})


def test_both_figures_show_the_numbers_in_matplotlib(counted: TableStatistics, tmp_path: Path) -> None:
    axes = counted.figure_images_per_class().axes[0]
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_ydata().tolist() == [3, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert "3 categories over 1 images" in [text.get_text() for text in axes.texts]
    bars = counted.figure_labels_per_image().axes[0].patches
    assert [bar.get_height() for bar in bars] == [1, 0, 0, 1, 0, 1, 1]
    written = counted.save_figures(tmp_path / "figures", html=True)
    assert [path.name for path in written] == [
        "images_per_class.png",
        "labels_per_image.png",
        "images_per_class.html",
        "labels_per_image.html",
    ]
    assert all(path.read_bytes().startswith(PNG) for path in written[:2])
    assert all("plotly" in path.read_text() for path in written[2:])


def test_both_figures_show_the_numbers_in_plotly(counted: TableStatistics) -> None:
    classes = counted.figure_images_per_class(backend="plotly")
    assert classes.layout.yaxis.type == "log"
    assert list(classes.data[0].y) == [3, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert classes.data[0].text[0] == "Thing (thing)"
    assert list(counted.figure_labels_per_image(backend="plotly").data[0].y) == [1, 0, 0, 1, 0, 1, 1]


def test_very_long_rows_share_the_last_bar(tmp_path: Path) -> None:
    hierarchy = Hierarchy([f"k{i}" for i in range(100)], [[]] * 100)
    rows = {"a": [(i, 1.0) for i in range(90)], "b": [(i, 1.0) for i in range(60)], "c": [(0, 1.0)]}
    axes = statistics(table_of(rows, hierarchy, tmp_path / "t")).figure_labels_per_image().axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0, 1, *[0] * 58, 2]
    assert axes.get_xlabel() == "present labels (the last bar: 60 to 90)"


def test_an_empty_table_has_statistics_and_figures(zoo: Hierarchy, tmp_path: Path) -> None:
    counted = statistics(table_of({}, zoo, tmp_path / "t"))
    assert (counted.images, counted.categories, counted.mean_labels_per_image) == (0, 0, 0.0)
    assert len(counted.save_figures(tmp_path / "figures")) == 2
    assert counted.figure_images_per_class(backend="plotly").data[0].y.size == 0


def test_wrong_arguments_and_missing_packages_are_told(
    counted: TableStatistics, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(MlimagesError, match="backend='excel': expected matplotlib or plotly"):
        counted.figure_images_per_class(backend="excel")  # type: ignore[arg-type]
    with pytest.raises(MlimagesError, match="workers=0"):
        statistics(tmp_path / "t", workers=0)
    with pytest.raises(MlimagesError, match="trainable_over=-1"):
        statistics(tmp_path / "t", trainable_over=-1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mlimages\[plot\]"'):
        counted.figure_labels_per_image()


def test_a_label_outside_the_hierarchy_is_no_crash(zoo: Hierarchy, tmp_path: Path) -> None:
    table_of(ROWS, zoo, tmp_path / "t")
    path = tmp_path / "t" / "part-00000.parquet"
    part = pq.read_table(path)
    lists = part.column("labels").combine_chunks()
    wrong = type(lists).from_arrays(lists.offsets, np.full(len(lists.values), 30_000, np.int16))
    pq.write_table(part.set_column(1, "labels", wrong), path)
    with pytest.raises(TableError, match=r"part-00000\.parquet: row 0 \('a'\): found the label 30000"):
        statistics(tmp_path / "t")


def test_a_part_whose_pages_are_damaged_is_told_not_a_crash(zoo: Hierarchy, tmp_path: Path) -> None:
    table_of({f"{i}": [(i * 7 % 10, i % 97 / 97)] for i in range(3000)}, zoo, tmp_path / "t")
    path = tmp_path / "t" / "part-00000.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes(len(content) - 6000) + content[-4000:])
    with pytest.raises(TableError, match=r"part-00000\.parquet: damaged .*; mlimages verify checks all parts"):
        statistics(tmp_path / "t")
