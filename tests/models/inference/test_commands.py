"""``mlimages evaluate``, ``classify`` and ``features``: what they print and write, and what they refuse."""

from __future__ import annotations

import csv
import json

import pyarrow.parquet as pq
import pytest

from mlimages.models import load_model
from tests.models.runs import run


def test_evaluate_command_prints_the_published_table_and_json_and_csv(pretrained, pictures, tmp_path):
    common = ["evaluate", pretrained, "--table", pictures.table, "--images", pictures.images, "--workers", 0]
    top = [*common, "--top-k", "--sizes", "24,32", "--setting", "from scratch", "--csv", tmp_path / "top.csv"]
    printed = run(*top).stdout
    assert "| Top-1 acc on Val 24" in printed
    assert "| pretrained  | from scratch" in printed
    rows = json.loads(run(*top, "--json").stdout)
    assert [row["size"] for row in rows] == [24, 32]
    assert rows[0]["left_out"] == 60  # every picture carries ancestors too, which this model tells as well
    assert len((tmp_path / "top.csv").read_text().splitlines()) == 3
    labels = [*common, "--size", 32, "--unknown", "absent", "--consistent", "--csv", tmp_path / "labels.csv"]
    (row,) = json.loads(run(*labels, "--json", "--train-table", pictures.table, "--more-than", 15).stdout)
    assert row["classes"] == 3
    assert {"map", "macro_f1@5", "f1@1", "hierarchical_f1@5", "lca_depth"} <= set(row)
    with (tmp_path / "labels.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["category"] for line in lines if line["trainable"] == "True"] == ["animal", "pet", "thing"]
    assert lines[4]["images"] == "15"
    assert "lca_depth" in run(*labels).stdout


@pytest.mark.parametrize("arguments", [["--top-k", "--sizes", "24"], ["--unknown", "absent", "--size", "24"]])
def test_evaluate_command_tells_what_it_measured_though_its_csv_cannot_be_written(
    pretrained, pictures, tmp_path, arguments
):
    common = ["evaluate", pretrained, "--table", pictures.table, "--images", pictures.images, "--workers", 0]
    result = run(*common, *arguments, "--csv", tmp_path / "nowhere" / "file.csv")
    assert isinstance(result.exception, FileNotFoundError)
    assert "24" in result.stdout or "lca_depth" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unknown", "perhaps"], "unknown is 'perhaps': expected one of absent, left-out, below"),
        (["--top-k", "--sizes", "224,x"], "--sizes is '224,x': expected whole numbers"),
        (["--top-k", "--size", "32"], "--size is for multi-label: give --sizes"),
        (["--setting", "a", "--setting", "b"], "2 times --setting for 1 models"),
        (["--crop", "left"], "crop is 'left': expected central or classifier"),
        (["--activation", "tanh"], "activation is 'tanh': expected sigmoid or softmax"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_evaluate_command_refuses_what_makes_no_sense(pretrained, pictures, arguments, message):
    result = run(
        "evaluate", pretrained, "--table", pictures.table, "--images", pictures.images, "--workers", 0, *arguments
    )
    assert message in str(result.exception)


def test_classify_command_prints_a_line_a_picture_and_json(pretrained, pictures, tmp_path, zoo):
    zoo.to_parquet(tmp_path / "zoo.parquet")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    common = [
        "classify",
        pictures.images / "000.png",
        tmp_path / "bad.jpg",
        "--model",
        pretrained,
        "--size",
        32,
        "-k",
        3,
    ]
    result = run(*common, "--hierarchy", tmp_path / "zoo.parquet", "--consistent")
    (line,) = result.stdout.splitlines()
    path, *best = line.split("\t")
    assert path == str(pictures.images / "000.png")
    assert len(best) == 3
    assert all(name in [each.name for each in zoo] for name, _, _ in (each.rpartition(": ") for each in best))
    assert "bad.jpg: found b'no pictu'" in result.stderr
    good, bad = map(json.loads, run(*common, "--json").stdout.splitlines())
    assert set(good["classes"][0]) == {"index", "key", "name", "probability"}
    assert bad["error"].startswith("found b'no pictu'")
    assert "none of 1 pictures could be read" in str(
        run("classify", tmp_path / "bad.jpg", "--model", pretrained).exception
    )
    assert "--consistent needs the categories" in str(run(*common, "--consistent").exception)


def test_features_command_writes_and_names_broken_pictures(pretrained, pictures, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    out = tmp_path / "f.parquet"
    result = run("features", pictures.images, tmp_path / "bad.jpg", "--model", pretrained, "--out", out, "--workers", 0)
    width = load_model(pretrained).num_features
    assert result.stdout == f"{out}: 60 pictures, {width} features each; 1 broken\n"
    assert pq.read_table(out).num_rows == 60
