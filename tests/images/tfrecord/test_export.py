"""Annotation tables and packed images as TFRecord shards."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlimages.errors import JobError, MlimagesError
from mlimages.images import pack, tfrecord
from mlimages.images.picture import PictureError
from mlimages.images.tfrecord.export import export_tfrecord
from mlimages.storage.manifest import Manifest
from tests.images.pictures import Dataset, MakeTable, encoded, picture


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of a JPEG, a transparent PNG, a GIF, a truncated JPEG and a page of text."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encoded(picture(1)))
    clear = picture(2).convert("RGBA")
    clear.putalpha(128)
    (folder / "b.png").write_bytes(encoded(clear, "PNG"))
    (folder / "c.gif").write_bytes(encoded(picture(3).convert("P"), "GIF"))
    (folder / "cut.jpg").write_bytes(encoded(picture(4))[:-200])
    (folder / "page.jpg").write_bytes(b"<html>")
    return folder


def _records(folder: Path) -> list[tfrecord.Record]:
    shards = sorted(folder.glob("*.tfrecords"), key=lambda path: int(path.stem))
    return [record for shard in shards for record in tfrecord.read(shard)]


def test_export_writes_the_published_fields(dataset: Dataset, tmp_path: Path) -> None:
    manifest = export_tfrecord(dataset.table, dataset.images, tmp_path / "out", shard_mib=1, workers=1)
    assert [part.file for part in manifest.parts] == ["0.tfrecords", "1.tfrecords"]
    records = _records(tmp_path / "out")
    assert [record.name for record in records] == dataset.names
    for record in records:
        assert record.image == (dataset.images / record.name).read_bytes()
        assert (record.width, record.height, len(record.label)) == (48, 36, 10)
    assert records[5].label.tolist() == pytest.approx([1, 0.95, 0.9, 0, 0, 0, 0, 0, 0, 0])


def test_export_of_packed_images_is_the_same(dataset: Dataset, tmp_path: Path) -> None:
    export_tfrecord(dataset.table, dataset.images, tmp_path / "first", shard_mib=1, workers=1)
    pack(dataset.table, dataset.images, tmp_path / "packed", workers=1)
    export_tfrecord(tmp_path / "packed", None, tmp_path / "out", shard_mib=1, workers=2)
    for name in ("0.tfrecords", "1.tfrecords"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_export_turns_png_into_jpeg_of_quality_100(mixed: Path, tmp_path: Path, make_table: MakeTable) -> None:
    export_tfrecord(make_table("a.jpg\t1:1\nb.png\t2:1\nc.gif\t2:0\n"), mixed, tmp_path / "out", workers=1)
    a, b, c = _records(tmp_path / "out")
    assert a.image == (mixed / "a.jpg").read_bytes()
    for record, seed in ((b, 2), (c, 3)):
        with Image.open(io.BytesIO(record.image)) as found:
            assert (found.format, found.mode, found.size) == ("JPEG", "RGB", (record.width, record.height))
            assert {max(table) for table in found.quantization.values()} == {1}  # quality 100 quantises by 1
            difference = np.abs(np.asarray(found, int) - np.asarray(picture(seed), int)).mean()
        assert difference < 12  # alpha is dropped, not blended; a GIF has 256 colours
    assert not c.label.any()  # verified absent is 0, as unknown is


def test_export_keeps_the_format_where_asked(mixed: Path, tmp_path: Path, make_table: MakeTable) -> None:
    table = make_table("b.png\t2:1\nc.gif\t2:1\n")
    export_tfrecord(table, mixed, tmp_path / "out", keep_format=True, workers=1)
    assert [record.image for record in _records(tmp_path / "out")] == [
        (mixed / "b.png").read_bytes(),
        (mixed / "c.gif").read_bytes(),
    ]


def test_undecodable_images_end_the_job_or_are_quarantined(mixed: Path, tmp_path: Path, make_table: MakeTable) -> None:
    table = make_table("a.jpg\t1:1\ncut.jpg\t2:1\npage.jpg\t3:1\nb.png\t4:1\n")
    with pytest.raises(PictureError, match=r"^cut\.jpg: damaged JPEG \(.*truncated"):
        export_tfrecord(table, mixed, tmp_path / "raised", workers=1)
    manifest = export_tfrecord(table, mixed, tmp_path / "out", on_error="quarantine", workers=1)
    assert [record.name for record in _records(tmp_path / "out")] == ["a.jpg", "b.png"]
    assert (manifest.rows, manifest.counts) == (2, {"quarantined": 2})
    cut, page = (tmp_path / "out/quarantine/0.txt").read_text().splitlines()
    assert cut.startswith("cut.jpg: damaged JPEG (")
    assert page.startswith("page.jpg: found b'<html>'..., 6 bytes, expected a JPEG")


def test_export_resumes_with_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    export_tfrecord(dataset.table, dataset.images, tmp_path / "whole", shard_mib=1, workers=1)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    killed = tmp_path / "killed"
    killed.mkdir()
    begun = Manifest.read(tmp_path / "whole")
    Manifest(begun.metadata, begun.options, begun.inputs).write(killed / "job.json")
    (killed / "0.tfrecords").write_bytes(whole["0.tfrecords"])
    (killed / "1.tfrecords.tmp").write_bytes(whole["1.tfrecords"][:5000])
    with pytest.raises(JobError, match="holds an unfinished job: continue it with --resume"):
        export_tfrecord(dataset.table, dataset.images, killed, shard_mib=1, workers=1)
    export_tfrecord(dataset.table, dataset.images, killed, shard_mib=1, workers=1, resume=True)
    assert {path.name: path.read_bytes() for path in killed.iterdir()} == whole


def test_export_lists_missing_images(dataset: Dataset, tmp_path: Path) -> None:
    (dataset.images / dataset.names[2]).unlink()
    with pytest.raises(MlimagesError, match=r"1 of 40 images have no file, the first is '2/bild-02.jpg'"):
        export_tfrecord(dataset.table, dataset.images, tmp_path / "out", workers=1)
    manifest = export_tfrecord(dataset.table, dataset.images, tmp_path / "out", on_missing="skip", workers=1)
    assert manifest.rows == 39
    assert (tmp_path / "out/missing.txt").read_text() == "2/bild-02.jpg\n"
    with pytest.raises(MlimagesError, match="on_error='skip': expected raise or quarantine"):
        export_tfrecord(dataset.table, dataset.images, tmp_path / "x", on_error="skip")  # type: ignore[arg-type]
