"""What is done with a table: every command and every public function that takes one, a line or a function each.

An operation takes the specimens, the table and a folder for what it writes; it returns plain values that are equal
where results are.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer.main

from tests.damage.specimen import Specimens

Operation = Callable[[Specimens, Path, Path], Any]


_COMMANDS = cache(typer.main.get_command)


class CommandError(Exception):
    """A command ended with another status than 0; `status` and what it printed say how."""

    def __init__(self, status: int, out: str, err: str) -> None:
        super().__init__(status, out, err)
        self.status, self.out, self.err = status, out, err


def command(*arguments: Any, statuses: Iterable[int] = (0,)) -> str:
    """Run ``mlimages`` in this process; return what it printed.

    Raises
    ------
    CommandError
        Where its status is none of `statuses`, or it failed and printed nothing; any other exception is what its user
        sees as a traceback.
    """
    from mlimages.cli import main

    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with (
        patch.object(sys, "argv", ["mlimages", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "excepthook", sys.excepthook),  # typer sets one
        patch("typer.main.get_command", _COMMANDS),  # which typer makes anew at each call, for longer than ours run
    ):
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
    if status not in tuple(statuses) or (status and not out.getvalue()):
        raise CommandError(status, out.getvalue(), err.getvalue())
    return out.getvalue()


def rows_of(folder: Path) -> dict[str, Any]:
    """The rows of a table by part, empty ones left out, and what its manifest counts, read without mlimages."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    parts = [plain(pq.ParquetFile(folder / part["file"]).read()) for part in manifest["parts"]]
    return {"counts": manifest["counts"], "rows": manifest["rows"], "parts": [part for part in parts if part]}


def plain(table: pa.Table) -> Any:
    """A pyarrow table as lists of plain values; images as what tells them apart."""
    return [
        {name: _short(value) for name, value in row.items()} for row in table.replace_schema_metadata(None).to_pylist()
    ]


def _short(value: Any) -> Any:
    return {"path": value["path"], "bytes": len(value["bytes"])} if isinstance(value, dict) else value


def frame(table: Any) -> list[Any]:
    """A DataFrame as lists."""
    return [[each.tolist() if isinstance(each, np.ndarray) else each for each in row] for row in table.to_numpy()]


def opened(table: Path) -> Any:
    from mlimages import AnnotationTable

    return AnnotationTable.open(table)


OPERATIONS: dict[str, Operation] = {}


def operation(function: Operation) -> Operation:
    """Add a function to the list, under its name."""
    OPERATIONS[function.__name__.replace("_", " ").strip()] = function
    return function


def printing(name: str, *arguments: Any, statuses: Iterable[int] = (0,)) -> None:
    """Add a command whose result is what it prints; TABLE, OUT and names of specimens are replaced."""
    OPERATIONS[name] = lambda made, table, out: command(*_given(arguments, made, table, out), statuses=statuses)


def making(name: str, *arguments: Any, read: Callable[[Path], Any] = rows_of, file: str = "made") -> None:
    """Add a command whose result is what it writes into OUT."""

    def run(made: Specimens, table: Path, out: Path) -> Any:
        command(*_given(arguments, made, table, out / file))
        return read(out / file)

    OPERATIONS[name] = run


def _given(arguments: Iterable[Any], made: Specimens, table: Path, out: Path) -> list[Any]:
    special = {"TABLE": table, "OUT": out, "GROUPS": out.with_name("groups")}
    return [special.get(each) or (getattr(made, each.lower()) if each.isupper() else each) for each in arguments]


def text(path: Path) -> str:
    return path.read_text()


# Commands -------------------------------------------------------------------------------------------------------------

