"""``mlimages hierarchy``: every subcommand, its JSON, and its errors."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlimages import Hierarchy
from mlimages.cli import app
from mlimages.errors import MlimagesError
from mlimages.hierarchy.drawing import explorer

REPOSITORY = Path(__file__).parents[2]
# animal, canine, dog, domestic cat, Chihuahua
KEYS = ["n00015388", "n02083346", "n02084071", "n02121808", "n02085620"]


@pytest.fixture
def pets(tmp_path) -> str:
    """Path of a small hierarchy of real synsets; the cat's parent is wrong."""
    h = Hierarchy(
        KEYS,
        [[], [0], [1], [2], [2]],
        [["animal"], ["canine", "canid"], ["dog", "domestic dog"], ["domestic cat"], ["Chihuahua"]],
    )
    h.to_dictionary(tmp_path / "pets.txt")
    return str(tmp_path / "pets.txt")


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, ["hierarchy", *arguments], input=stdin, env={"COLUMNS": "80"})
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


# Looking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["n02083346", "1", "canine", "CANID"])
def test_show_draws_below_a_category_by_key_index_or_name(pets, root):
    shown = run("show", pets, root, "--depth", "1")
    assert [line.split("n0")[-1].split()[0] for line in shown.splitlines()] == ["2083346", "2084071"]


def test_show_starts_at_all_roots(pets):
    shown = run("show", pets, "--depth", "0")
    assert shown.startswith("n00015388 animal")
    assert len(shown.splitlines()) == 1


def test_show_prefers_the_usual_name_and_refuses_an_ambiguous_one(tmp_path):
    h = Hierarchy(["a", "b", "c", "d"], [[]] * 4, [["dog"], ["andiron", "dog"], ["bank"], ["bank"]])
    h.to_dictionary(tmp_path / "h.txt")
    assert run("show", str(tmp_path / "h.txt"), "dog").startswith("a dog")
    with pytest.raises(MlimagesError, match=r"'bank' is the name of 2 categories: name one by its key \(c, d\)"):
        run("show", str(tmp_path / "h.txt"), "bank")


@pytest.mark.parametrize(
    ("root", "message"), [("wolf", "unknown category 'wolf': expected a key"), ("5", "unknown category 5")]
)
def test_show_refuses_an_unknown_category(pets, root, message):
    with pytest.raises(MlimagesError, match=message):
        run("show", pets, root)


def test_find_prints_a_table_and_json(pets):
    assert run("find", pets, "DOG").splitlines() == [
        "index  key        parent     names",
        "    2  n02084071  n02083346  dog, domestic dog",
    ]
    assert json.loads(run("find", pets, "d", "--limit", "1", "--json")) == [
        {"index": 2, "key": "n02084071", "names": ["dog", "domestic dog"], "parents": ["n02083346"]}
    ]


def test_find_of_nothing_exits_with_1(pets):
    assert run("find", pets, "wolf", code=1) == ""
    assert json.loads(run("find", pets, "wolf", "--json", code=1)) == []


def test_tables_fit_80_columns_and_never_cut_a_key(tmp_path):
    keys = [f"key-{i}-{'k' * 20}" for i in range(2)]
    Hierarchy(keys, [[], [0]], [["x" * 100], ["y" * 100]]).to_dictionary(tmp_path / "h.txt")
    lines = run("find", str(tmp_path / "h.txt"), "key").splitlines()
    assert max(map(len, lines)) == 80
    assert keys[0] in lines[2]
    assert keys[1] in lines[2]
    assert lines[2].endswith("yyy...")


def test_stats_prints_numbers_and_json(pets):
    lines = dict(line.rsplit(maxsplit=1) for line in run("stats", pets).splitlines())
    assert (lines["categories"], lines["leaves"], lines["mean depth"]) == ("5", "2", "1.80")
    statistics = json.loads(run("stats", pets, "--json"))
    assert (statistics["categories"], statistics["max_depth"], statistics["mean_depth"]) == (5, 3, 1.8)


# Checking ----------------------------------------------------------------------------------------------------------


def test_audit_prints_counts_and_the_rows_of_a_status(pets):
    assert "1  contradicts" in run("audit", pets)
    assert "n02121808" not in run("audit", pets)
    shown = run("audit", pets, "--status", "contradicts").splitlines()
    assert shown[-1].split() == ["n02121808", "domestic", "cat", "n02084071", "dog", "n00015388", "animal"]


