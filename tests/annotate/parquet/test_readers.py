"""A table is read by others without this package."""

from __future__ import annotations

import warnings
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

from mlimages import AnnotationTable, Hierarchy
from tests.annotate.strategies import rows_in, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)


@pytest.fixture
def table(zoo: Hierarchy, tmp_path: Path) -> AnnotationTable:
    """Five images in three parts, one of them without labels."""
    rows = {
        "a.jpg": [(PUPPY, 0.5)],
        "é.jpg": [(CAT, 1.0), (WATER, 0.0)],
        "c": [],
        "d": [(ROSE, 0.8)],
        "e": [(DOG, 1.0)],
    }
    return table_of(rows, zoo, tmp_path / "t", part_rows=2)


def expected(table: AnnotationTable) -> list[tuple[str, list[tuple[int, float, int]]]]:
    whole = table.to_table()
    return list(zip(whole.column("image").to_pylist(), rows_in(whole), strict=True))


def zipped(images: list[str], *columns: list[list[float]]) -> list[tuple[str, list[tuple[float, ...]]]]:
    rows = zip(*columns, strict=True)
    return [(image, list(zip(*row, strict=True))) for image, row in zip(images, rows, strict=True)]


def test_duckdb_reads_a_table(table: AnnotationTable) -> None:
    with duckdb.connect() as connection:
        found = connection.execute(
            "select image, labels, confidences, origins from read_parquet(?) order by filename, file_row_number",
            [[str(table.folder / part.file) for part in table.manifest.parts]],
        ).fetchall()
        assert zipped(*map(list, zip(*found, strict=True))) == expected(table)
        categories = connection.execute(
            "select key, count(*) from (select unnest(labels) as label from read_parquet(?)) "
            "join read_parquet(?) on label = index group by key having count(*) > 2 order by key",
            [str(table.folder / "part-*.parquet"), str(table.folder / "categories.parquet")],
        ).fetchall()
    assert categories == [("animal", 3), ("pet", 3), ("thing", 4)]


def test_polars_reads_a_table(table: AnnotationTable) -> None:
    frame = pl.read_parquet(table.folder / "part-*.parquet")
    assert zipped(*(frame[name].to_list() for name in ("image", "labels", "confidences", "origins"))) == expected(table)
    assert frame.schema["labels"] == pl.List(pl.Int16)


def test_pandas_reads_a_part(table: AnnotationTable) -> None:
    frame = pd.read_parquet(table.folder / "part-00000.parquet")
    assert frame["image"].tolist() == ["a.jpg", "é.jpg"]
    assert frame["labels"][1].tolist() == [CAT, PET, ANIMAL, THING, WATER]


def test_hugging_face_datasets_reads_a_table(
    table: AnnotationTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies' own
        import datasets

        datasets.disable_progress_bars()
        loaded = datasets.load_dataset(
            "parquet",
            data_files=[str(table.folder / part.file) for part in table.manifest.parts],
            split="train",
            cache_dir=str(tmp_path / "cache"),
        )
        columns = [loaded[name][:] for name in ("image", "labels", "confidences", "origins")]
    assert zipped(*columns) == expected(table)
