"""The suite of the file of co-occurrence counts, Parquet; :mod:`tests.damage.npzfiles` is that of the other form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.damage.damages import Damage
from tests.damage.operations import Operation, command, counts_of, frame
from tests.damage.specimen import Specimens, change_bytes, zoo

SUBJECT = "counts.parquet"
CASES: dict[str, Damage] = {}
OPERATIONS: dict[str, Operation] = {}
_KEY = b"mlimages"

#: What the metadata say otherwise; by name, the change.
SAID: dict[str, Callable[[dict[str, Any]], Any]] = {
    f"without {name}": lambda said, name=name: said.pop(name)
    for name in (
        *("cooccurrence_version", "hierarchy_fingerprint", "sources", "targets"),
        *("images", "target_images", "total", "teacher_threshold", "unmatched"),
    )
}
for _field, _values in {
    "cooccurrence_version": {"newer": 99, "a string": "1", "null": None},
    "hierarchy_fingerprint": {"of another": "0" * 64, "a number": 5, "null": None},
    "sources": {"a list": [], "without keys": {}, "of numbers": {"keys": [1], "fingerprint": ""}},
    "images": {"fewer": [1, 2], "negative": [-1] * 10, "strings": ["x"] * 10, "a number": 5, "lists": [[1]] * 10},
    "target_images": {"fewer": [1], "null": None},
    "total": {"negative": -5, "a string": "24", "null": None, "less than the counts": 1, "huge": 10**30},
    "teacher_threshold": {"a string": "high", "NaN": float("nan")},
    "unmatched": {"one": [0], "a string": "00", "negative": [-1, 0]},
}.items():
    for _name, _value in _values.items():
        SAID[f"{_field} {_name}"] = lambda said, field=_field, value=_value: said.__setitem__(field, value)


def data(name: str, change: Callable[[bytes], bytes]) -> None:
    """The file holds other bytes."""
    CASES[name] = Damage(lambda _, path: change_bytes(path, change), (SUBJECT,))


def table(name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """The file holds another table."""
    CASES[name] = Damage(lambda _, path: pq.write_table(change(pq.read_table(path)), path), (SUBJECT,))


def entry(name: str, column: str, new: Any) -> None:
    """The first value of a column becomes another."""

    def change(found: pa.Table) -> pa.Table:
        columns = found.to_pydict()
        columns[column][0] = new
        return pa.table(columns, schema=found.schema)

    table(name, change)


def said(change: Callable[[dict[str, Any]], Any]) -> Callable[[pa.Table], pa.Table]:
    """The metadata say something else."""

    def apply(found: pa.Table) -> pa.Table:
        content = json.loads(found.schema.metadata[_KEY])
        change(content)
        return found.replace_schema_metadata({_KEY: json.dumps(content)})

    return apply


for _name, _change in SAID.items():
    table(_name, said(_change))
for _column in ("source", "target", "count"):
    entry(f"{_column} null", _column, None)
    table(f"no {_column}", lambda found, name=_column: found.drop_columns(name))
for _column in ("source", "target"):
    entry(f"{_column} too large", _column, 99)
    entry(f"{_column} beyond 16 bits", _column, 2**31 - 1)
    entry(f"{_column} negative", _column, -5)
entry("target that is no output", "target", 4)
entry("count negative", "count", -7)
entry("count of more than there are images", "count", 10**6)
table("a pair twice", lambda found: pa.concat_tables([found, found.slice(0, 1)]))
table("no metadata", lambda found: found.replace_schema_metadata(None))
table("metadata not JSON", lambda found: found.replace_schema_metadata({_KEY: b"{"}))
table("metadata a list", lambda found: found.replace_schema_metadata({_KEY: b"[]"}))
table("metadata not UTF-8", lambda found: found.replace_schema_metadata({_KEY: b"\xff"}))
table("counts are strings", lambda found: found.set_column(2, "count", found["count"].cast(pa.string())))
data("truncated", lambda was: was[:-20])
data("truncated by half", lambda was: was[: len(was) // 2])
data("garbage", lambda was: b"garbage" * 20)
data("empty", lambda was: b"")
CASES["missing"] = Damage(lambda _, path: path.unlink(), (SUBJECT,))
CASES["a folder"] = Damage(lambda _, path: (path.unlink(), path.mkdir()), (SUBJECT,))


def load(made: Specimens, path: Path, out: Path) -> Any:
    from mlimages.annotate import Cooccurrence

    found = Cooccurrence.load(path, hierarchy=zoo())
    numbers = [found.images.tolist(), found.target_images.tolist(), found.total, list(found.unmatched)]
    return [found.counts.toarray().tolist(), *numbers, found.teacher_threshold, frame(found.rules(min_probability=0.1))]


def add(made: Specimens, path: Path, out: Path) -> Any:
    command("cooccur", "merge", path, made.counts, "--hierarchy", made.hierarchy, "--out", out / "sum.parquet")
    return counts_of(out / "sum.parquet")


def rules(made: Specimens, path: Path, out: Path) -> Any:
    command("cooccur", "rules", path, "--hierarchy", made.hierarchy, "--min-probability", "0.1", "--out", out / "r.csv")
    return (out / "r.csv").read_text()


OPERATIONS["load"] = load
OPERATIONS["mlimages cooccur merge"] = add
OPERATIONS["mlimages cooccur rules"] = rules
OPERATIONS["mlimages cooccur evaluate"] = lambda made, path, out: command(
    "cooccur", "evaluate", path, made.table, "--json"
)
