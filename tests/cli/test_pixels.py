"""The commands about pixels, as a user runs them."""

from __future__ import annotations

import inspect
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.cli import main, pixels
from mlimages.images.duplicates.groups import THRESHOLD
from mlimages.images.packed import writing as store
from mlimages.images.packed.reading import read
from mlimages.images.tfrecord import export


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command; return its exit status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mlimages", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def data(tmp_path: Path, zoo: Hierarchy) -> Path:
    """A folder with images (a.png and b.png alike), and a table of them."""
    (tmp_path / "images").mkdir()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 30)).save(tmp_path / f"images/{name}.png")
    (tmp_path / "list.txt").write_text("a.png\t2:1\nb.png\t1:0.5\nc.png\t6:1\n")
    annotate(tmp_path / "list.txt", zoo, out=tmp_path / "table", propagation="none")
    return tmp_path


def test_pack_and_export_say_what_they_wrote(run, data: Path) -> None:
    status, out, err = run("pack", data / "table", "--images", data / "images", "--out", data / "packed")
    assert (status, err) == (0, "")
    assert out.startswith(f"{data}/packed: 3 images, ")
    assert out.endswith(" bytes, 1 shards\n")
    assert [row.name for row in read(data / "packed")] == ["a.png", "b.png", "c.png"]
    status, out, _ = run("tfrecord", "export", data / "packed", "--out", data / "records", "--workers", 1)
    assert (status, out) == (0, f"{data}/records: 3 images, 1 shards\n")
    status, out, _ = run("tfrecord", "show", data / "records/0.tfrecords", "--limit", 2)
    a, b = out.splitlines()
    assert a.startswith("a.png\t40x30\t")
    assert (a.split("\t")[3], b.split("\t")[3]) == ("2:1", "1:0.5")
    status, out, _ = run("tfrecord", "show", data / "records/0.tfrecords", "--json", "--limit", 1)
    found = json.loads(out)
    assert (found["name"], found["width"], found["categories"], found["labels"]) == ("a.png", 40, 10, {"2": 1.0})


def test_duplicates_are_found_and_merged(run, data: Path) -> None:
    arguments = ("duplicates", data / "images", "--out", data / "found", "--workers", 1)
    status, out, _ = run(*arguments)
    assert (status, out) == (0, f"{data}/found/groups.parquet: 1 groups, 1 of 3 images surplus\n")
    status, out, _ = run(*arguments, "--resume", "--exact", "--labels", data / "table", "--merge", data / "merged")
    assert status == 0
    assert out.endswith(f"{data}/merged: 2 of 3 rows, the others in {data}/merged/dropped.parquet\n")
    rows = AnnotationTable.open(data / "merged").to_table().to_pylist()
    assert [(row["image"], row["labels"]) for row in rows] == [("b.png", [1, 2]), ("c.png", [6])]


def test_extract_takes_images_and_says_what_is_missing(run, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "n01440764.tar", "w") as tar:
        info = tarfile.TarInfo("n01440764_18.JPEG")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"tench"))
    (tmp_path / "ids.txt").write_text("n01440764/n01440764_18.JPEG\t3:1\nn01440764_19\n")
    status, out, _ = run("extract", tmp_path, tmp_path / "ids.txt", "--out", tmp_path / "out", "--workers", 1)
    assert status == 0
    assert out == (
        f"{tmp_path}/out: 1 images extracted, 0 were there, 1 missing: see {tmp_path}/out/missing.txt\n"
    )  # fmt: skip
    assert (tmp_path / "out/n01440764/n01440764_18.JPEG").read_bytes() == b"tench"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pack", "nowhere", "--out", "x"], "nowhere: no such folder"),
        (["tfrecord", "show", "nowhere"], "nowhere: no such file or directory"),
        (["tfrecord", "export", "nowhere", "--out", "x"], "nowhere: no such folder"),
        (["extract", "nowhere", "nowhere", "--out", "x"], "nowhere: no such file or directory"),
        (["duplicates", "nowhere", "--out", "x"], "nowhere: no such folder"),
        (["duplicates", ".", "--out", "x", "--threshold", "20"], "found the threshold 20, expected the bits"),
        (["duplicates", ".", "--out", "x", "--labels", "y"], "--labels and --hierarchy are for --merge FOLDER"),
    ],
)
def test_errors_are_one_line_and_status_1(run, tmp_path: Path, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(f"mlimages: error: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_defaults_of_the_command_are_those_of_the_library() -> None:
    defaults = {name: p.default for name, p in inspect.signature(pixels.pack).parameters.items()}
    assert (defaults["row_group_mib"], defaults["shard_mib"]) == (store.ROW_GROUP_MIB, store.SHARD_MIB)
    assert inspect.signature(pixels.export).parameters["shard_mib"].default == export.SHARD_MIB
    assert inspect.signature(pixels.duplicates).parameters["threshold"].default == THRESHOLD
