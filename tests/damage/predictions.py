"""The suite of the table of predictions: scores instead of confidences, outputs and a threshold in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.damage.damages import MANIFEST, Damage
from tests.damage.operations import Operation, command, counts_of, frame, plain
from tests.damage.specimen import (
    PART,
    ROW,
    Specimens,
    change_bytes,
    change_column,
    change_manifest,
    change_rows,
    read_part,
    write_part,
)

SUBJECT = "predictions"
CASES: dict[str, Damage] = {}
OPERATIONS: dict[str, Operation] = {}


def rows(name: str, change: Callable[[dict[str, list[Any]]], Any]) -> None:
    """The part holds other rows."""
    CASES[name] = Damage(lambda _, folder: change_rows(folder, change), (PART,))


def entry(name: str, column: str, new: Any) -> None:
    """The first value of a list becomes another."""
    rows(name, lambda columns: columns[column][ROW].__setitem__(0, new))


def cell(name: str, column: str, new: Any) -> None:
    """A cell becomes another."""
    rows(name, lambda columns: columns[column].__setitem__(ROW, new))


def retyped(name: str, column: str, kind: pa.DataType, new: Callable[[Any], Any]) -> None:
    """A column becomes one of another type."""
    CASES[name] = Damage(
        lambda _, folder: change_column(
            folder, column, lambda cells: pa.array([new(each) for each in cells.to_pylist()], kind)
        ),
        (PART,),
    )


def part(name: str, change: Callable[[bytes], bytes]) -> None:
    """The part holds other bytes."""
    CASES[name] = Damage(lambda _, folder: change_bytes(folder / PART, change), (PART,))


def table(name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """The part holds another table."""
    CASES[name] = Damage(lambda _, folder: write_part(folder, change(read_part(folder))), (PART,))


def stated(name: str, change: Callable[[dict[str, Any]], Any], *named: str) -> None:
    """The manifest says something else."""
    CASES[name] = Damage(lambda _, folder: change_manifest(folder, change), (MANIFEST, *named))


for _name, _value in {
    "NaN": float("nan"),
    "negative": -1.0,
    "above one": 1.5,
    "infinite": float("inf"),
    "null": None,
}.items():
    entry(f"score {_name}", "scores", _value)
for _name, _value in {"too large": 30000, "negative": -5, "null": None}.items():
    entry(f"label {_name}", "labels", _value)
cell("scores shorter", "scores", [])
cell("scores longer", "scores", [0.97, 0.96])
cell("list of labels null", "labels", None)
cell("list of scores null", "scores", None)
cell("name null", "image", None)
rows("score in the wrong row", lambda columns: columns["scores"][ROW - 1].append(columns["scores"][ROW].pop()))
retyped("scores are strings", "scores", pa.list_(pa.string()), lambda cells: [str(each) for each in cells])
retyped("labels are strings", "labels", pa.list_(pa.string()), lambda cells: [str(each) for each in cells])
retyped("labels beyond 32 bits", "labels", pa.list_(pa.int64()), lambda cells: [2**32 + each for each in cells])
for _name in ("image", "labels", "scores"):
    table(f"no column {_name}", lambda found, name=_name: found.drop_columns(name))
table("fewer rows", lambda found: found.slice(1))
table("more rows", lambda found: pa.concat_tables([found, found]))
table("no rows", lambda found: found.slice(0, 0))
part("truncated", lambda data: data[:-20])
part("garbage", lambda data: b"garbage" * 50)
part("empty", lambda data: b"")
CASES["part missing"] = Damage(lambda _, folder: (folder / PART).unlink(), (PART,))
for _name, _value in {
    "unknown": ["dog", "unicorn"],
    "a number": 5,
    "null": None,
    "numbers": [99],
    "twice": ["dog"] * 2,
}.items():
    stated(f"outputs {_name}", lambda content, value=_value: content.update(outputs=value), "categories.parquet")
for _name, _value in {"a string": "high", "null": None, "NaN": float("nan")}.items():
    stated(f"threshold {_name}", lambda content, value=_value: content.update(threshold=value))
for _name, _value in {"a string": "1", "negative": -1}.items():
    stated(f"top {_name}", lambda content, value=_value: content.update(top=value))
stated("of annotations", lambda content: content.pop("content"), "predictions")
stated("rows too few", lambda content: content["parts"][1].update(rows=7), PART)
CASES["manifest garbage"] = Damage(lambda _, folder: (folder / MANIFEST).write_bytes(b"{"), (MANIFEST,))


def opened(folder: Path) -> Any:
    from mlimages.annotate import PredictionTable

    return PredictionTable.open(folder)


def count(made: Specimens, folder: Path, out: Path) -> Any:
    command("cooccur", "count", made.table, folder, "--out", out / "c.parquet", "--among-targets", out / "a.parquet")
    return [counts_of(out / "c.parquet"), counts_of(out / "a.parquet")]


def count_function(made: Specimens, folder: Path, out: Path) -> Any:
    from mlimages.annotate import Cooccurrence

    found = Cooccurrence.count(made.table, opened(folder), teacher_threshold=0.3)
    among = Cooccurrence.among_predictions(opened(folder), teacher_threshold=0.2)
    return [found.counts.toarray().tolist(), among.counts.toarray().tolist(), among.total]


OPERATIONS["batches"] = lambda made, folder, out: [
    plain(pa.Table.from_batches([each])) for each in opened(folder).batches(rows=5)
]
OPERATIONS["batches of names"] = lambda made, folder, out: [
    each.column(0).to_pylist() for each in opened(folder).batches(columns=["image"])
]
OPERATIONS["to_table"] = lambda made, folder, out: plain(opened(folder).to_table())
OPERATIONS["to_pandas"] = lambda made, folder, out: frame(opened(folder).to_pandas())
OPERATIONS["take"] = lambda made, folder, out: plain(opened(folder).take([13, 0, 23]))
OPERATIONS["find"] = lambda made, folder, out: opened(folder).find("23.png")
OPERATIONS["outputs"] = lambda made, folder, out: opened(folder).outputs.tolist()
OPERATIONS["threshold and top"] = lambda made, folder, out: [opened(folder).threshold, opened(folder).top]
OPERATIONS["count"] = count_function
OPERATIONS["mlimages cooccur count"] = count
OPERATIONS["mlimages hierarchy stats"] = lambda made, folder, out: command("hierarchy", "stats", folder, "--json")
