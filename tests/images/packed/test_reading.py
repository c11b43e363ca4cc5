"""Damaged shards of packed images are told, not cut images or labels of another category."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlimages import Hierarchy
from mlimages.errors import TableError
from mlimages.images.packed.reading import PackedImages, read
from mlimages.images.packed.writing import OFFSETS_KEY, Row, write_shards

IMAGES = [b"first image", b"", b"the last, and longest image"]


@pytest.fixture
def packed(zoo: Hierarchy, tmp_path: Path) -> PackedImages:
    rows = [
        Row(f"{i}.jpg", image, np.array([i]), np.ones(1, np.float32), np.zeros(1, np.uint8))
        for i, image in enumerate(IMAGES)
    ]
    write_shards(rows, tmp_path / "packed", hierarchy=zoo)
    return read(tmp_path / "packed")


def rewrite(packed: PackedImages, *, offsets: list[int] | None = None, **columns: pa.Array) -> PackedImages:
    """Write the shard anew with other columns, and with these offsets or none."""
    path = packed.folder / packed.manifest.parts[0].file
    part = pq.read_table(path)
    for name, column in columns.items():
        part = part.set_column(part.schema.get_field_index(name), name, column)
    metadata = {key: value for key, value in part.schema.metadata.items() if key != OFFSETS_KEY}
    if offsets is not None:
        steps = np.diff(np.array(offsets, "<i8"), prepend=np.int64(0))
        metadata[OFFSETS_KEY] = base64.b64encode(zlib.compress(steps.tobytes()))
    pq.write_table(part.replace_schema_metadata(metadata), path, compression="none")
    return read(packed.folder)


def offset_of(packed: PackedImages, image: bytes) -> int:
    return (packed.folder / packed.manifest.parts[0].file).read_bytes().index(image)


def test_a_whole_shard_has_no_problem(packed: PackedImages) -> None:
    assert list(packed.problems()) == []
    assert [row.image for row in packed] == IMAGES
    assert packed.sizes().tolist() == [len(image) for image in IMAGES]
    assert list(rewrite(packed).problems()) == []  # as another program wrote it


def test_an_image_that_ends_beyond_the_file_is_an_error(packed: PackedImages) -> None:
    path = packed.folder / packed.manifest.parts[0].file
    data = bytearray(path.read_bytes())
    at = offset_of(packed, IMAGES[2])
    data[at - 4 : at] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    images = read(packed.folder)
    assert images.image(0) == IMAGES[0]
    for reading in (lambda: images.image(2), images.sizes):
        with pytest.raises(
            TableError, match=r"part-00000\.parquet: row 2( \('2\.jpg'\))?: found an image of 1073741824 b"
        ):
            reading()


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([4, 4], "found 2 offsets of images, expected 3, one a row"),
        ([4, 4, 1 << 40], r"row 2 \('2\.jpg'\): found the image at byte 1099511627776 of"),
        ([4, -9, 4], r"row 1 \('1\.jpg'\): found the image at byte -9 of"),
    ],
)
def test_offsets_that_lie_outside_are_an_error(packed: PackedImages, offsets: list[int], message: str) -> None:
    images = rewrite(packed, offsets=offsets)
    with pytest.raises(TableError, match=rf"part-00000\.parquet: {message}"):
        images.image(0)


def test_offsets_of_another_image_are_found_by_reading_content(packed: PackedImages) -> None:
    first, last = (offset_of(rewrite(packed), image) for image in (IMAGES[0], IMAGES[2]))
    images = rewrite(packed, offsets=[first, first + len(IMAGES[0]) + 4, last])
    assert list(images.problems()) == []
    images = rewrite(packed, offsets=[first, first, last])
    (problem,) = images.problems()
    assert problem.endswith("row 1 ('1.jpg'): found another image where the footer says that it lies")


def test_labels_of_rows_are_checked(packed: PackedImages) -> None:
    images = rewrite(packed, labels=pa.array([[0], [-1], [2]], pa.list_(pa.int16())))
    message = r"part-00000\.parquet: row 1 \('1\.jpg'\): found the label -1, expected 0 to 9"
    for reading in (lambda: images[0], lambda: list(images.batches(columns=["labels"])), lambda: images.take([2])):
        with pytest.raises(TableError, match=message):
            reading()
    assert images.image(0) == IMAGES[0]  # reads no label
    assert len(list(images.problems())) == 1


def test_a_shard_with_fewer_rows_is_refused(packed: PackedImages) -> None:
    path = packed.folder / packed.manifest.parts[0].file
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(TableError, match="found 2 rows, expected 3 as the manifest says"):
        read(packed.folder).image(0)


def test_categories_that_the_manifest_names_must_be_there(packed: PackedImages) -> None:
    (packed.folder / "categories.parquet").unlink()
    with pytest.raises(TableError, match=r"categories\.parquet: missing"):
        _ = read(packed.folder).hierarchy
