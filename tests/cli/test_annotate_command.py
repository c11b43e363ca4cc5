from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate.manifest import JOB

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