def test_audit_writes_csv_and_json(pets, tmp_path):
    out = tmp_path / "audit.csv"
    found = json.loads(run("audit", pets, "--status", "contradicts", "--out", str(out), "--json"))
    assert found["summary"]["contradicts"] == 1
    assert [row["key"] for row in found["rows"]] == ["n02121808"]
    with out.open(newline="") as file:
        assert [(row["key"], row["status"], row["parent_key"]) for row in csv.DictReader(file)] == [
            ("n02121808", "contradicts", "n02084071")
        ]
    run("audit", pets, "--out", str(out))
    assert len(out.read_text().splitlines()) == 6


def test_audit_refuses_an_unknown_status(pets):
    with pytest.raises(MlimagesError, match="--status bad: expected one of agrees, skips, other-parent, contradicts"):
        run("audit", pets, "--status", "bad")


def test_compare_prints_what_changed(pets, tmp_path):
    Hierarchy.from_dictionary(pets).restrict(KEYS[:3]).to_parquet(tmp_path / "fewer.parquet")
    shown = run("compare", pets, str(tmp_path / "fewer.parquet"))
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("removed")] == [
        ["removed", "n02121808"],
        ["removed", "n02085620"],
    ]
    found = json.loads(run("compare", str(tmp_path / "fewer.parquet"), pets, "--change", "added", "--json"))
    assert (found["summary"]["unchanged"], found["summary"]["added"]) == (3, 2)
    assert [row["key"] for row in found["rows"]] == ["n02121808", "n02085620"]
    with pytest.raises(MlimagesError, match="--change bad: expected one of removed, added"):
        run("compare", pets, pets, "--change", "bad")


# Building ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ids(tmp_path) -> str:
    (tmp_path / "ids.txt").write_text("\n".join(KEYS) + "\n")
    return str(tmp_path / "ids.txt")


def built(path: Path) -> dict[str, list[str]]:
    h = Hierarchy.from_parquet(path) if path.suffix == ".parquet" else Hierarchy.from_dictionary(path)
    return {key: [h.keys[i] for i in row] for key, row in zip(h.keys, h.parents(), strict=True)}


@pytest.mark.parametrize("ending", [".txt", ".parquet"])
def test_build_writes_a_dictionary_or_parquet(ids, tmp_path, ending):
    out = tmp_path / f"built{ending}"
    run("build", ids, "--out", str(out))
    assert built(out) == {
        "n00015388": [],
        "n02083346": ["n00015388"],
        "n02084071": ["n02083346"],
        "n02121808": ["n00015388"],
        "n02085620": ["n02084071"],
    }


def test_build_reads_standard_input_and_inner(tmp_path):
    (tmp_path / "inner.txt").write_text("n00015388\n")
    run("build", "-", "--out", str(tmp_path / "b.txt"), "--inner", str(tmp_path / "inner.txt"), stdin="\n".join(KEYS))
    assert built(tmp_path / "b.txt") == {"n00015388": []} | {key: ["n00015388"] for key in KEYS[1:]}


def test_build_closes_upwards_to_the_roots(tmp_path):
    out = tmp_path / "b.txt"
    run("build", "-", "--out", str(out), "--close-upwards", "--roots", "n01471682", stdin="n02084071\n")
    assert list(built(out)) == ["n02084071", "n01471682", "n01861778", "n01886756", "n02075296", "n02083346"]
    assert built(out)["n01471682"] == []
    run("build", "-", "--out", str(out), "--close-upwards", "--roots", "published", stdin="n02084071\n")
    assert [key for key, above in built(out).items() if not above] == ["n00002684"]


def test_build_keeps_several_parents_in_parquet_only(tmp_path):
    keys = "n02084071\nn02083346\nn01317541\n"  # dog, canine, domestic animal
    run("build", "-", "--out", str(tmp_path / "b.parquet"), "--multiple-parents", stdin=keys)
    assert built(tmp_path / "b.parquet")["n02084071"] == ["n02083346", "n01317541"]
    with pytest.raises(MlimagesError, match=r"b\.txt: a dictionary holds one parent a category: write \.parquet"):
        run("build", "-", "--out", str(tmp_path / "b.txt"), "--multiple-parents", stdin=keys)
    assert not (tmp_path / "b.txt").exists()


@pytest.mark.parametrize(
    ("stdin", "options", "message"),
    [
        ("n02084071\nn99999999\n", [], "^<stdin>:2: unknown synset id 'n99999999'"),
        ("n02084071\nn02084071\n", [], "^<stdin>:2: duplicate synset id"),
        ("", [], "^<stdin>: the file is empty"),
        ("n02084071\n", ["--roots", "n00000001"], "unknown synset 'n00000001'"),
        ("n02084071\n", ["--roots", ""], "unknown synset ''"),
    ],
)
def test_build_refuses_bad_ids(tmp_path, stdin, options, message):
    with pytest.raises(MlimagesError, match=message):
        run("build", "-", "--out", str(tmp_path / "b.txt"), *options, stdin=stdin)


