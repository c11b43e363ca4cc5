"""What can be wrong with an annotation table, a function each; to add one, write one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.damage.specimen import (
    GROUP_ROWS,
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

MANIFEST = "manifest.json"
CATEGORIES = "categories.parquet"


@dataclass(frozen=True)
class Damage:
    """A damage.

    Parameters
    ----------
    apply : callable
        Does it to a copy of the table: takes the specimens and the folder of the copy.
    named : tuple of str
        The files of which an error names at least one.
    row : bool
        Whether one value of one row is wrong, so that an error can name the image, and an audit lists it.
    harmless : bool
        Whether commands may leave it unnoticed, as it changes nothing that they read.
    minor : bool
        Whether it is much like another, so that a few operations do.
    between : bool
        Whether each column is good, and only does not go with the others.
    """

    apply: Callable[[Specimens, Path], Any]
    named: tuple[str, ...]
    row: bool = False
    harmless: bool = False
    minor: bool = False
    between: bool = False


DAMAGES: dict[str, Damage] = {}


def add(name: str, apply: Callable[[Specimens, Path], Any], *named: str, row: bool = False, **more: bool) -> None:
    """Add a damage to the list."""
    DAMAGES[name] = Damage(apply, named or (PART,), row, **more)


# Values of a row ------------------------------------------------------------------------------------------------------


def value(name: str, column: str, new: Any, *, minor: bool = False) -> None:
    """The first value of a list becomes another."""

    def change(rows: dict[str, list[Any]]) -> None:
        rows[column][ROW][0] = new

    add(name, lambda _, folder: change_rows(folder, change), row=True, minor=minor)


def cell(name: str, column: str, new: Callable[[Any], Any], **more: bool) -> None:
    """A cell becomes another."""

    def change(rows: dict[str, list[Any]]) -> None:
        rows[column][ROW] = new(rows[column][ROW])

    add(name, lambda _, folder: change_rows(folder, change), **more)


value("label too large", "labels", 30000)
value("label one too large", "labels", 10, minor=True)
value("label of 32000", "labels", 32000, minor=True)
value("label negative", "labels", -5)
value("label minus one", "labels", -1, minor=True)
value("confidence NaN", "confidences", float("nan"))
value("confidence negative", "confidences", -2.5)
value("confidence above one", "confidences", 2.5)
value("confidence infinite", "confidences", float("inf"), minor=True)
value("confidence minus infinite", "confidences", float("-inf"), minor=True)
value("origin 99", "origins", 99)
value("origin 5", "origins", 5, minor=True)
value("label null", "labels", None)
value("confidence null", "confidences", None)
value("origin null", "origins", None)
cell("confidences shorter", "confidences", lambda cells: cells[:-1], between=True)
cell("confidences longer", "confidences", lambda cells: [*cells, 0.5], between=True, minor=True)
cell("confidences empty", "confidences", lambda _: [], between=True, minor=True)
cell("origins shorter", "origins", lambda cells: cells[:-1], between=True)
cell("labels longer", "labels", lambda cells: [*cells, 4], between=True)
cell("list of labels null", "labels", lambda _: None)
cell("list of confidences null", "confidences", lambda _: None)
cell("list of origins null", "origins", lambda _: None)
cell("name null", "image", lambda _: None)


def shift(_: Specimens, folder: Path) -> None:
    """A confidence moves to the row before, so that there are as many as labels in all."""

    def change(rows: dict[str, list[Any]]) -> None:
        confidences = rows["confidences"]
        confidences[ROW - 1].append(confidences[ROW].pop(0))

    change_rows(folder, change)


def cut_lists(_: Specimens, folder: Path) -> None:
    """The confidences of a whole row group are gone."""

    def change(rows: dict[str, list[Any]]) -> None:
        for row in range(GROUP_ROWS, 2 * GROUP_ROWS):
            rows["confidences"][row] = []

    change_rows(folder, change)


def not_utf8(_: Specimens, folder: Path) -> None:
    """A name that is no UTF-8 stands in a column of strings."""

    def change(names: pa.Array) -> pa.Array:
        data = [name.encode() for name in names.to_pylist()]
        data[ROW] = b"13\xff\xfe.png"
        return pa.array(data, pa.binary()).view(pa.string())

    change_column(folder, "image", change)


add("confidence in the wrong row", shift, between=True)
add("row group of cut lists", cut_lists, between=True)
add("name not UTF-8", not_utf8)


# Columns --------------------------------------------------------------------------------------------------------------


def column(name: str, of: str, kind: pa.DataType, new: Callable[[Any], Any] = lambda cells: cells) -> None:
    """A column becomes one of another type, its cells made anew."""

    def change(cells: pa.Array) -> pa.Array:
        return pa.array([new(each) for each in cells.to_pylist()], kind)

    full = kind == pa.list_(pa.string())  # of the many types that are refused
    add(name, lambda _, folder: change_column(folder, of, change), minor=not full)


def other_entry(new: Any) -> Callable[[Any], Any]:
    """The first entry of every list becomes another."""
    return lambda cells: [new, *cells[1:]]


def texts(cells: Any) -> Any:
    return [str(each) for each in cells]


for _name in ("image", "labels", "confidences", "origins"):
    add(f"no column {_name}", lambda _, folder, name=_name: write_part(folder, read_part(folder).drop_columns(name)))
add(
    "column renamed",
    lambda _, folder: write_part(
        folder, read_part(folder).rename_columns(["image", "label", "confidences", "origins"])
    ),
)
add(
    "column renamed over two lines",
    lambda _, folder: write_part(
        folder, read_part(folder).rename_columns(["image", "la\nbels", "confidences", "origins"])
    ),
    minor=True,
)
add(
    "column twice",
    lambda _, folder: write_part(folder, (lambda t: t.append_column("labels", t.column("labels")))(read_part(folder))),
)
column("labels are strings", "labels", pa.list_(pa.string()), texts)
column("confidences are strings", "confidences", pa.list_(pa.string()), texts)
column("names are numbers", "image", pa.int64(), lambda name: int(name[:2]))
column("labels are no lists", "labels", pa.int16(), lambda cells: cells[0])
column("labels are lists of lists", "labels", pa.list_(pa.list_(pa.int16())), lambda cells: [[each] for each in cells])
column("labels are fractions", "labels", pa.list_(pa.float64()), other_entry(1.5))
column("labels beyond 16 bits", "labels", pa.list_(pa.int64()), other_entry(65536))
column("labels beyond 32 bits", "labels", pa.list_(pa.int64()), other_entry(2**32 + 1))
column("labels beyond 16 bits unsigned", "labels", pa.list_(pa.uint16()), other_entry(65535))
column("origins beyond 8 bits", "origins", pa.list_(pa.int64()), other_entry(256))
column("confidences are whole numbers", "confidences", pa.list_(pa.int32()), other_entry(2))
column("confidences beyond 32 bits", "confidences", pa.list_(pa.float64()), other_entry(1e300))
column("labels are all null", "labels", pa.null(), lambda _: None)


# Files ----------------------------------------------------------------------------------------------------------------


def part(name: str, change: Callable[[bytes], bytes], *, minor: bool = False) -> None:
    """The bytes of the part become others."""
    add(name, lambda _, folder: change_bytes(folder / PART, change), minor=minor)


def zero(data: bytes, start: int, length: int) -> bytes:
    return data[:start] + bytes(length) + data[start + length :]


part("part truncated", lambda data: data[: len(data) // 2])
part("part without its last byte", lambda data: data[:-1], minor=True)
part("part garbage", lambda data: bytes(range(256)) * 4)
part("part empty", lambda _: b"")
part("part all zero", lambda data: bytes(len(data)), minor=True)
part("part with zeroed pages", lambda data: zero(data, 4, 200))
part("part with a zeroed footer", lambda data: zero(data, len(data) - 300, 280), minor=True)
part("part is only a footer", lambda data: b"PAR1" + data[-int.from_bytes(data[-8:-4], "little") - 8 :], minor=True)


def is_folder(_: Specimens, folder: Path) -> None:
    (folder / PART).unlink()
    (folder / PART).mkdir()


def surplus(made: Specimens, folder: Path) -> None:
    change_bytes(folder / PART, lambda data: data)
    (folder / "part-00003.parquet").write_bytes((made.table / PART).read_bytes())


def repeated(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, 1)])


add("part missing", lambda _, folder: (folder / PART).unlink())
add("part is a folder", is_folder)
add("part surplus", surplus, "part-00003.parquet", harmless=True)
add("part of fewer rows", lambda _, folder: write_part(folder, read_part(folder).slice(0, 7)))
add("part of fewer row groups", lambda _, folder: write_part(folder, read_part(folder).slice(0, 6)))
add("part of more rows", lambda _, folder: write_part(folder, repeated(read_part(folder))))
add("part of no rows", lambda _, folder: write_part(folder, read_part(folder).slice(0, 0)))
add("part of another hierarchy", lambda made, folder: (folder / PART).write_bytes((made.other / PART).read_bytes()))
add("categories missing", lambda _, folder: (folder / CATEGORIES).unlink(), CATEGORIES)
add("categories garbage", lambda _, folder: (folder / CATEGORIES).write_bytes(b"garbage"), CATEGORIES)
add("categories empty", lambda _, folder: (folder / CATEGORIES).write_bytes(b""), CATEGORIES)
add(
    "categories truncated",
    lambda _, folder: change_bytes(folder / CATEGORIES, lambda data: data[: len(data) // 2]),
    CATEGORIES,
)
add(
    "categories of another hierarchy",
    lambda made, folder: (folder / CATEGORIES).write_bytes((made.other / CATEGORIES).read_bytes()),
    CATEGORIES,
)


# The manifest ---------------------------------------------------------------------------------------------------------


def manifest_bytes(name: str, change: Callable[[bytes], bytes], *, minor: bool = True) -> None:
    """The bytes of the manifest become others."""
    add(name, lambda _, folder: change_bytes(folder / MANIFEST, change), MANIFEST, minor=minor)


def stated(name: str, new: Callable[[dict[str, Any]], Any], *named: str, **more: bool) -> None:
    """What the manifest says becomes something else."""
    add(name, lambda _, folder: change_manifest(folder, new), MANIFEST, *named, **{"minor": True, **more})


def deep(data: bytes) -> bytes:
    return data.replace(b'"options": {', b'"options": {"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b", ", 1)


manifest_bytes("manifest not JSON", lambda _: b"not JSON {", minor=False)
manifest_bytes("manifest truncated", lambda data: data[: len(data) // 2])
manifest_bytes("manifest empty", lambda _: b"")
manifest_bytes("manifest not UTF-8", lambda data: b"\xff\xfe\x00" + data)
manifest_bytes("manifest a list", lambda data: b"[" + data + b"]")
manifest_bytes("manifest nested too deep", deep, minor=False)
for _name, _value in {
    "a number": 7,
    "null": None,
    "a string": "part-00001.parquet",
    "numbers": [1, 2, 3],
    "an object": {"file": PART},
    "none": [],
}.items():
    stated(f"manifest with parts {_name}", lambda content, value=_value: content.update(parts=value))
for _field, _values in {
    "rows": {"a string": "8", "negative": -8, "a fraction": 8.5, "true": True, "null": None, "huge": 10**30, "zero": 0},
    "file": {"a number": 1, "null": None, "empty": "", "a folder": ".", "with a zero byte": "part\0.parquet"},
    "bytes": {"a string": "100", "negative": -1},
    "xxh3_128": {"a number": 5, "null": None},
}.items():
    for _name, _value in _values.items():
        stated(
            f"manifest with {_field} {_name}",
            lambda content, field=_field, value=_value: content["parts"][1].__setitem__(field, value),
            PART,
        )
#: Where what is wrong is that two do not go together, the other is named as well.
_ALSO_NAMED = {
    "hierarchy_fingerprint": ("part-00000.parquet",),
    "propagation": ("/table is", "/table: its propagation"),
    "content": ("/table: holds",),
}
for _field, _values in {
    "categories": {"one fewer": 9, "one more": 11, "a string": "10", "negative": -10, "null": None, "a fraction": 10.5},
    "format_version": {"newer": 99, "a string": "1", "null": None, "negative": -1},
    "hierarchy_fingerprint": {"of another": "0" * 64, "a number": 5, "null": None},
    "propagation": {"null": None, "a list": [], "of unknown names": {"upwards": "all"}, "a number": {"ancestors": 5}},
    "content": {"a number": 3, "unknown": "music"},
    "counts": {"a number": 3},
    "inputs": {"a number": 3, "numbers": [3]},
    "options": {"a number": 3},
    "rows": {"other than its parts say": 25, "as a string": "24"},
}.items():
    for _name, _value in _values.items():
        stated(
            f"manifest with {_field} {_name}" if _field != "rows" else f"manifest with rows in all {_name}",
            lambda content, field=_field, value=_value: content.__setitem__(field, value),
            CATEGORIES,
            *_ALSO_NAMED.get(_field, ()),
            harmless=_field in ("propagation", "counts", "inputs", "options"),
        )
for _field in ("format_version", "categories", "hierarchy_fingerprint", "parts"):
    stated(f"manifest without {_field}", lambda content, field=_field: content.pop(field))
stated("manifest with rows too few", lambda content: content["parts"][1].__setitem__("rows", 7), PART)
stated("manifest with rows too many", lambda content: content["parts"][1].__setitem__("rows", 9), PART)
stated("manifest with a part twice", lambda content: content["parts"].append(dict(content["parts"][1])))
stated("manifest lacking a part", lambda content: content["parts"].pop(1))
add("manifest missing", lambda _, folder: (folder / MANIFEST).unlink(), MANIFEST, "unfinished")


def outside(file: Callable[[Path], str]) -> Callable[[Specimens, Path], None]:
    """The manifest names as a part a file that is not in the folder, of other rows."""

    def apply(_: Specimens, folder: Path) -> None:
        table = read_part(folder)
        pq.write_table(table.take(list(range(len(table)))[::-1]), folder.parent / "x.parquet")
        path = file(folder)
        change_manifest(folder, lambda content: content["parts"][1].__setitem__("file", path))

    return apply


add("manifest with a part outside", outside(lambda _: "../x.parquet"), MANIFEST, "x.parquet")
add("manifest with an absolute path", outside(lambda f: str(f.parent / "x.parquet")), MANIFEST, "x.parquet")
