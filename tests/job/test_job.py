from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlimages
from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate.parquet.writer import TableWriter
from mlimages.annotate.sources.imagelist import ImageList
from mlimages.annotate.sources.memory import MemorySource
from mlimages.errors import FormatError, JobError, LabelError, MlimagesError, TableError
from mlimages.job import job
from mlimages.storage.files import file_hash
from mlimages.storage.verify import verify_parts


@pytest.fixture
def image_list(tmp_path: Path) -> Path:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"image{i:06d}.jpg\t{i % 10}:1\t{i * 7 % 10}:0.5\n" for i in range(1000)))
    return path


def in_parts(path: Path, zoo: Hierarchy) -> ImageList:
    """The list as a source of 13 parts."""
    return ImageList(path, zoo, unit_bytes=2000)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_the_bytes_do_not_depend_on_the_number_of_workers(zoo: Hierarchy, image_list: Path, tmp_path: Path) -> None:
    for workers in (1, 2, 7):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=tmp_path / f"out{workers}", workers=workers)
    assert len(list((tmp_path / "out1").glob("part-*.parquet"))) == 13
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2") == contents(tmp_path / "out7")
    assert set(contents(tmp_path / "out1")) - {f"part-{i:05d}.parquet" for i in range(13)} == {
        "categories.parquet",
        "manifest.json",
    }


def test_the_manifest_says_what_there_is(zoo: Hierarchy, image_list: Path, tmp_path: Path) -> None:
    table = mlimages.annotate(in_parts(image_list, zoo), zoo, out=tmp_path / "out", propagation="published")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows"] == len(table) == 1000
    assert manifest["hierarchy_fingerprint"] == zoo.fingerprint
    assert manifest["propagation"] == {"absent": "keep", "ancestors": "all", "conflict": "first", "uncertain": "parent"}
    assert manifest["inputs"][0]["path"] == os.fspath(image_list)
    assert manifest["inputs"][0]["bytes"] == image_list.stat().st_size
    schema = pq.read_schema(tmp_path / "out" / "part-00003.parquet")
    assert {
        k: manifest[k]
        for k in ("categories", "format_version", "mlimages_version", "propagation", "hierarchy_fingerprint")
    } == (json.loads(schema.metadata[b"mlimages"]))
    assert verify_parts(table.folder) == []


def test_verify_finds_what_was_changed_removed_or_added(zoo: Hierarchy, image_list: Path, tmp_path: Path) -> None:
    out = mlimages.annotate(in_parts(image_list, zoo), zoo, out=tmp_path / "out").folder
    (out / "part-00001.parquet").unlink()
    data = bytearray((out / "part-00002.parquet").read_bytes())
    data[50] ^= 1
    (out / "part-00002.parquet").write_bytes(data)
    (out / "part-00003.parquet").write_bytes(b"PAR1")
    (out / "part-00099.parquet").write_bytes(b"PAR1")
    found = verify_parts(out)
    assert [problem.split(": ")[1] for problem in found[:1]] == ["missing"]
    assert [
        next(text for text in ("the content was changed", "found 4 bytes", "not in the manifest") if text in problem)
        for problem in found[1:]
    ] == ["the content was changed", "found 4 bytes", "not in the manifest"]


def test_bad_rows_are_kept_aside_with_their_reasons(zoo: Hierarchy, image_list: Path, tmp_path: Path) -> None:
    lines = image_list.read_bytes().split(b"\n")
    lines[500], lines[700] = b"no tab \xff", b"image\t11:1"
    image_list.write_bytes(b"\n".join(lines))
    table = mlimages.annotate(in_parts(image_list, zoo), zoo, out=tmp_path / "out", on_error="quarantine")
    assert len(table) == 998
    assert table.manifest.counts["quarantined"] == 2
    bad = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "out" / "quarantine").glob("*.parquet")))
    assert bad.column("line").to_pylist() == [501, 701]
    assert bad.column("row").to_pylist() == [b"no tab \xff", b"image\t11:1"]
    assert "expected an index from 0 to 9" in bad.column("reason")[1].as_py()


@pytest.mark.parametrize("workers", [1, 4])
def test_the_first_bad_row_ends_the_job_and_leaves_nothing(
    zoo: Hierarchy, image_list: Path, tmp_path: Path, workers: int
) -> None:
    lines = image_list.read_bytes().split(b"\n")
    lines[400] = lines[401] = lines[990] = b"bad"
    image_list.write_bytes(b"\n".join(lines))
    with pytest.raises(FormatError, match=r"list\.txt:401: found no tab in 'bad'"):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(zoo: Hierarchy, image_list: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mlimages.annotate(in_parts(image_list, zoo), zoo, out=out)
    before = contents(out)
    with pytest.raises(JobError, match="already holds a table"):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=out)
    mlimages.annotate(in_parts(image_list, zoo), zoo, out=out, resume=True)  # nothing left to do
    assert contents(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(JobError, match="not an empty folder"):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=tmp_path / "mine", resume=True)
    with pytest.raises(JobError, match="not an empty folder"):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=image_list)


class Killed(BaseException):
    pass


def interrupted(image_list: Path, zoo: Hierarchy, out: Path, *, after: int) -> None:
    """Leave a job unfinished after so many parts."""

    def progress(at: mlimages.annotate.Progress) -> None:
        if at.parts == after:
            raise Killed

    with pytest.raises(Killed):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=out, progress=progress, workers=1)


