from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlimages import AnnotationTable, Hierarchy
from mlimages.storage.manifest import JOB

MLIMAGES = [sys.executable, "-m", "mlimages"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MLIMAGES, *map(os.fspath, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def categories(zoo: Hierarchy, tmp_path: Path) -> Path:
    zoo.to_parquet(tmp_path / "zoo.parquet")
    return tmp_path / "zoo.parquet"


def test_the_main_job_runs_on_the_published_list(official: Path, tmp_path: Path) -> None:
    source, dictionary = official / "train_im_list_tiny.txt", official / "dictionary_and_semantic_hierarchy.txt"
    done = run("annotate", source, "--hierarchy", dictionary, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "100 images" in done.stdout
    assert len(AnnotationTable.open(tmp_path / "out")) == 100


def test_an_error_is_one_line(categories: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\t1\nb.jpg\t77:1\n")
    done = run("annotate", tmp_path / "list.txt", "--hierarchy", categories, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert [line for line in done.stderr.splitlines() if not line.startswith("compiled")] == [
        f"mlimages: error: {tmp_path}/list.txt:2: found the label '77:1', expected an index from 0 to 9"
    ]
    missing = run("annotate", tmp_path / "nothing.txt", "--hierarchy", categories, "--out", tmp_path / "out")
    assert missing.returncode == 1
    assert missing.stderr == f"mlimages: error: {tmp_path}/nothing.txt: no such file or directory\n"


def test_quarantined_rows_are_counted_and_their_place_told(categories: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\t1\nb.jpg\t77:1\n")
    done = run(
        *("annotate", tmp_path / "list.txt", "--hierarchy", categories, "--out", tmp_path / "out"),
        *("--on-error", "quarantine"),
    )
    assert done.returncode == 0, done.stderr
    assert "quarantined: 1\n" in done.stdout
    assert str(tmp_path / "out" / "quarantine") in done.stdout


def test_ctrl_c_leaves_a_job_that_resumes(categories: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    source = tmp_path / "real.txt"
    source.write_text("".join(f"image{i}.jpg\t{i % 10}\n" for i in range(1_200_000)))
    process = subprocess.Popen(
        [*MLIMAGES, "annotate", source, "--hierarchy", categories, "--out", out, "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (out / JOB).exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, (stdout, stderr)
    assert stderr.splitlines()[-1] == "interrupted: run the same command with --resume to go on"
    assert list(out.glob("*.tmp")) == []
    again = run("annotate", source, "--hierarchy", categories, "--out", out, "--resume")
    assert again.returncode == 0, again.stderr
    assert len(AnnotationTable.open(out)) == 1_200_000


def test_open_images_are_annotated_with_a_mapping(categories: Path, tmp_path: Path) -> None:
    labels, mapping, images = (tmp_path / f"{name}.csv" for name in ("labels", "mapping", "images"))
    labels.write_text(
        "ImageID,Source,LabelName,Confidence\n1,verification,/m/d,0\n1,machine,/m/c,0.5\n2,machine,/m/x,0.5\n"
    )
    mapping.write_text("label,key\n/m/d,animal\n/m/c,rose\n")
    images.write_text("ImageID,OriginalURL\n1,http://x.org/1.jpg\n")
    done = run(
        *("annotate", labels, "--hierarchy", categories, "--out", tmp_path / "out", "--format", "open-images"),
        *("--mapping", mapping, "--images-csv", images, "--absent", "descendants", "--propagation", "none"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "  removed rows: 1",
        f"  the removed labels: {tmp_path}/out/removed_labels.csv",
    ]
    found = {
        label.category.key: label.confidence
        for label in AnnotationTable.open(tmp_path / "out").labels_of("http://x.org/1.jpg")
    }
    assert found == {"animal": 0, "rose": 0.5, "dog": 0, "puppy": 0, "pet": 0, "cat": 0}


def test_imagenet_ids_tell_what_the_hierarchy_lacks(tmp_path: Path) -> None:
    Hierarchy.from_wordnet(["n02084071", "n00015388"]).to_parquet(tmp_path / "animals.parquet")
    ids = tmp_path / "ids.txt"
    ids.write_text(
        "n02084071/n02084071_1.JPEG\nn02113335_1\nn02113335_2\n" + "".join(f"n9999{i:04d}_1\n" for i in range(12))
    )
    start = ("annotate", ids, "--hierarchy", tmp_path / "animals.parquet", "--format", "imagenet", "--out")
    done = run(*start, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:4] == ["  unmapped: 14", "    n02113335: 2", "    n99990000: 1"]
    assert done.stdout.splitlines()[-1] == f"    and 3 more synsets, see {tmp_path}/out/manifest.json"
    done = run(*start, tmp_path / "mapped", "--unmapped", "ancestor")
    assert len(AnnotationTable.open(tmp_path / "mapped")) == 3
    wrong = run(*start, tmp_path / "wrong", "--mapping", "x.csv")
    assert wrong.returncode == 1
    assert wrong.stderr == ("mlimages: error: mapping: no option of the format imagenet, which has unmapped, classes\n")
