"""Predictions: the same bytes whoever shares the work, killed or not; broken pictures counted and named."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mlimages.annotate.tables.predictions import PredictionTable
from mlimages.cli import app
from mlimages.errors import JobError, MlimagesError, ModelError
from mlimages.images import pack
from mlimages.models import Teacher, build_model, load_teacher, predict_images, save_model
from mlimages.models.inference.predictions import BROKEN
from mlimages.models.inference.predictionunits import select

OPTIONS = {"unit_images": 7, "batch": 3, "threshold": -1.0}


@pytest.fixture(scope="module")
def network(zoo, tmp_path_factory) -> Path:
    """A network of ten random outputs for pictures of 32 pixels."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    save_model(build_model("test_resnet", num_classes=10), path, hierarchy=zoo)
    return path


@pytest.fixture(scope="module")
def teacher(network, zoo) -> Teacher:
    return load_teacher(network, zoo, size=32)


@pytest.fixture(scope="module")
def whole(teacher, pictures, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "predictions"
    predict_images(teacher, pictures.images, out, **OPTIONS, workers=1)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_table_holds_a_row_a_picture_in_order_of_name(whole, zoo):
    table = PredictionTable.open(whole, hierarchy=zoo)
    rows = table.to_table()
    assert rows.column("image").to_pylist() == [f"{number:03d}.png" for number in range(60)]
    assert [part.rows for part in table.manifest.parts] == [7] * 8 + [4]
    assert sorted(rows.column("labels")[0].as_py()) == list(range(10))
    scores = rows.column("scores")[0].as_py()
    assert scores == sorted(scores, reverse=True)
    assert sorted(content(whole)) == [
        "categories.parquet",
        "manifest.json",
        *(f"part-{index:05d}.parquet" for index in range(9)),
    ]


def test_scores_are_those_of_the_network(teacher, whole, pictures):
    from PIL import Image

    prepared = torch.stack(
        [teacher.preprocess(Image.open(pictures.images / f"{number:03d}.png").convert("RGB")) for number in range(3)]
    )
    expected = teacher(prepared)
    rows = PredictionTable.open(whole).to_table().slice(0, 3)
    found = np.zeros((3, 10), np.float32)
    for row, (labels, scores) in enumerate(
        zip(*(rows.column(name).to_pylist() for name in ("labels", "scores")), strict=True)
    ):
        found[row, labels] = scores
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bytes_do_not_depend_on_threads(teacher, pictures, whole, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        predict_images(teacher, pictures.images, tmp_path / "out", **OPTIONS, workers=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert content(tmp_path / "out") == content(whole)


def arguments_of(network, pictures, out):
    return [
        *("predict", "--teacher", network, "--images", pictures.images, "--hierarchy", pictures.table, "--out", out),
        *("--size", 32, "--unit-images", 7, "--batch", 3, "--threshold", -1),
    ]


def start(arguments, **environment):
    command = [sys.executable, "-m", "mlimages", *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | environment, cwd=Path(__file__).parents[3])


@pytest.fixture
def port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_two_ranks_write_the_bytes_of_one(network, pictures, whole, tmp_path, port):
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    arguments = arguments_of(network, pictures, tmp_path / "out")
    ranks = [start(arguments, **place, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    assert content(tmp_path / "out") == content(whole)


def test_two_ranks_both_tell_what_is_in_the_way(network, pictures, tmp_path, port):
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("")
    arguments = arguments_of(network, pictures, tmp_path / "out")
    ranks = [start(arguments, **place, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    assert [rank.wait(120) for rank in ranks] == [1, 1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


# Ray warns of its own deprecated settings, and leaves files of its processes to the garbage collector
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ray_writes_the_same_bytes_and_tells_errors(teacher, pictures, whole, tmp_path):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        predict_images(teacher, pictures.images, tmp_path / "out", **OPTIONS, workers=2, engine="ray")
        assert content(tmp_path / "out") == content(whole)
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "a.png").write_bytes(b"not found")
        with pytest.raises(JobError, match=r"none of the first 1 pictures could be read; 'a.png'"):
            predict_images(teacher, tmp_path / "bad", tmp_path / "none", **OPTIONS, workers=2, engine="ray")
    finally:
        ray.shutdown()


SLOW = """
import time
import numpy as np

def colours(pictures):
    time.sleep(0.05)
    return (pictures.mean(axis=(2, 3)) + 1) / 2

def wide(pictures):
    return np.zeros((len(pictures), 7))

def beyond(pictures):
    return np.full((len(pictures), 3), 1.5)

word = "a word"
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "colourteacher.py").write_text(SLOW)
    (tmp_path / "classes.txt").write_text("puppy\ncat\nrose\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("colourteacher", None)


def test_killed_job_goes_on_and_ends_with_the_bytes_of_one_that_was_not(functions, pictures, zoo, tmp_path):
    slow = "python:colourteacher:colours"
    known = {"class_file": functions / "classes.txt", "size": 8}
    predict_images(load_teacher(slow, zoo, **known), pictures.images, tmp_path / "whole", **OPTIONS)
    out = tmp_path / "killed"
    arguments = [
        *("predict", "--teacher", slow, "--images", pictures.images, "--hierarchy", pictures.table, "--out", out),
        *("--class-file", known["class_file"], "--size", 8, "--unit-images", 7, "--batch", 3, "--threshold", -1),
        *("--workers", 1),
    ]
    job = start(arguments, PYTHONPATH=f"{functions}:{Path(__file__).parents[3]}")
    deadline = time.monotonic() + 60
    while len(list(out.glob("part-*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    left = len(list(out.glob("part-*.parquet")))
    assert 2 <= left < 9
    assert not (out / "manifest.json").exists()
    made = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}

    again = load_teacher(slow, zoo, **known)
    with pytest.raises(JobError, match="holds an unfinished job: continue it with --resume"):
        predict_images(again, pictures.images, out, **OPTIONS)
    with pytest.raises(JobError, match="begun with unit_images 7, and to be resumed with 8"):
        predict_images(again, pictures.images, out, **OPTIONS | {"unit_images": 8}, resume=True)
    with pytest.raises(JobError, match=r"begun with teacher .* to be resumed with"):
        predict_images(again, pictures.images, out, **OPTIONS | {"batch": 4}, resume=True)
    predict_images(again, pictures.images, out, **OPTIONS, resume=True)
    assert content(out) == content(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    predict_images(again, pictures.images, out, **OPTIONS, resume=True)  # nothing is left to do
    assert content(out) == content(tmp_path / "whole")


def test_other_images_than_the_job_was_begun_with_are_refused(teacher, pictures, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "out")
    shutil.copytree(pictures.images, tmp_path / "images")
    (tmp_path / "images" / "000.png").unlink()
    with pytest.raises(JobError, match="begun with images"):
        predict_images(teacher, tmp_path / "images", tmp_path / "out", **OPTIONS, resume=True)
    assert content(tmp_path / "out") == content(whole)
    assert not list(tmp_path.glob("*.tmp"))


def test_broken_pictures_are_counted_and_named(teacher, pictures, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(pictures.images, images)
    (images / "003.png").write_bytes(b"not found")
    (images / "050.png").write_bytes((images / "051.png").read_bytes()[:400])
    table = predict_images(teacher, images, tmp_path / "out", **OPTIONS)
    assert len(table) == 58
    assert table.manifest.counts == {"broken": 2}
    lines = [line.split("\t") for line in (tmp_path / "out" / BROKEN).read_text().splitlines()]
    assert [name for name, _ in lines] == ["003.png", "050.png"]
    assert "found b'not foun'" in lines[0][1]
    assert "damaged PNG" in lines[1][1]
    assert "003.png" not in table.to_table().column("image").to_pylist()
    assert not list((tmp_path / "out").glob("broken-*"))


def test_packed_images_and_tables_have_their_names_in_their_order(teacher, pictures, whole, tmp_path):
    packed = pack(pictures.table, pictures.images, tmp_path / "packed")
    expected = PredictionTable.open(whole).to_table()
    for name, images, root in (("p", packed.folder, None), ("t", pictures.table, pictures.images)):
        table = predict_images(teacher, images, tmp_path / name, root=root, **OPTIONS)
        assert table.to_table().equals(expected)
        assert [Path(each.path).parent for each in table.manifest.inputs] == [Path(images)]


def test_picture_that_a_table_names_and_the_folder_lacks_is_broken(teacher, pictures, tmp_path):
    shutil.copytree(pictures.images, tmp_path / "images")
    (tmp_path / "images" / "059.png").unlink()
    table = predict_images(teacher, pictures.table, tmp_path / "out", root=tmp_path / "images", **OPTIONS)
    assert len(table) == 59
    assert (tmp_path / "out" / BROKEN).read_text() == "059.png\tno such file or directory\n"


def test_name_that_leads_out_of_the_folder_is_broken(teacher, pictures, zoo, tmp_path):
    from mlimages.annotate.pipeline import annotate

    (tmp_path / "list.txt").write_text("000.png\tcat:1\n../secret.png\tcat:1\n")
    annotate(tmp_path / "list.txt", zoo, out=tmp_path / "table")
    table = predict_images(teacher, tmp_path / "table", tmp_path / "out", root=pictures.images, **OPTIONS)
    assert table.to_table().column("image").to_pylist() == ["000.png"]
    assert "found the image name '../secret.png'" in (tmp_path / "out" / BROKEN).read_text()


def test_select_keeps_the_greatest_and_of_equals_the_first():
    scores = np.float32([[0.1, 0.9, 0.9, 0.2], [0.0, 0.3, 0.1, 0.3], [0.1, 0.1, 0.1, 0.1]])
    offsets, columns, values = select(scores, threshold=0.1, top=2)
    assert offsets.tolist() == [0, 2, 4, 4]
    assert columns.tolist() == [1, 2, 1, 3]
    assert values.tolist() == pytest.approx([0.9, 0.9, 0.3, 0.3])
    offsets, columns, _ = select(scores, threshold=-1, top=1)
    assert (offsets.tolist(), columns.tolist()) == ([0, 1, 2, 3], [1, 1, 0])
    offsets, columns, _ = select(scores[:0], threshold=0.5, top=None)
    assert (offsets.tolist(), columns.tolist()) == ([0], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.0}, "threshold=1.0: expected below 1"),
        ({"top": 0}, "top=0: expected at least 1"),
        ({"engine": "spark"}, "unknown engine 'spark': expected local or ray"),
        ({"root": "x"}, "a folder of images needs no root"),
    ],
)
def test_options_that_make_no_sense_are_refused(teacher, pictures, tmp_path, changes, message):
    with pytest.raises(MlimagesError, match=message):
        predict_images(teacher, pictures.images, tmp_path / "out", **OPTIONS | changes)
    assert not (tmp_path / "out").exists()


def test_folder_without_pictures_is_refused(teacher, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(JobError, match="empty: found no image"):
        predict_images(teacher, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(MlimagesError, match="no such folder"):
        predict_images(teacher, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(MlimagesError, match=r"holds labels without pixels: .* \(--root\)"):
        predict_images(teacher, pictures.table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wide", r"gave an array of shape \[3, 7\] for 3 pictures, expected \[3, 3\]"),
        ("beyond", "gave 1.5, expected prob"),
    ],
)
def test_function_that_gives_no_probabilities_is_an_error(functions, pictures, zoo, tmp_path, name, message):
    teacher = load_teacher(f"python:colourteacher:{name}", zoo, class_file=functions / "classes.txt", size=8)
    with pytest.raises(ModelError, match=message):
        predict_images(teacher, pictures.images, tmp_path / "out", **OPTIONS)


def run(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_command_says_what_it_did_and_what_is_wrong(network, pictures, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(pictures.images, images)
    (images / "003.png").write_bytes(b"not found")
    result = run(
        "--teacher", network, "--images", images, "--out", tmp_path / "out", "--hierarchy", pictures.table, "--size", 32
    )
    assert result.exit_code == 0, result.exception
    assert result.stdout == (
        f"{tmp_path}/out: 59 images in 1 parts, 10 categories; 1 could not be read: see {tmp_path}/out/broken.tsv\n"
    )
    table = PredictionTable.open(tmp_path / "out")
    assert (table.threshold, table.top) == (0.5, None)
    assert all(score > 0.5 for scores in table.to_table().column("scores").to_pylist() for score in scores)
    result = run("--teacher", network, "--images", images, "--out", tmp_path / "other")
    assert "has no categories beside the images: name them (--hierarchy)" in str(result.exception)
    result = run("--teacher", "nowhere", "--images", images, "--out", tmp_path / "o", "--hierarchy", pictures.table)
    assert "nowhere: no such file; expected a .safetensors file" in str(result.exception)
