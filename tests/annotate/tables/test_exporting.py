from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlimages
from mlimages import AnnotationTable, Hierarchy, MlimagesError
from mlimages.annotate import export
from mlimages.errors import LabelError, TableError
from tests.annotate.strategies import hierarchies, labels_by_image, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
ROWS = {'a "b", c.jpg': [(WATER, 0.8)], "é": [(STUFF, 1.0), (THING, 0.0)]}


def test_the_published_list_comes_back_but_for_the_spelling_of_one(
    official: Path, ml_images: Hierarchy, tmp_path: Path
) -> None:
    source = official / "train_im_list_tiny.txt"
    table = mlimages.annotate(source, ml_images, out=tmp_path / "t", propagation="none")
    written = export(table, tmp_path / "list.txt")
    assert (written.images, written.left_out) == (100, 0)
    assert (tmp_path / "list.txt").read_bytes() == source.read_bytes().replace(b":1.0", b":1")


def test_a_list_has_a_line_an_image_with_the_shortest_numbers(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS | {"none": []}, zoo, tmp_path / "t")
    written = export(table, tmp_path / "list")
    assert (tmp_path / "list").read_text() == 'a "b", c.jpg\t6:0.8\t4:0.8\né\t4:1\t9:0\n'
    assert (written.images, written.left_out) == (2, 1)
    export(table, tmp_path / "keys", keys=True)
    assert (tmp_path / "keys").read_text() == 'a "b", c.jpg\twater:0.8\tstuff:0.8\né\tstuff:1\tthing:0\n'


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_list_reads_as_the_table_that_wrote_it(data: st.DataObject) -> None:
    hierarchy = data.draw(hierarchies())
    confidence = st.floats(0, 1, width=32).filter(lambda value: value == 0 or value > 1e-30)
    row = st.lists(st.tuples(st.integers(0, len(hierarchy) - 1), confidence), min_size=1, max_size=5)
    rows = {f"{i} é": each for i, each in enumerate(data.draw(st.lists(row, min_size=1, max_size=4)))}
    with tempfile.TemporaryDirectory() as folder:
        table = table_of(rows, hierarchy, Path(folder) / "t", "none")
        export(table, Path(folder) / "list", keys=data.draw(st.booleans()))
        again = mlimages.annotate(Path(folder) / "list", hierarchy, out=Path(folder) / "again", propagation="none")
        assert labels_by_image(again) == labels_by_image(table)


