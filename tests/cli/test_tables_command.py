from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from mlimages import AnnotationTable, Hierarchy, MlimagesError
from mlimages.annotate.tables.predictions import write_predictions
from mlimages.cli import app
from mlimages.images.packed.writing import Row, write_shards
from tests.annotate.strategies import labels_by_image, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
ROWS = {"a": [(PUPPY, 0.5)], "b": [(CAT, 1.0), (WATER, 0.25)], "c": [(ROSE, 0.75), (DOG, 0.0)], "d": [(STUFF, 1.0)]}


@pytest.fixture
def table(zoo: Hierarchy, tmp_path: Path) -> AnnotationTable:
    return table_of(ROWS, zoo, tmp_path / "t")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [os.fspath(each) for each in arguments], catch_exceptions=True)


def succeed(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def fail(*arguments: str | Path) -> str:
    """The message of the error that the command's main function prints on one line."""
    result = run(*arguments)
    assert isinstance(result.exception, MlimagesError), (result.output, result.exception)
    return str(result.exception)


def test_stats_prints_a_table_and_writes_the_pictures_beside_it(table: AnnotationTable, tmp_path: Path) -> None:
    shown = succeed("stats", table.folder, "--top", "2", "--trainable-over", "1")
    assert shown.splitlines() == [
        "   4  images",
        "  10  categories present, of 10",
        "   4  trainable categories (over 1 images)",
        "3.75  labels per image on average",
        " 1.5  images per category on average",
        "  labels, given: 6",
        "  labels, ancestor: 10",
        "  of them verified absent: 1",
        "",
        "key     name    images  subtree_images",
        "thing   Thing        3               3",
        "animal  Animal       2               2",
    ]
    beside = tmp_path / "t-statistics"
    assert sorted(path.name for path in beside.iterdir()) == [
        "categories.csv",
        "images_per_class.png",
        "labels_per_image.png",
    ]
    assert (beside / "categories.csv").read_text().splitlines()[1].startswith("0,dog,Dog,1,1,1,")


def test_stats_writes_where_it_is_told_and_nothing_if_told_so(table: AnnotationTable, tmp_path: Path) -> None:
    succeed("stats", table.folder, "--out", tmp_path / "p", "--html")
    assert (tmp_path / "p" / "labels_per_image.html").is_file()
    counted = json.loads(succeed("stats", table.folder, "--no-pictures", "--json", "--top", "1"))
    assert (counted["images"], counted["top"][0]["key"]) == (4, "thing")
    assert not (tmp_path / "t-statistics").exists()
    assert "--no-pictures writes nothing" in fail("stats", table.folder, "--no-pictures", "--html")


def test_explain_prints_each_label_and_what_brought_it(table: AnnotationTable) -> None:
    assert succeed("explain", table.folder, "c").splitlines() == [
        "c: 4 labels",
        "category  name   confidence  origin    because",
        "rose      Rose   0.75        given     given in the list",
        "plant     Plant  0.75        ancestor  above Rose (rose)",
        "thing     Thing  0.75        ancestor  above Rose (rose)",
        "dog       Dog    absent      given     given in the list",
    ]
    assert json.loads(succeed("explain", table.folder, "d", "--json"))["labels"][0]["category"] == "stuff"
    assert "holds no image 'z'" in fail("explain", table.folder, "z")


def test_audit_labels_takes_tables_and_lists(table: AnnotationTable, tmp_path: Path, zoo: Hierarchy) -> None:
    assert "clean" in succeed("audit-labels", table.folder)
    zoo.to_parquet(tmp_path / "zoo.parquet")
    for name in ("1.txt", "2.txt"):
        (tmp_path / name).write_text(f"{name}\tdog\n")
    lists = [tmp_path / "1.txt", tmp_path / "2.txt", "--hierarchy", str(tmp_path / "zoo.parquet")]
    shown = succeed("audit-labels", *lists, "--examples", "1", "--out", tmp_path / "found.csv")
    assert shown.splitlines()[0] == "2 rows, 2 labels: problems found"
    assert shown.splitlines()[-1].split() == ["1.txt", "not", "closed", "dog", "lacks", "animal"]
    assert (tmp_path / "found.csv").read_text() == (
        "image,problem,category,detail\n1.txt,not closed,dog,lacks animal\n2.txt,not closed,dog,lacks animal\n"
    )
    found = json.loads(succeed("audit-labels", *lists, "--json", "--examples", "0"))
    assert (found["summary"]["not closed"], found["examples"]) == ({"rows": 2, "labels": 2}, [])
    assert "needs a hierarchy" in fail("audit-labels", tmp_path / "1.txt")


def test_merge_split_filter_and_subset_make_tables(table: AnnotationTable, zoo: Hierarchy, tmp_path: Path) -> None:
    other = table_of({"a": [(WATER, 1.0)], "e": [(DOG, 1.0)]}, zoo, tmp_path / "o")
    shown = succeed("merge", table.folder, other.folder, "--out", tmp_path / "m")
    assert shown.splitlines() == [f"{tmp_path / 'm'}: 5 images in 2 parts", "  rows joined: 1"]
    shown = succeed("split", tmp_path / "m", "--out", tmp_path / "s", "--validation", "2", "--seed", "1")
    assert len(AnnotationTable.open(tmp_path / "s" / "validation")) == 2
    assert shown.splitlines()[0] == f"{tmp_path / 's' / 'train'}: 3 images in 1 parts"
    shown = succeed("filter", tmp_path / "m", "--out", tmp_path / "f", "--category", "pet", "--category", "6", "--all")
    assert sorted(labels_by_image(AnnotationTable.open(tmp_path / "f"))) == ["a", "b"]
    succeed("filter", tmp_path / "m", "--out", tmp_path / "g", "--origin", "given", "--min-confidence", "0.5")
    assert labels_by_image(AnnotationTable.open(tmp_path / "g"))["b"] == [(CAT, 1.0, 0)]
    succeed("filter", tmp_path / "m", "--out", tmp_path / "h", "--restrict", "dog", "--keep-empty", "--workers", "1")
    assert len(AnnotationTable.open(tmp_path / "h")) == 5
    (tmp_path / "names").write_text("e\nnobody\n")
    shown = succeed("subset", tmp_path / "m", "--images", tmp_path / "names", "--out", tmp_path / "u")
    assert shown.splitlines()[1:] == ["  images left out: 4", "  not in the table: 1 of 2 names"]
    assert "already holds a table" in fail("merge", table.folder, other.folder, "--out", tmp_path / "m")
    succeed("merge", table.folder, other.folder, "--out", tmp_path / "m", "--resume")


def test_wrong_arguments_are_told(table: AnnotationTable, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "x")]
    assert "expected a share such as 0.1" in fail("split", table.folder, *out, "--validation", "half")
    assert "expected a share between 0 and 1" in fail("split", table.folder, *out, "--validation", "4")
    assert "nothing to filter by" in fail("filter", table.folder, *out)
    assert "--all goes with --category" in fail("filter", table.folder, *out, "--all", "--origin", "given")
    assert "unknown category 'Cat'" in fail("filter", table.folder, *out, "--category", "Cat")
    assert "unknown format 'xml'" in fail("export", table.folder, *out, "--format", "xml")
    assert "no such folder" in fail("stats", tmp_path / "none")
    assert "expected at least 2" in fail("merge", table.folder, *out)
    assert not (tmp_path / "x").exists()


