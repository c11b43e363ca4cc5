"""Finding the same picture under two names, and letting one stand for all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlimages import Hierarchy, Propagation
from mlimages.annotate.pipeline import annotate
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import FormatError, JobError, MlimagesError, TableError
from mlimages.images import pack, tfrecord
from mlimages.images.duplicates.fingerprints import fingerprint, fingerprint_images
from mlimages.images.duplicates.groups import find_duplicates
from mlimages.images.duplicates.merge import merge_duplicates
from mlimages.images.packed.reading import read
from mlimages.images.picture import PictureError
from mlimages.storage.verify import verify_parts
from tests.images.pictures import MakeTable, encoded, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures 1 (three times, one of them re-encoded), 2 (as PNG and BMP, equal pixels) and 3; and no pictures."""
    path = tmp_path / "images"
    (path / "sub").mkdir(parents=True)
    (path / "a.jpg").write_bytes(encoded(picture(1), quality=95))
    (path / "b.jpg").write_bytes(encoded(picture(2)))
    (path / "c.JPEG").write_bytes(encoded(picture(1), quality=95))
    (path / "d.png").write_bytes(encoded(picture(3), "PNG"))
    (path / "sub/d.bmp").write_bytes(encoded(picture(3), "BMP"))
    (path / "sub/big.jpg").write_bytes(encoded(picture(1).resize((96, 72)), quality=60))
    (path / "sub/broken.jpg").write_bytes(encoded(picture(4))[:800])
    (path / "sub/page.jpg").write_bytes(b"<html>not found</html>")
    (path / "notes.txt").write_text("no picture")
    return path


def _groups(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "groups.parquet").to_pylist()


def _names(out: Path) -> list[list[str]]:
    rows = _groups(out)
    return [[row["image"] for row in rows if row["group"] == g] for g in sorted({row["group"] for row in rows})]


def test_duplicates_are_grouped_exact_and_near(folder: Path, tmp_path: Path) -> None:
    found = find_duplicates(folder, tmp_path / "out", workers=1)
    assert (found.images, found.unreadable, found.groups, found.surplus) == (8, 2, 2, 3)
    assert _names(tmp_path / "out") == [["a.jpg", "c.JPEG", "sub/big.jpg"], ["d.png", "sub/d.bmp"]]
    a, c, big, d, bmp = _groups(tmp_path / "out")
    assert [row["keep"] for row in (a, c, big, d, bmp)] == [False, False, True, True, False]
    assert [row["exact"] for row in (a, c, big, d, bmp)] == [False, False, True, True, True]
    assert a["distance"] == c["distance"] <= 4
    assert (big["width"], big["height"], big["distance"]) == (96, 72, 0)
    broken, page = (tmp_path / "out/unreadable.txt").read_text().splitlines()
    assert broken.startswith("sub/broken.jpg\tdamaged JPEG (")
    assert page.startswith("sub/page.jpg\tfound b'<html>no'..., 22 bytes, expected a JPEG")


def test_without_threshold_only_equal_pixels_are_duplicates(folder: Path, tmp_path: Path) -> None:
    found = find_duplicates(folder, tmp_path / "out", threshold=None, workers=1)
    assert (found.groups, found.surplus) == (2, 2)
    assert _names(tmp_path / "out") == [["a.jpg", "c.JPEG"], ["d.png", "sub/d.bmp"]]
    assert all(row["exact"] for row in _groups(tmp_path / "out"))