def test_build_refuses_inner_outside_the_keys_and_other_endings(ids, tmp_path):
    (tmp_path / "inner.txt").write_text("n00015388\nn00001740\n")
    with pytest.raises(MlimagesError, match=r"inner\.txt:2: 'n00001740' is not among the keys"):
        run("build", ids, "--out", str(tmp_path / "b.txt"), "--inner", str(tmp_path / "inner.txt"))
    with pytest.raises(MlimagesError, match=r"b\.csv: found the ending '\.csv', expected \.txt"):
        run("build", ids, "--out", str(tmp_path / "b.csv"))


# Exploring and matching --------------------------------------------------------------------------------------------


def test_explore_writes_one_page(pets, tmp_path):
    run("explore", pets, "--out", str(tmp_path / "e.html"), "--title", "My <pets>")
    page = (tmp_path / "e.html").read_text()
    assert "n02085620" in page
    assert "<title>My &lt;pets&gt;</title>" in page


def test_explore_takes_counts_from_a_table_of_the_same_hierarchy(pets, tmp_path, monkeypatch):
    (tmp_path / "table").mkdir()
    Hierarchy.from_dictionary(pets).to_parquet(tmp_path / "table" / "categories.parquet")
    opened = []

    class AnnotationTable:
        @classmethod
        def open(cls, path):
            opened.append(path)
            return cls()

        def category_counts(self):
            return np.array([5, 4, 3, 2, 1])

    given = []
    monkeypatch.setitem(sys.modules, "mlimages.annotate", types.SimpleNamespace(AnnotationTable=AnnotationTable))
    monkeypatch.setattr(
        explorer,
        "write_explorer",
        lambda h, out, counts, rules, title: (given.append(counts), Path(out).write_text(title)),
    )
    run("explore", pets, "--out", str(tmp_path / "e.html"), "--table", str(tmp_path / "table"))
    assert opened == [tmp_path / "table"]
    assert given[0].tolist() == [5, 4, 3, 2, 1]


def test_explore_refuses_a_table_of_another_hierarchy(pets, zoo, tmp_path):
    zoo.to_parquet(tmp_path / "categories.parquet")
    with pytest.raises(
        MlimagesError, match=r"the table was made with another hierarchy than .*pets\.txt: name that one"
    ):
        run("explore", pets, "--out", str(tmp_path / "e.html"), "--table", str(tmp_path))
    assert not (tmp_path / "e.html").exists()


def test_match_proposes_synsets(pets, tmp_path):
    lines = run("match", "-", "--hierarchy", pets, stdin="Dogs\nWolf\n").splitlines()
    assert lines[0].split() == ["name", "rank", "key", "synset", "how"]
    assert lines[1].split()[:3] == ["Dogs", "1", "n02084071"]
    assert lines[2].split() == ["Wolf", "0", "no", "match"]
    out = tmp_path / "m.csv"
    assert run("match", "-", "--out", str(out), stdin="Fedora\n") == ""
    with out.open(newline="") as file:
        assert next(csv.DictReader(file))["key"] == "n03325941"
    assert json.loads(run("match", "-", "--hierarchy", pets, "--json", stdin="Dogs\n"))[0]["how"] == "plural folded"


# As a process ------------------------------------------------------------------------------------------------------


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlimages", "hierarchy", *arguments], capture_output=True, text=True, cwd=REPOSITORY
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats", "nowhere.txt"], "mlimages: error: nowhere.txt: no such file, and no hierarchy of that name: "),
        (["stats", "setup.cfg"], "mlimages: error: setup.cfg:1: found the header '[metadata]', expected"),
        (["build", "nowhere.txt", "--out", "x.txt"], "mlimages: error: nowhere.txt: no such file or directory"),
        (["build", "tests", "--out", "x.txt"], "mlimages: error: tests: is a directory"),
    ],
)
def test_error_is_one_line_and_exit_code_1(arguments, message):
    ended = process(*arguments)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") == 1


def test_reader_that_leaves_early_is_no_error(tmp_path):
    keys = [f"key{i:06d}" for i in range(20_000)]
    Hierarchy(keys, [[] for _ in keys]).to_dictionary(tmp_path / "h.txt")
    command = [sys.executable, "-m", "mlimages", "hierarchy", "find", str(tmp_path / "h.txt"), "key"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b"index  key        parent  names\n"
        running.stdout.close()
        assert running.stderr.read() == b""


def test_published_hierarchy_is_audited_from_the_command(official, tmp_path):
    shown = run("audit", str(official / "dictionary_and_semantic_hierarchy.txt"), "--status", "contradicts", "--json")
    assert [row["index"] for row in json.loads(shown)["rows"]] == [1129, 2563, 2643, 2644, 9741, 11050]