printing("mlimages stats", "stats", "TABLE", "--no-pictures", "--json", "--top", "3")
printing("mlimages explain", "explain", "TABLE", "13.png", "--json")
printing("mlimages explain first", "explain", "TABLE", "00.png", "--json")
printing("mlimages explain last", "explain", "TABLE", "23.png")
printing("mlimages audit-labels", "audit-labels", "TABLE", "--json")
printing("mlimages hierarchy stats", "hierarchy", "stats", "TABLE", "--json")
printing("mlimages verify", "verify", "TABLE", "--json", statuses=(0, 1))
printing("mlimages verify --content", "verify", "TABLE", "--json", "--content", statuses=(0, 1))
making("mlimages merge", "merge", "TABLE", "SECOND", "--out", "OUT")
making("mlimages merge after", "merge", "SECOND", "TABLE", "--out", "OUT")
making("mlimages split", "split", "TABLE", "--out", "OUT", "--validation", "0.25", read=lambda out: both(out))
making("mlimages filter", "filter", "TABLE", "--out", "OUT", "--min-confidence", "0.5")
making("mlimages filter by category", "filter", "TABLE", "--out", "OUT", "--category", "cat", "--category", "rose")
making("mlimages filter by origin", "filter", "TABLE", "--out", "OUT", "--origin", "given", "--keep-empty")
making("mlimages filter restricted", "filter", "TABLE", "--out", "OUT", "--restrict", "animal")
making("mlimages subset", "subset", "TABLE", "--out", "OUT", "--images", "NAMES")
making("mlimages export list", "export", "TABLE", "--out", "OUT", file="list.txt", read=text)
making("mlimages export keys", "export", "TABLE", "--keys", "--out", "OUT", file="list.txt", read=text)
making("mlimages export csv", "export", "TABLE", "--out", "OUT", file="list.csv", read=text)
making(
    "mlimages hierarchy explore",
    *("hierarchy", "explore", "TABLE", "--table", "TABLE", "--title", "page", "--out", "OUT"),
    file="page.html",
    read=text,
)
making(
    "mlimages cooccur count",
    *("cooccur", "count", "TABLE", "PREDICTIONS", "--out", "OUT"),
    file="counts.parquet",
    read=lambda path: counts_of(path),
)
making(
    "mlimages cooccur count given",
    *("cooccur", "count", "TABLE", "PREDICTIONS", "--origin", "given", "--out", "OUT"),
    file="counts.parquet",
    read=lambda path: counts_of(path),
)
printing("mlimages cooccur evaluate", "cooccur", "evaluate", "RULES", "TABLE", "--json")
printing("mlimages cooccur evaluate annotations", "cooccur", "evaluate", "RULES", "TABLE", "--annotations", "RULED")
making("mlimages pack", "pack", "TABLE", "--images", "IMAGES", "--out", "OUT", "--workers", "1")
making(
    "mlimages tfrecord export",
    *("tfrecord", "export", "TABLE", "--images", "IMAGES", "--keep-format", "--out", "OUT", "--workers", "1"),
    read=lambda out: records_of(out),
)
making(
    "mlimages duplicates",
    *("duplicates", "IMAGES", "--exact", "--labels", "TABLE", "--out", "GROUPS", "--merge", "OUT", "--workers", "1"),
)


@operation
def mlimages_export_croissant(made: Specimens, table: Path, out: Path) -> Any:
    written = table.parent / "croissant.json"
    command("export", table, "--out", written)
    found = json.loads(written.read_bytes())
    written.unlink()
    parts = json.loads((table / "manifest.json").read_bytes())["parts"]
    empty = {part["file"] for part in parts if part["rows"] == 0}
    found["distribution"] = [file for file in found["distribution"] if file["name"] not in empty]
    for file in found["distribution"]:  # what they are now, which is right whatever they are
        file.pop("sha256", None)
        file.pop("contentSize", None)
    return found


def both(out: Path) -> Any:
    return [rows_of(out / "train"), rows_of(out / "validation")]


def counts_of(path: Path) -> Any:
    table = pq.read_table(path)
    said = json.loads(table.schema.metadata[b"mlimages"])
    return [table.replace_schema_metadata(None).to_pydict(), said["images"], said["target_images"], said["total"]]


def records_of(out: Path) -> Any:
    from mlimages.images.tfrecord.records import read

    return [
        [each.name, len(each.image), each.label.tolist()]
        for shard in sorted(out.glob("*.tfrecords"))
        for each in read(shard)
    ]


# Functions ------------------------------------------------------------------------------------------------------------


@operation
def open_and_count(made: Specimens, table: Path, out: Path) -> Any:
    return len(opened(table))


@operation
def hierarchy(made: Specimens, table: Path, out: Path) -> Any:
    return list(opened(table).hierarchy.keys)