def test_an_unfinished_job_is_no_table(zoo: Hierarchy, image_list: Path, tmp_path: Path) -> None:
    interrupted(image_list, zoo, tmp_path / "out", after=4)
    with pytest.raises(TableError, match="unfinished: run the command again with --resume"):
        AnnotationTable.open(tmp_path / "out")


def test_another_input_or_other_rules_are_not_gone_on_with(zoo: Hierarchy, image_list: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    interrupted(image_list, zoo, out, after=4)
    with pytest.raises(JobError, match=r"begun with propagation .*'all'.* and to be resumed with .*'none'"):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=out, resume=True, propagation="none")
    with pytest.raises(JobError, match="begun with on_error raise, and to be resumed with quarantine"):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=out, resume=True, on_error="quarantine")
    image_list.write_bytes(image_list.read_bytes())
    with pytest.raises(JobError, match=r"list\.txt: changed since the job in .* was begun"):
        mlimages.annotate(in_parts(image_list, zoo), zoo, out=out, resume=True)


# In memory ----------------------------------------------------------------------------------------------------------


def labelled(rows: int) -> pa.Table:
    return pa.table({"image": [f"{i}.jpg" for i in range(rows)], "labels": [[i % 10] for i in range(rows)]})


def test_without_a_folder_like_comes_back_for_like(zoo: Hierarchy) -> None:
    table = labelled(3)
    assert mlimages.annotate(table, zoo).column("labels").to_pylist() == [[0, 2, 3, 9], [1, 0, 2, 3, 9], [2, 9]]
    assert mlimages.annotate(table.to_batches()[0], zoo).num_rows == 3
    frame = mlimages.annotate(table.to_pandas(), zoo)
    assert frame["labels"][2].tolist() == [2, 9]
    batches = mlimages.annotate(iter(table.to_batches(max_chunksize=1)), zoo)
    assert [batch.num_rows for batch in batches] == [1, 1, 1]


def test_parts_do_not_depend_on_how_batches_are_cut(zoo: Hierarchy, tmp_path: Path) -> None:
    table = labelled(1050)
    sizes = {"part_rows": 100, "batch_rows": 30}
    mlimages.annotate(MemorySource(table, zoo, **sizes), zoo, out=tmp_path / "a")
    batches = iter(table.to_batches(max_chunksize=17))
    mlimages.annotate(MemorySource(batches, zoo, **sizes), zoo, out=tmp_path / "b", workers=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    read = AnnotationTable.open(tmp_path / "a")
    assert len(read.manifest.parts) == 11
    assert read.to_table(columns=["image"]).column("image").to_pylist() == table.column("image").to_pylist()


def test_bad_rows_in_memory_are_kept_aside_too(zoo: Hierarchy, tmp_path: Path) -> None:
    table = pa.table(
        {"image": ["a", "b", "c"], "labels": [[1], [10, 2], [3]], "confidences": [[1.0], [1.0, 1.0], [2.0]]}
    )
    with pytest.raises(LabelError, match=r"row 1 \('b'\): label 10"):
        mlimages.annotate(table, zoo, out=tmp_path / "a")
    read = mlimages.annotate(table, zoo, out=tmp_path / "b", on_error="quarantine")
    assert read.to_table().column("image").to_pylist() == ["a"]
    bad = pq.read_table(tmp_path / "b" / "quarantine" / "part-00000.parquet")
    assert bad.column("line").to_pylist() == [2, 3]
    assert bad.column("reason").to_pylist() == [
        "found the label 10, expected an index from 0 to 9",
        "found the confidence 2, expected 0 to 1",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "expected at least 1"),
        ({"on_error": "ignore"}, "expected raise or quarantine"),
        ({"propagation": "paper"}, "unknown propagation 'paper'"),
        ({"engine": "spark", "out": "x"}, "unknown engine 'spark': expected local or ray"),
        ({"format": "coco"}, "unknown format 'coco': expected list, imagenet or open-images"),
        ({"resume": True}, "resume needs out="),
        ({"mapping": "m.csv"}, "mapping: no option of the format list"),
    ],
)
def test_a_wrong_argument_is_named(
    zoo: Hierarchy, image_list: Path, tmp_path: Path, options: dict, message: str
) -> None:
    if "out" in options:
        options = {**options, "out": tmp_path / "x"}
    with pytest.raises(MlimagesError, match=message):
        mlimages.annotate(image_list, zoo, **options)


def test_what_is_no_source_is_named(zoo: Hierarchy) -> None:
    with pytest.raises(MlimagesError, match="found a int as source"):
        mlimages.annotate(5, zoo)
    with pytest.raises(MlimagesError, match="found a int among the batches"):
        list(mlimages.annotate([5], zoo))


def test_a_writer_that_fails_leaves_no_part(
    zoo: Hierarchy, image_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: TableWriter, batch: pa.RecordBatch) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TableWriter, "write", full)
    with pytest.raises(JobError, match="no space left on device"):
        mlimages.annotate(image_list, zoo, out=tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == ["finished.jsonl", "job.json"]


def test_all_inputs_are_hashed_though_the_parts_are_done_first(
    zoo: Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(path: Path) -> str:
        time.sleep(0.05)
        return file_hash(path)

    monkeypatch.setattr(job, "file_hash", slowly)
    for name in "abcd":
        (tmp_path / f"{name}.txt").write_text(f"{name}.jpg\t1:1\n")
    table = mlimages.annotate(tmp_path / "*.txt", zoo, out=tmp_path / "out")
    assert [each.xxh3_128 for each in table.manifest.inputs] == [file_hash(tmp_path / f"{name}.txt") for name in "abcd"]
