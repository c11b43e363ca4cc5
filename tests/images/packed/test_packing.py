"""Packing: what is written is what is read, by us and by others, whoever writes and however often it is killed."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.errors import JobError, MlimagesError, TableError
from mlimages.images.packed.packing import pack
from mlimages.images.packed.reading import read
from mlimages.images.packed.shards import plan
from mlimages.images.packed.writing import OFFSETS_KEY, Row, write_shards
from mlimages.storage.manifest import Manifest
from mlimages.storage.verify import verify_parts
from tests.images.pictures import Dataset

SMALL = {"row_group_mib": 1, "shard_mib": 1}


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _random_rows(count: int, *, size: int = 3000) -> list[Row]:
    random = np.random.default_rng(count)
    return [
        Row(
            f"{number}.jpg",
            random.bytes(int(random.integers(0, size))),
            np.arange(number % 4),
            np.linspace(0.5, 1, number % 4, dtype=np.float32),
            np.zeros(number % 4, np.uint8),
        )
        for number in range(count)
    ]


def _check_same(found: Row, expected: Row) -> None:
    assert (found.name, found.image) == (expected.name, expected.image)
    for name in ("labels", "confidences", "origins"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


def test_packed_rows_are_the_files_with_their_labels(dataset: Dataset, tmp_path: Path) -> None:
    images = pack(dataset.table, dataset.images, tmp_path / "out", workers=1, **SMALL)
    assert len(images) == 40
    assert list(images.names()) == dataset.names
    for row, name in zip(images, dataset.names, strict=True):
        assert (row.name, row.image) == (name, (dataset.images / name).read_bytes())
    row = images[5]
    assert (row.labels.tolist(), row.labels.dtype) == ([0, 1, 2], np.int16)
    assert row.confidences.tolist() == pytest.approx([1, 0.95, 0.9])
    assert (row.origins.tolist(), row.origins.dtype) == ([0, 0, 0], np.uint8)
    assert images.hierarchy is not None
    assert images.hierarchy.fingerprint == images.manifest.metadata["hierarchy_fingerprint"]


def test_names_without_an_ending_are_those_of_jpegs_and_pngs(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("00ab.jpg", "00cd.png", "00ef"):
        (tmp_path / "images" / name).write_bytes(name.encode())
    (tmp_path / "list.txt").write_text("00ab\ta:1\n00cd\ta:1\n00ef\ta:1\n")
    annotate(tmp_path / "list.txt", Hierarchy(["a"], [[]]), out=tmp_path / "table")
    images = pack(tmp_path / "table", tmp_path / "images", tmp_path / "packed", workers=1)
    assert [(row.name, row.image) for row in images] == [
        ("00ab", b"00ab.jpg"),
        ("00cd", b"00cd.png"),
        ("00ef", b"00ef"),
    ]


def test_shards_are_balanced_by_bytes(dataset: Dataset, tmp_path: Path) -> None:
    images = pack(dataset.table, dataset.images, tmp_path / "out", workers=1, **SMALL)
    sizes = [part.bytes for part in images.manifest.parts]
    assert len(sizes) == 2
    assert max(sizes) - min(sizes) < 2 * 92_000  # the one image that crosses the bound
    assert images.manifest.options["image_bytes"] == int(images.sizes().sum())
    assert verify_parts(tmp_path / "out") == []


def test_pack_gives_the_same_bytes_with_more_workers(dataset: Dataset, tmp_path: Path) -> None:
    pack(dataset.table, dataset.images, tmp_path / "one", workers=1, **SMALL)
    pack(dataset.table, dataset.images, tmp_path / "three", workers=3, **SMALL)
    one = _files(tmp_path / "one")
    assert sorted(one) == ["categories.parquet", "manifest.json", "part-00000.parquet", "part-00001.parquet"]
    assert _files(tmp_path / "three") == one


def test_pack_that_was_killed_ends_byte_identical(dataset: Dataset, tmp_path: Path) -> None:
    big = dataset.images / dataset.names[7]
    big.write_bytes(np.random.default_rng(0).bytes(6 << 20))  # eight shards
    pack(dataset.table, dataset.images, tmp_path / "whole", workers=1, **SMALL)
    script = (
        "import sys, time; from mlimages.images.packed import packing as p; make = p.write_shard\n"
        "p.write_shard = lambda *a, **k: (time.sleep(0.2), make(*a, **k))[1]\n"
        "p.pack(*sys.argv[1:4], row_group_mib=1, shard_mib=1, workers=1, resume=True)"
    )
    command = [sys.executable, "-c", script, dataset.table, dataset.images, tmp_path / "killed"]
    random = np.random.default_rng(3)
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        seen = len(list((tmp_path / "killed").glob("part-*.parquet")))
        while process.poll() is None and len(list((tmp_path / "killed").glob("part-*.parquet"))) <= seen:
            time.sleep(0.002)
        time.sleep(random.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    pack(dataset.table, dataset.images, tmp_path / "killed", workers=2, resume=True, **SMALL)
    assert _files(tmp_path / "killed") == _files(tmp_path / "whole")


def test_resume_of_a_finished_pack_does_nothing(dataset: Dataset, tmp_path: Path) -> None:
    pack(dataset.table, dataset.images, tmp_path / "out", workers=1)
    before = (tmp_path / "out/part-00000.parquet").stat().st_ino
    assert len(pack(dataset.table, dataset.images, tmp_path / "out", workers=1, resume=True)) == 40
    assert (tmp_path / "out/part-00000.parquet").stat().st_ino == before
    with pytest.raises(JobError, match="out: already holds a table: choose another folder, or remove this one"):
        pack(dataset.table, dataset.images, tmp_path / "out", workers=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_group_mib": 2}, "begun with row_group_mib 1, and to be resumed with 2"),
        ({"shard_mib": 2}, "begun with shard_mib 1, and to be resumed with 2"),
    ],
)
def test_resume_refuses_other_options(dataset: Dataset, tmp_path: Path, change, message) -> None:
    pack(dataset.table, dataset.images, tmp_path / "out", workers=1, **SMALL)
    with pytest.raises(JobError, match=message):
        pack(dataset.table, dataset.images, tmp_path / "out", workers=1, resume=True, **{**SMALL, **change})


def test_resume_refuses_changed_images(dataset: Dataset, tmp_path: Path) -> None:
    pack(dataset.table, dataset.images, tmp_path / "out", workers=1, **SMALL)
    (dataset.images / dataset.names[3]).write_bytes(b"other")
    with pytest.raises(JobError, match=r"begun with image_bytes .*: use the same, or start again in a new folder"):
        pack(dataset.table, dataset.images, tmp_path / "out", workers=1, resume=True, **SMALL)


def test_missing_images_end_the_job_or_are_listed(dataset: Dataset, tmp_path: Path) -> None:
    for number in (0, 11, 39):
        (dataset.images / dataset.names[number]).unlink()
    message = "table: 3 of 40 images have no file, the first is '0/bild-00.jpg': .*--on-missing skip"
    with pytest.raises(MlimagesError, match=message):
        pack(dataset.table, dataset.images, tmp_path / "out", workers=1)
    images = pack(dataset.table, dataset.images, tmp_path / "out", workers=1, on_missing="skip", **SMALL)
    assert list(images.names()) == [name for i, name in enumerate(dataset.names) if i not in (0, 11, 39)]
    assert images[0].image == (dataset.images / dataset.names[1]).read_bytes()
    assert (tmp_path / "out/missing.txt").read_text() == "0/bild-00.jpg\n2/bild-11.jpg\n0/bild-39.jpg\n"
    assert images.manifest.options["missing"] == 3


def test_image_that_vanishes_meanwhile_ends_the_job(dataset: Dataset, tmp_path: Path) -> None:
    last = dataset.images / dataset.names[39]  # in the second shard, which is made after the first
    message = r"found \d+ images for the rows \d+ to 40, expected \d+: files came or went"
    with pytest.raises(JobError, match=message):
        pack(dataset.table, dataset.images, tmp_path / "out", workers=1, progress=lambda _: last.unlink(), **SMALL)
    assert not last.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row_group_mib": 0}, "row_group_mib=0: expected at least 1"),
        ({"shard_mib": 0}, "shard_mib=0: expected at least 1"),
        ({"workers": 0}, "workers=0: expected at least 1"),
        ({"on_missing": "ignore"}, "on_missing='ignore': expected raise or skip"),
    ],
)
def test_pack_refuses_options_out_of_range(dataset: Dataset, tmp_path: Path, options, message) -> None:
    with pytest.raises(MlimagesError, match=message):
        pack(dataset.table, dataset.images, tmp_path / "out", **options)


def test_pack_needs_exactly_one_place_for_images(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"holds labels without pixels: say in which folder the images are"):
        pack(dataset.table, None, tmp_path / "out")
    with pytest.raises(MlimagesError, match="nowhere: no such folder: expected the images"):
        pack(dataset.table, tmp_path / "nowhere", tmp_path / "out")
    pack(dataset.table, dataset.images, tmp_path / "out", workers=1)
    with pytest.raises(TableError, match="has its images packed: leave out the folder"):
        pack(tmp_path / "out", dataset.images, tmp_path / "again")
    with pytest.raises(TableError, match=r"table: holds labels without pixels, expected packed images"):
        read(dataset.table)


def test_packed_images_packed_anew_hold_the_same_rows(dataset: Dataset, tmp_path: Path) -> None:
    first = pack(dataset.table, dataset.images, tmp_path / "first", workers=1)
    again = pack(tmp_path / "first", None, tmp_path / "again", workers=2, **SMALL)
    assert (len(first.manifest.parts), len(again.manifest.parts)) == (1, 2)
    for one, other in zip(first, again, strict=True):
        _check_same(other, one)


def test_hugging_face_datasets_reads_an_image_feature(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    pack(dataset.table, dataset.images, tmp_path / "out", workers=1, **SMALL)
    files = [str(path) for path in sorted((tmp_path / "out").glob("part-*.parquet"))]
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded.features["image"] == datasets.Image()
    assert [loaded.features[name].feature.dtype for name in ("labels", "confidences", "origins")] == [
        "int16", "float32", "uint8",
    ]  # fmt: skip
    row = loaded[5]
    assert (row["image"].size, row["image"].mode, row["labels"]) == ((48, 36), "RGB", [0, 1, 2])
    assert loaded.cast_column("image", datasets.Image(decode=False))[5]["image"] == {
        "bytes": (dataset.images / dataset.names[5]).read_bytes(),
        "path": dataset.names[5],
    }


def test_duckdb_and_pandas_read_the_shards(dataset: Dataset, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    pack(dataset.table, dataset.images, tmp_path / "out", workers=1, **SMALL)
    query = (
        f"select image.path, octet_length(image.bytes), labels from '{tmp_path}/out/part-*.parquet' where 2 in labels"
    )
    found = duckdb.sql(query).fetchall()
    expected = dataset.names[2::3]
    assert [(name, size) for name, size, _ in found] == [
        (name, (dataset.images / name).stat().st_size) for name in expected
    ]
    assert found[0][2] == [0, 1, 2]


def test_write_shards_cuts_rows_as_they_come(tmp_path: Path, zoo: Hierarchy) -> None:
    rows = _random_rows(1500)
    manifest = write_shards(iter(rows), tmp_path / "out", hierarchy=zoo, row_group_mib=1, shard_mib=1)
    assert len(manifest.parts) == 3
    images = read(tmp_path / "out")
    assert images.hierarchy == zoo
    for found, expected in zip(images, rows, strict=True):
        _check_same(found, expected)
    assert images.sizes().tolist() == [len(row.image) for row in rows]
    with pytest.raises(JobError, match="exists and is not an empty folder"):
        write_shards(rows, tmp_path / "out", hierarchy=zoo)


@pytest.mark.parametrize(("categories", "kind"), [(0, "int16"), (32_767, "int16"), (32_768, "int32")])
def test_write_shards_of_nothing_is_an_empty_dataset(tmp_path: Path, categories: int, kind: str) -> None:
    write_shards([], tmp_path / "out", categories=categories)
    images = read(tmp_path / "out")
    assert (len(images), list(images), images.hierarchy) == (0, [], None)
    assert str(images.schema.field("labels").type.value_type) == kind


def test_equal_and_empty_images_are_told_apart_by_their_rows(tmp_path: Path) -> None:
    """Contents that make the search for their places hard: empty, equal, one the beginning of another, zeros."""
    contents = [b"", b"", b"\0" * 100, b"\0" * 5000, b"\0" * 100, b"abc" * 50, b"abc" * 500, b"", b"abc" * 50]
    none = (np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.uint8))
    write_shards([Row(str(i), data, *none) for i, data in enumerate(contents)], tmp_path / "out", categories=3)
    assert [row.image for row in read(tmp_path / "out")] == contents


def test_rows_by_number_in_any_order(tmp_path: Path) -> None:
    rows = _random_rows(700)
    write_shards(rows, tmp_path / "out", categories=10, row_group_mib=1, shard_mib=1)
    images = pickle.loads(pickle.dumps(read(tmp_path / "out")))
    for number in np.random.default_rng(0).permutation(700)[:100].tolist():
        _check_same(images[number], rows[number])
    assert images.image(3) == rows[3].image
    _check_same(images[-1], rows[699])
    assert [row.name for row in images[698:]] == ["698.jpg", "699.jpg"]
    assert [row.name for row in images.rows(10, 12)] == ["10.jpg", "11.jpg"]
    taken = images.take([650, 2, 650])
    assert taken.column("image").combine_chunks().field("path").to_pylist() == ["650.jpg", "2.jpg", "650.jpg"]
    assert taken.column("labels").to_pylist() == [[0, 1], [0, 1], [0, 1]]
    for number in (700, -701):
        with pytest.raises(IndexError, match=f"row {number} of 700 packed images"):
            images[number]


def test_batches_hold_all_rows_or_some_columns(tmp_path: Path) -> None:
    rows = _random_rows(700)
    write_shards(rows, tmp_path / "out", categories=10, row_group_mib=1, shard_mib=1)
    images = read(tmp_path / "out")
    table = pa.Table.from_batches(images.batches(rows=100))
    assert table.column("image").combine_chunks().field("bytes").to_pylist() == [row.image for row in rows]
    (names,) = {tuple(batch.schema.names) for batch in images.batches(columns=["labels"])}
    assert names == ("labels",)


def test_shuffled_gives_every_row_once_in_an_order_of_the_seed(tmp_path: Path) -> None:
    rows = _random_rows(3000)
    write_shards(rows, tmp_path / "out", categories=10, row_group_mib=1, shard_mib=2)
    images = read(tmp_path / "out")
    orders = [[row.name for row in images.shuffled(seed=seed, groups=2)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(row.name for row in rows)
    first = set(orders[0][:200])
    assert len(first & {row.name for row in rows[:200]}) < 100


def test_parquet_of_another_writer_is_read_by_row_groups(tmp_path: Path) -> None:
    rows = _random_rows(200)
    write_shards(rows, tmp_path / "out", categories=10)
    path = tmp_path / "out/part-00000.parquet"
    pq.write_table(pq.read_table(path), path, compression="zstd", row_group_size=64)
    assert OFFSETS_KEY not in (pq.read_metadata(path).metadata or {})
    images = read(tmp_path / "out")
    for found, expected in zip(images, rows, strict=True):
        _check_same(found, expected)
    assert images.sizes().tolist() == [len(row.image) for row in rows]
    assert len(list(images.shuffled(seed=0))) == 200


def test_damaged_or_missing_shard_is_named(tmp_path: Path) -> None:
    write_shards(_random_rows(20), tmp_path / "out", categories=10)
    path = tmp_path / "out/part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TableError, match=r"part-00000.parquet: damaged \(.*\); mlimages verify"):
        read(tmp_path / "out")[0]
    path.unlink()
    with pytest.raises(TableError, match=r"part-00000.parquet: missing; mlimages verify"):
        read(tmp_path / "out")[0]


def test_plan_cuts_equal_bytes_and_covers_every_row() -> None:
    sizes = np.random.default_rng(0).integers(-1, 300_000, 5000)
    tasks = plan(sizes, shard_mib=16)
    assert [task.start for task in tasks] == [0, *(task.stop for task in tasks[:-1])]
    assert tasks[-1].stop == 5000
    assert sum(task.rows for task in tasks) == (sizes >= 0).sum()
    assert sum(task.size for task in tasks) == sizes[sizes > 0].sum()
    assert max(task.size for task in tasks) - min(task.size for task in tasks) < 600_000
    assert [(task.start, task.stop) for task in plan(np.empty(0, np.int64), shard_mib=1)] == [(0, 0)]
    assert len(plan(np.array([5 << 20, 1, 1]), shard_mib=1)) == 2


def test_manifest_says_where_it_came_from(dataset: Dataset, tmp_path: Path) -> None:
    pack(dataset.table, dataset.images, tmp_path / "out", workers=1)
    manifest = Manifest.read(tmp_path / "out")
    assert [each.path for each in manifest.inputs] == [str(dataset.table / "manifest.json")]
    assert manifest.metadata["content"] == "packed images"
    stored = json.loads(pq.read_schema(tmp_path / "out/part-00000.parquet").metadata[b"mlimages"])
    assert stored == manifest.metadata
