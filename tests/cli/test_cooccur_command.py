from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from mlimages import AnnotationTable, Hierarchy, MlimagesError
from mlimages.annotate.cooccurrence.counts import Cooccurrence
from mlimages.annotate.tables.predictions import write_predictions
from mlimages.cli import app
from tests.annotate.strategies import labels_by_image, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)


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


@pytest.fixture
def folder(zoo: Hierarchy, tmp_path: Path) -> Path:
    """Annotations of three roses and a cat, and what a teacher sees: water on two roses."""
    table_of({name: [(ROSE, 1.0)] for name in ("r0", "r1", "r2")} | {"c": [(CAT, 1.0)]}, zoo, tmp_path / "annotations")
    seen = {"r0": [WATER], "r1": [WATER, DOG], "r2": [], "c": [DOG], "x": []}
    batch = pa.record_batch(
        {
            "image": list(seen),
            "labels": pa.array(list(seen.values()), pa.list_(pa.int32())),
            "scores": pa.array([[0.99] * len(row) for row in seen.values()], pa.list_(pa.float32())),
        }
    )
    write_predictions([batch], tmp_path / "predictions", zoo, outputs=[WATER, DOG])
    zoo.to_parquet(tmp_path / "zoo.parquet")
    return tmp_path


def test_counts_become_rules_that_annotate_adds(folder: Path, zoo: Hierarchy) -> None:
    given, zoo_file = folder / "new.txt", folder / "zoo.parquet"
    counts, rules = folder / "counts.parquet", folder / "rules.csv"
    result = run("cooccur", "count", folder / "annotations", folder / "predictions", "--out", counts)
    assert result.exit_code == 0
    assert "counts.parquet: 9 pairs of 10 sources and 2 targets on 4 images" in result.stderr
    assert "predictions of no annotated image: 1, not counted" in result.stderr
    shown = succeed(
        "cooccur", "rules", counts, "--hierarchy", zoo_file, "--out", rules, "--min-images", "2", "--top", "2"
    )
    assert [line.split() for line in shown.splitlines()] == [
        ["source", "source_name", "target", "target_name", "p", "images"],
        ["plant", "Plant", "water", "Water", "0.667", "3"],
        ["rose", "Rose", "water", "Water", "0.667", "3"],
    ]
    assert rules.read_text().splitlines()[0] == "source,target,p,support,images,lower,lift,source_name,target_name"
    assert len(rules.read_text().splitlines()) == 3
    given.write_text("new\trose:0.5\n")
    out = succeed(
        "annotate", given, "--hierarchy", zoo_file, "--out", folder / "t", "--rules", rules, "--rule-confidence", "p"
    )
    assert "rule labels: 2" in out
    labels = labels_by_image(AnnotationTable.open(folder / "t"))["new"]
    assert [(label, round(confidence, 3), origin) for label, confidence, origin in labels[3:]] == [
        (WATER, 0.667, 2),
        (STUFF, 0.667, 2),
    ]
    assert "the rule Rose (rose) -> Water (water), p 0.67" in succeed("explain", folder / "t", "new", "--json")


def test_counts_of_parts_are_merged(folder: Path, zoo: Hierarchy) -> None:
    tables = folder / "annotations", folder / "predictions"
    (folder / "sources.txt").write_text("rose\ncat\n")
    (folder / "targets.txt").write_text("water\n")
    axes = ("--sources", folder / "sources.txt", "--targets", folder / "targets.txt", "--origin", "given")
    succeed("cooccur", "count", *tables, "--out", folder / "a.npz", *axes, "--among-targets", folder / "b.npz")
    counted = Cooccurrence.load(folder / "a.npz", hierarchy=zoo)
    assert counted.counts.toarray().tolist() == [[2], [0]]
    assert Cooccurrence.load(folder / "b.npz", hierarchy=zoo).counts.toarray().tolist() == [[2]]
    merged = folder / "merged.parquet"
    succeed(
        "cooccur", "merge", folder / "a.npz", folder / "a.npz", "--hierarchy", folder / "zoo.parquet", "--out", merged
    )
    assert Cooccurrence.load(merged, hierarchy=zoo) == counted + counted


def test_rules_are_judged_drawn_and_shown(folder: Path, zoo: Hierarchy) -> None:
    table_of({"a": [(ROSE, 1.0), (WATER, 1.0)], "b": [(ROSE, 1.0)]}, zoo, folder / "truth")
    rules = folder / "rules.csv"
    rules.write_text("source,target,p\nrose,water,0.75\n")
    printed = succeed("cooccur", "evaluate", rules, folder / "truth", "--plot", folder / "curve.png")
    assert "2 images, 2 labels that rules could add" in printed
    assert "greatest f1: p above 0.0000" in printed
    assert (folder / "curve.png").stat().st_size > 10_000
    judged = json.loads(succeed("cooccur", "evaluate", rules, folder / "truth", "--json"))
    row = judged["thresholds"][10]
    assert (row["threshold"], row["right"], row["wrong"], row["precision"], row["recall"]) == (0.5, 2, 2, 0.5, 1.0)
    assert judged["thresholds"][15]["precision"] is None
    succeed(
        "cooccur", "draw", rules, "--hierarchy", folder / "zoo.parquet", "--out", folder / "r.html", "--root", "rose"
    )
    assert "Rose \\u2192 Water" in (folder / "r.html").read_text()
    succeed("hierarchy", "explore", folder / "zoo.parquet", "--out", folder / "e.html", "--rules", rules)
    assert '"rules":{"sources":[8],"targets":[6],"p":[0.75]}' in (folder / "e.html").read_text()


def test_mistakes_are_named(folder: Path) -> None:
    tables, zoo_file = (folder / "annotations", folder / "predictions"), folder / "zoo.parquet"
    assert "--origin human: expected one of given, ancestor" in fail(
        "cooccur", "count", *tables, "--out", folder / "c.parquet", "--origin", "human"
    )
    assert "holds annotations, expected a table of predictions" in fail(
        "cooccur", "count", tables[0], tables[0], "--out", folder / "c.parquet"
    )
    (folder / "bad.csv").write_text("source,target\nrose,rain\n")
    assert "bad.csv:2: found the target 'rain'" in fail("cooccur", "evaluate", folder / "bad.csv", tables[0])
    assert "annotations: no such" in str(run("cooccur", "evaluate", folder / "bad.csv", "annotations").exception)
    assert "zoo.parquet: no co-occurrence counts (found the columns index, key, names, parents" in fail(
        "cooccur", "rules", zoo_file, "--hierarchy", zoo_file, "--out", folder / "r.csv"
    )
    assert "kind='pie': expected heatmap or network" in fail(
        "cooccur", "draw", _good(folder), "--hierarchy", zoo_file, "--out", folder / "r.html", "--kind", "pie"
    )


def _good(folder: Path) -> Path:
    (folder / "good.csv").write_text("source,target\nrose,water\n")
    return folder / "good.csv"


def test_compiling_is_told_once_and_before_it_begins(tmp_path: Path) -> None:
    code = """if True:
        from mlimages.cli.progress import tell_of_compiling
        tell_of_compiling()
        import numba
        for _ in range(2):
            numba.njit("int64(int64)")(lambda x: x + 1)
        """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == "compiling kernels, once: later runs find them in a cache\n"