def test_export_writes_the_format_that_the_ending_says(table: AnnotationTable, tmp_path: Path) -> None:
    shown = succeed("export", table.folder, "--out", tmp_path / "list.txt", "--keys")
    assert shown == f"{tmp_path / 'list.txt'}: 4 images, {(tmp_path / 'list.txt').stat().st_size} bytes\n"
    assert (tmp_path / "list.txt").read_text().splitlines()[3] == "d\tstuff:1"
    succeed("export", table.folder, "--out", tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text().startswith("image,key,name,confidence,origin\n")
    succeed("export", table.folder, "--out", tmp_path / "t" / "meta", "--format", "croissant")
    assert json.loads((tmp_path / "t" / "meta").read_text())["@type"] == "sc:Dataset"


def test_verify_finds_a_changed_part(table: AnnotationTable) -> None:
    assert succeed("verify", table.folder) == f"{table.folder}: 1 parts, as the manifest says\n"
    part = table.folder / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[10] ^= 1
    part.write_bytes(content)
    result = run("verify", table.folder)
    assert result.exit_code == 1
    assert "the content was changed" in result.stdout
    found = json.loads(run("verify", table.folder, "--json").stdout)
    assert (found[0]["parts"], len(found[0]["problems"])) == (1, 1)


def test_verify_content_lists_the_first_bad_row_of_each_part(table: AnnotationTable) -> None:
    assert succeed("verify", "--content", table.folder) == f"{table.folder}: 1 parts, as the manifest says\n"
    path = table.folder / "part-00000.parquet"
    part = pq.read_table(path)
    lists = part.column("confidences").combine_chunks()
    wrong = pa.ListArray.from_arrays(lists.offsets, pa.array(np.full(len(lists.values), 2.5, np.float32)))
    pq.write_table(part.set_column(2, "confidences", wrong), path)
    result = run("verify", table.folder, "--content")
    assert result.exit_code == 1
    first = part.column("image")[0].as_py()
    assert f"{path}: row 0 ({first!r}): found the confidence 2.5, expected 0 to 1\n" in result.stdout
    path.unlink()
    found = json.loads(run("verify", table.folder, "--content", "--json").stdout)
    assert found[0]["problems"] == [f"{path}: missing"]


def test_verify_content_reads_packed_images_and_predictions_too(zoo: Hierarchy, tmp_path: Path) -> None:
    rows = [Row("a.jpg", b"bytes", np.array([3]), np.ones(1, np.float32), np.zeros(1, np.uint8))]
    write_shards(rows, tmp_path / "packed", hierarchy=zoo)
    scores = pa.record_batch({"image": ["a.jpg"], "labels": [[3]], "scores": [[0.5]]})
    write_predictions([scores], tmp_path / "predictions", zoo, outputs=range(10))
    for name in ("packed", "predictions"):
        assert succeed("verify", "--content", tmp_path / name).endswith("as the manifest says\n")
        path = tmp_path / name / "part-00000.parquet"
        part = pq.read_table(path)
        pq.write_table(part.set_column(1, "labels", pa.array([[10]], pa.list_(pa.int16()))), path)
        result = run("verify", "--content", tmp_path / name)
        assert f"{path}: row 0 ('a.jpg'): found the label 10, expected 0 to 9\n" in result.stdout


def test_the_installed_command_prints_an_error_on_one_line(table: AnnotationTable) -> None:
    command = [sys.executable, "-m", "mlimages", "explain", os.fspath(table.folder), "z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mlimages: error: ")


def test_the_main_path_runs_on_the_published_list(official: Path, tmp_path: Path) -> None:
    def mlimages(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "mlimages", *map(os.fspath, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    source, dictionary = official / "train_im_list_tiny.txt", official / "dictionary_and_semantic_hierarchy.txt"
    mlimages("annotate", source, "--hierarchy", dictionary, "--out", tmp_path / "t")
    assert "11.03  labels per image" in mlimages("stats", tmp_path / "t", "--no-pictures")
    assert "clean" in mlimages("audit-labels", tmp_path / "t")