@operation
def load_hierarchy(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages import load_hierarchy as load

    return list(load(table).keys)


@operation
def schema_and_rules(made: Specimens, table: Path, out: Path) -> Any:
    found = opened(table)
    return [str(found.schema), None if found.rules is None else len(found.rules)]


def _batches(**options: Any) -> Operation:
    def run(made: Specimens, table: Path, out: Path) -> Any:
        batches = list(opened(table).batches(rows=5, **options))
        assert all(each.num_rows <= 5 for each in batches)
        return [row for each in batches for row in plain(pa.Table.from_batches([each]))]

    return run


OPERATIONS["batches"] = _batches()
for _name in ("image", "labels", "confidences", "origins"):
    OPERATIONS[f"batches of {_name}"] = _batches(columns=[_name])
OPERATIONS["batches of two columns"] = _batches(columns=["labels", "confidences"])
OPERATIONS["to_table"] = lambda made, table, out: plain(opened(table).to_table())
OPERATIONS["to_table labels"] = lambda made, table, out: plain(opened(table).to_table(columns=["labels"]))
OPERATIONS["to_pandas"] = lambda made, table, out: frame(opened(table).to_pandas())
OPERATIONS["take"] = lambda made, table, out: plain(opened(table).take([23, 13, 0, 13]))
OPERATIONS["take names"] = lambda made, table, out: plain(opened(table).take([13, 14], columns=["image"]))
OPERATIONS["take none"] = lambda made, table, out: plain(opened(table).take([]))
OPERATIONS["find"] = lambda made, table, out: [opened(table).find(name) for name in ("00.png", "13.png", "23.png")]
OPERATIONS["multi_hot"] = lambda made, table, out: opened(table).multi_hot(range(24), unknown=-1).tolist()
OPERATIONS["multi_hot of one"] = lambda made, table, out: opened(table).multi_hot([13]).tolist()
OPERATIONS["category_counts"] = lambda made, table, out: opened(table).category_counts().tolist()


@operation
def labels_of(made: Specimens, table: Path, out: Path) -> Any:
    found = [opened(table).labels_of(name) for name in ("00.png", "13.png", "23.png")]
    return [[[each.category.key, each.confidence, each.origin.name] for each in labels] for labels in found]


@operation
def statistics(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages import statistics as count

    found = count(opened(table))
    return [found.to_dict(), found.absent.tolist(), frame(found.per_category.fillna("none"))]


@operation
def explain(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages import explain as tell

    return [tell(opened(table), name).to_dict() for name in ("13.png", "16.png")]


@operation
def audit_labels(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages import audit_labels as audit

    return json.dumps(audit(opened(table)).to_dict())


@operation
def merge_rows_of_one_image(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.annotate import merge as function

    return rows_of(function([made.second, opened(table)], out / "made", workers=1).folder)


@operation
def split(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.annotate import split as function

    return [rows_of(each.folder) for each in function(opened(table), out / "made", validation=5, seed=3)]


@operation
def filter_all(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.annotate import filter as function

    return rows_of(function(opened(table), out / "made", categories=["animal"], origins=["given", "ancestor"]).folder)


@operation
def subset(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.annotate import subset as function

    return rows_of(function(opened(table), out / "made", images=["13.png", "14.png"]).folder)


@operation
def export(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.annotate import export as function

    return [function(opened(table), out / "l.txt").images, (out / "l.txt").read_text()]


@operation
def evaluate_rules(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.annotate import evaluate_rules as judge

    found = judge(made.rules, made.second, annotations=None).could, judge(made.rules, opened(table), unlisted="unknown")
    return [found[0], frame(found[1].at().fillna(-1))]


@operation
def cooccurrence_count(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.annotate import Cooccurrence

    found = Cooccurrence.count(opened(table), made.predictions, teacher_threshold=0.3)
    return [found.counts.toarray().tolist(), found.images.tolist(), found.total, list(found.unmatched)]


@operation
def pack(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.images import pack as function

    return [
        [row.name, len(row.image), row.labels.tolist(), row.confidences.tolist(), row.origins.tolist()]
        for row in function(table, made.images, out / "made", workers=1).rows()
    ]


@operation
def export_tfrecord(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.images import export_tfrecord as function

    function(table, made.images, out / "made", workers=1)
    return records_of(out / "made")


@operation
def merge_duplicates(made: Specimens, table: Path, out: Path) -> Any:
    from mlimages.images import merge_duplicates as function

    done = function(table, made.duplicates, out / "made")
    return [done.rows_before, done.rows_after, rows_of(out / "made")]


logging.getLogger("mlimages").addHandler(logging.NullHandler())