@pytest.mark.parametrize("name", ["list.gz", "list.zst"])
def test_compression_follows_the_ending(name: str, zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    export(table, tmp_path / "plain")
    export(table, tmp_path / name)
    kind = "gzip" if name.endswith("gz") else "zstd"
    with pa.CompressedInputStream(pa.OSFile(str(tmp_path / name)), kind) as stream:
        assert stream.read() == (tmp_path / "plain").read_bytes()


def test_the_bytes_do_not_depend_on_the_workers(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of({f"{i}": [(i % 10, 1.0 - i % 3 / 4)] for i in range(1000)}, zoo, tmp_path / "t")
    export(table, tmp_path / "1.gz", workers=1)
    export(table, tmp_path / "2.gz", workers=2)
    assert (tmp_path / "1.gz").read_bytes() == (tmp_path / "2.gz").read_bytes()
    assert gzip.decompress((tmp_path / "1.gz").read_bytes()).count(b"\n") == 1000


def test_csv_has_a_line_a_label_and_quotes_what_needs_it(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    export(table, tmp_path / "labels.csv")
    assert list(csv.reader(io.StringIO((tmp_path / "labels.csv").read_text()))) == [
        ["image", "key", "name", "confidence", "origin"],
        ['a "b", c.jpg', "water", "Water, a water", "0.8", "given"],
        ['a "b", c.jpg', "stuff", "Stuff, a stuff", "0.8", "ancestor"],
        ["é", "stuff", "Stuff, a stuff", "1", "given"],
        ["é", "thing", "Thing, a thing", "0", "given"],
    ]
    assert export(table, tmp_path / "labels.csv.gz").images == 2
    assert gzip.decompress((tmp_path / "labels.csv.gz").read_bytes()) == (tmp_path / "labels.csv").read_bytes()


@pytest.fixture
def written(zoo: Hierarchy, tmp_path: Path) -> tuple[AnnotationTable, Path]:
    table = table_of(ROWS, zoo, tmp_path / "t")
    return table, export(table, tmp_path / "t" / "croissant.json").path


def test_mlcroissant_validates_the_metadata_and_loads_the_records(written: tuple[AnnotationTable, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies' own, on import
        import mlcroissant

        logging.getLogger("absl").setLevel(logging.ERROR)
        dataset = mlcroissant.Dataset(str(written[1]))
        images, categories = list(dataset.records("images")), list(dataset.records("categories"))
    assert list(dataset.metadata.issues.errors) == []
    assert all("is recommended" in warning for warning in dataset.metadata.issues.warnings)
    assert images[0]["images/image"] == b'a "b", c.jpg'
    assert images[0]["images/labels"] == [WATER, STUFF]
    assert images[1]["images/confidences"] == [1.0, 0.0]
    assert images[0]["images/origins"] == [0, 1]
    assert categories[0] == {
        "categories/index": 0,
        "categories/key": b"dog",
        "categories/names": [b"Dog", b"a dog"],
        "categories/parents": [ANIMAL, PET],
    }


def test_croissant_metadata_names_every_file_with_its_hash(written: tuple[AnnotationTable, Path]) -> None:
    import hashlib

    files = json.loads(written[1].read_text())["distribution"]
    assert [each["contentUrl"] for each in files[:-1]] == ["categories.parquet", "part-00000.parquet"]
    for each in files[:-1]:
        content = (written[1].parent / each["contentUrl"]).read_bytes()
        assert each["sha256"] == hashlib.sha256(content).hexdigest()
        assert each["contentSize"] == f"{len(content)} B"


def test_croissant_metadata_stands_in_or_above_the_folder_of_the_table(
    written: tuple[AnnotationTable, Path], tmp_path: Path
) -> None:
    above = json.loads(export(written[0], tmp_path / "c.json").path.read_text())
    assert above["distribution"][-1]["includes"] == "t/part-*.parquet"
    (tmp_path / "beside").mkdir()
    with pytest.raises(TableError, match=r"neither the folder of the table nor above it: write .*croissant\.json"):
        export(written[0], tmp_path / "beside" / "c.json")
    (tmp_path / "t" / "part-00000.parquet").unlink()
    with pytest.raises(TableError, match=r"part-00000\.parquet: missing"):
        export(written[0], written[1])


def test_what_cannot_be_exported_is_refused_and_leaves_the_old_file(zoo: Hierarchy, tmp_path: Path) -> None:
    for i, name in enumerate(["tab\there", ""]):
        table = table_of({"good": [(DOG, 1.0)], name: [(DOG, 1.0)]}, zoo, tmp_path / str(i))
        (tmp_path / "list").write_text("old")
        with pytest.raises(LabelError, match="which no list can hold"):
            export(table, tmp_path / "list")
        assert (tmp_path / "list").read_text() == "old"
    with pytest.raises(MlimagesError, match="unknown format 'xml': expected list, csv, croissant"):
        export(table, tmp_path / "x", format="xml")  # type: ignore[arg-type]
    with pytest.raises(MlimagesError, match="keys is an option of the format list, not of csv"):
        export(table, tmp_path / "x.csv", keys=True)
    with pytest.raises(MlimagesError, match="workers=0"):
        export(table, tmp_path / "x", workers=0)


def test_confidences_of_every_float_are_read_back(zoo: Hierarchy, tmp_path: Path) -> None:
    values = np.random.default_rng(1).random(5000, dtype=np.float32)
    table = table_of({f"{i}": [(DOG, float(value))] for i, value in enumerate(values)}, zoo, tmp_path / "t", "none")
    export(table, tmp_path / "list")
    again = mlimages.annotate(tmp_path / "list", zoo, out=tmp_path / "again", propagation="none")
    assert again.to_table().column("confidences").combine_chunks().flatten().to_numpy().tolist() == values.tolist()