def test_more_workers_find_the_same(folder: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        find_duplicates(folder, tmp_path / f"out{workers}", workers=workers, part_images=3)
    files = [{p.name: p.read_bytes() for p in (tmp_path / f"out{workers}").iterdir()} for workers in (1, 2)]
    assert files[0] == files[1]
    assert sorted(name for name in files[0] if name.startswith("part")) == [f"part-0000{i}.parquet" for i in range(3)]


def test_resuming_with_parts_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    fingerprint_images(folder, tmp_path / "out", workers=1, part_images=3)
    with pytest.raises(JobError, match="begun with part_images 3, and to be resumed with 4"):
        fingerprint_images(folder, tmp_path / "out", workers=1, part_images=4, resume=True)
    with pytest.raises(MlimagesError, match="part_images=0: expected at least 1"):
        fingerprint_images(folder, tmp_path / "none", part_images=0)


def test_finished_fingerprints_are_grouped_anew_with_another_threshold(folder: Path, tmp_path: Path) -> None:
    assert find_duplicates(folder, tmp_path / "out", threshold=None, workers=1).surplus == 2
    before = (tmp_path / "out/part-00000.parquet").stat().st_ino
    assert find_duplicates(folder, tmp_path / "out", threshold=4, workers=1, resume=True).surplus == 3
    assert (tmp_path / "out/part-00000.parquet").stat().st_ino == before
    with pytest.raises(JobError, match="already holds a table"):
        find_duplicates(folder, tmp_path / "out", workers=1)
    (folder / "new.jpg").write_bytes(encoded(picture(9)))
    with pytest.raises(JobError, match="begun with images 8, and to be resumed with 9"):
        find_duplicates(folder, tmp_path / "out", workers=1, resume=True)


def test_fingerprints_are_no_table(folder: Path, tmp_path: Path) -> None:
    find_duplicates(folder, tmp_path / "found", workers=1)
    with pytest.raises(TableError, match="found: holds image fingerprints, expected an annotation table or packed"):
        pack(tmp_path / "found", folder, tmp_path / "out")
    with pytest.raises(TableError, match="found: holds image fingerprints, expected packed images"):
        find_duplicates(tmp_path / "found", tmp_path / "again")


def test_official_shard_holds_one_picture_twice(official: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for record in tfrecord.read(official / "tfrecords" / "0.tfrecords"):
        (tmp_path / "images" / record.name).write_bytes(record.image)
    found = find_duplicates(tmp_path / "images", tmp_path / "out", workers=1)
    assert (found.images, found.groups, found.surplus) == (2, 1, 1)
    assert _names(tmp_path / "out") == [["im_2.jpeg", "im_3.jpeg"]]


def test_pictures_without_structure_are_compared_by_pixels_only(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, colour in (("red", "red"), ("blue", "blue"), ("blue2", "blue"), ("white", "white")):
        (tmp_path / f"images/{name}.png").write_bytes(encoded(Image.new("RGB", (40, 40), colour), "PNG"))
    find_duplicates(tmp_path / "images", tmp_path / "out", threshold=16, workers=1)
    assert _names(tmp_path / "out") == [["blue.png", "blue2.png"]]


def test_nothing_alike_gives_no_groups(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for seed in range(5):
        (tmp_path / f"images/{seed}.jpg").write_bytes(encoded(picture(seed)))
    found = find_duplicates(tmp_path / "images", tmp_path / "out", workers=1)
    assert (found.images, found.unreadable, found.groups, found.surplus) == (5, 0, 0, 0)
    assert _groups(tmp_path / "out") == []
    assert not (tmp_path / "out/unreadable.txt").exists()


def test_find_duplicates_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        MlimagesError, match=r"empty: found no image: expected packed images or files that end in \.jpg"
    ):
        find_duplicates(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(MlimagesError, match="nowhere: no such folder"):
        find_duplicates(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(MlimagesError, match=r"found the threshold 17, expected .* 0 to 16"):
        find_duplicates(tmp_path / "empty", tmp_path / "out", threshold=17)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_fingerprint_is_of_the_pixels(kind: str) -> None:
    found = fingerprint(encoded(picture(7), kind))
    assert found == fingerprint(encoded(picture(7), "PNG"))
    assert (found.width, found.height, len(found.sha256)) == (48, 36, 32)
    assert found.phash.bit_count() == 32


def test_fingerprint_tells_shape_and_transparency_apart() -> None:
    wide, tall = (encoded(Image.new("RGB", size), "PNG") for size in ((8, 2), (2, 8)))
    clear = encoded(Image.new("RGBA", (8, 2)), "PNG")
    assert len({fingerprint(data).sha256 for data in (wide, tall, clear)}) == 3


def test_fingerprint_of_sixteen_bit_grey_is_not_clipped() -> None:
    grey = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    eight = Image.fromarray((grey // 256).astype(np.uint8))
    assert fingerprint(out.getvalue()).sha256 == fingerprint(encoded(eight, "PNG")).sha256


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff", encoded(picture(1), "PNG")[:200]])
def test_fingerprint_of_no_picture_raises(data: bytes) -> None:
    with pytest.raises(PictureError, match=r"expected a JPEG|damaged|truncated"):
        fingerprint(data)


LIST = "\n".join(
    [
        "a.jpg\t2:0.9\t9:1",  # animal, thing
        "b.jpg\t7:1",
        "c.JPEG\t1:0.8\t2:1\t5:0",  # puppy, animal, no cat
        "d.png\t4:1",  # stuff
        "sub/d.bmp\t6:1\t5:0.7",  # water, cat
        "sub/big.jpg\t5:0.5",  # cat
    ]
)


def _rows(table: AnnotationTable) -> list[tuple[str, list[int], list[float], list[int]]]:
    return [
        (row["image"], row["labels"], [round(c, 4) for c in row["confidences"]], row["origins"])
        for row in table.to_table().to_pylist()
    ]


def test_merge_keeps_one_image_with_all_labels_most_specific_first(
    folder: Path, tmp_path: Path, make_table: MakeTable
) -> None:
    find_duplicates(folder, tmp_path / "found", workers=1)
    merged = merge_duplicates(make_table(LIST), tmp_path / "found", tmp_path / "out")
    assert (merged.rows_before, merged.rows_after, merged.groups) == (6, 3, 2)
    assert _rows(AnnotationTable.open(tmp_path / "out")) == [
        ("b.jpg", [7], [1], [0]),
        # cat and water are both leaves; cat is deeper
        ("sub/d.bmp", [5, 6, 4], [0.7, 1, 1], [0, 0, 0]),
        # puppy 0.8, cat (0.5 beats the absence), animal (1 beats 0.9), thing
        ("sub/big.jpg", [1, 5, 2, 9], [0.8, 0.5, 1, 1], [0, 0, 0, 0]),
    ]
    assert pq.read_table(tmp_path / "out/dropped.parquet").to_pylist() == [
        {"image": "a.jpg", "kept": "sub/big.jpg", "group": 0},
        {"image": "c.JPEG", "kept": "sub/big.jpg", "group": 0},
        {"image": "d.png", "kept": "sub/d.bmp", "group": 1},
    ]
    assert verify_parts(tmp_path / "out") == []
    assert AnnotationTable.open(tmp_path / "out").manifest.counts == {"duplicates_dropped": 3, "groups_merged": 2}


def test_merge_drops_the_absences_that_flowed_down_from_a_beaten_absence(
    folder: Path, tmp_path: Path, zoo: Hierarchy
) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\t0:1\nc.JPEG\t0:0\t5:0\n")  # a dog; no dog and no cat
    table = annotate(tmp_path / "list.txt", zoo, out=tmp_path / "table", propagation=Propagation(absent="descendants"))
    assert table.to_table().column("labels").to_pylist()[1] == [0, 5, 1]  # nor, therefore, a puppy
    find_duplicates(folder, tmp_path / "found", threshold=None, workers=1)
    merge_duplicates(tmp_path / "table", tmp_path / "found", tmp_path / "out")
    [(name, labels, confidences, _)] = _rows(AnnotationTable.open(tmp_path / "out"))
    # dog with what is above it, and the verified absence of a cat; whether the dog is a puppy is unknown
    assert name == "a.jpg"
    assert dict(zip(labels, confidences, strict=True)) == {0: 1, 3: 1, 2: 1, 9: 1, 5: 0}


def test_merge_drops_what_flowed_down_from_a_beaten_absence(folder: Path, tmp_path: Path, zoo: Hierarchy) -> None:
    find_duplicates(folder, tmp_path / "found", workers=1)
    source = tmp_path / "list.txt"
    source.write_text("a.jpg\t0:0\nc.JPEG\t0:1\nd.png\t3:0\nsub/d.bmp\t5:1\n")
    table = annotate(source, zoo, out=tmp_path / "table", propagation=Propagation(absent="descendants"))
    assert _rows(table)[0] == ("a.jpg", [0, 1], [0, 0], [0, 3])  # no dog, hence no puppy
    merge_duplicates(table.folder, tmp_path / "found", tmp_path / "out")
    assert _rows(AnnotationTable.open(tmp_path / "out")) == [
        # dog beats its absence, and nothing says that it is no puppy
        ("c.JPEG", [0, 3, 2, 9], [1, 1, 1, 1], [0, 1, 1, 1]),
        # cat, hence pet, beats that there is no pet; with it go the absences of dog and puppy
        ("sub/d.bmp", [5, 3, 2, 9], [1, 1, 1, 1], [0, 1, 1, 1]),
    ]


def test_merge_of_packed_images_is_packed(folder: Path, tmp_path: Path, make_table: MakeTable) -> None:
    pack(make_table(LIST), folder, tmp_path / "packed", workers=1)
    found = find_duplicates(tmp_path / "packed", tmp_path / "found", workers=1)
    assert (found.images, found.groups, found.surplus) == (6, 2, 3)
    merge_duplicates(tmp_path / "packed", tmp_path / "found", tmp_path / "out")
    rows = list(read(tmp_path / "out"))
    assert [(row.name, row.labels.tolist()) for row in rows] == [
        ("b.jpg", [7]),
        ("sub/d.bmp", [5, 6, 4]),
        ("sub/big.jpg", [1, 5, 2, 9]),
    ]
    assert [row.image for row in rows] == [(folder / row.name).read_bytes() for row in rows]


def test_merge_leaves_a_table_without_duplicates_as_it_is(folder: Path, tmp_path: Path, make_table: MakeTable) -> None:
    find_duplicates(folder, tmp_path / "found", workers=1)
    table = AnnotationTable.open(make_table("b.jpg\t7:1\na.jpg\t9:1\t2:0.5\nelsewhere.jpg\t1:0\n"))
    merged = merge_duplicates(table.folder, tmp_path / "found", tmp_path / "out")
    assert (merged.rows_before, merged.rows_after, merged.groups) == (3, 3, 0)
    assert _rows(AnnotationTable.open(tmp_path / "out")) == _rows(table)


def test_merge_resumes_and_refuses_other_tables(
    folder: Path, tmp_path: Path, make_table: MakeTable, zoo: Hierarchy
) -> None:
    find_duplicates(folder, tmp_path / "found", workers=1)
    table = make_table(LIST)
    merge_duplicates(table, tmp_path / "found" / "groups.parquet", tmp_path / "out", hierarchy=zoo)
    assert merge_duplicates(
        table, tmp_path / "found" / "groups.parquet", tmp_path / "out", resume=True
    ).rows_after == 3  # fmt: skip
    with pytest.raises(JobError, match="already holds a table"):
        merge_duplicates(table, tmp_path / "found", tmp_path / "out")
    with pytest.raises(TableError, match="was made with another hierarchy"):
        merge_duplicates(table, tmp_path / "found", tmp_path / "x", hierarchy=zoo.subtree("animal"))
    with pytest.raises(FormatError, match="expected the columns group, image, keep"):
        merge_duplicates(table, tmp_path / "list.txt", tmp_path / "x")
    with pytest.raises(FormatError, match="expected the columns group, image, keep"):
        merge_duplicates(table, table / "categories.parquet", tmp_path / "x")
