"""Small undamaged files of every kind, made once, and the means to change a copy of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from mlimages import Hierarchy

KEYS = ["dog", "puppy", "animal", "pet", "stuff", "cat", "water", "plant", "rose", "thing"]
PARENTS = [[2, 3], [0], [9], [2], [], [3], [4], [9], [7], []]
PART_ROWS = (9, 8, 7)
GROUP_ROWS = 3
PART = "part-00001.parquet"  # the part that damages change: rows 9 to 16
ROW = 4  # in the second row group of that part
IMAGE = "13.png"  # what that row names

#: Given labels by the number of the image modulo eight; what they bring is added by annotate.
_GIVEN = (
    "puppy:1",
    "cat:0.5\tstuff:0",
    "rose:0.75",
    "water:1\tdog:0.25",
    "dog:1\tcat:0",
    "cat:1\trose:0.5",
    "plant:1",
    "water:0.5",
)


def zoo() -> Hierarchy:
    """The ten-node hierarchy with a diamond of ``tests/conftest.py``."""
    return Hierarchy(KEYS, PARENTS, [[key.title(), f"a {key}"] for key in KEYS])


@dataclass(frozen=True)
class Specimens:
    """Where the undamaged files are; `folder` holds all of them."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        if name.startswith("_"):
            raise AttributeError(name)
        return Path(self.__dict__["folder"]) / {
            "counts": "counts.parquet",
            "npz": "counts.npz",
            "rules": "rules.csv",
            "hierarchy": "zoo.parquet",
            "names": "names.txt",
            "listed": "list.txt",
        }.get(name, name)


def make_specimens(folder: Path) -> Specimens:
    """Write an annotation table (`table`), one to merge with it (`second`), one of another hierarchy (`other`) and one
    made with rules (`ruled`); `images`, `packed` images, `predictions`, co-occurrence `counts` and `npz`, `rules`, and
    the groups of `duplicates`.
    """
    from mlimages import annotate
    from mlimages.annotate import Cooccurrence, write_rules
    from mlimages.images import find_duplicates, pack

    made = Specimens(folder)
    hierarchy = zoo()
    hierarchy.to_parquet(made.hierarchy)
    _write_images(made.images)
    lists = _write_lists(folder / "lists", _GIVEN)
    made.names.write_text("03.png\n13.png\n20.png\nnone.png\n")
    made.listed.write_text("a.png\tpuppy:1\nb.png\trose:0.5\n")
    annotate(lists, hierarchy, out=made.table)
    cut_row_groups(made.table)
    second = folder / "second.txt"
    second.write_text("13.png\twater:1\n99.png\tcat:1\n")
    annotate(second, hierarchy, out=made.second)
    others = _write_lists(folder / "otherlists", ["xcat:1", "xwater:0.5", "xrose:1"])
    annotate(others, Hierarchy([f"x{key}" for key in KEYS], PARENTS), out=made.other)
    cut_row_groups(made.other)
    write_prediction_table(made)
    counted = Cooccurrence.count(made.table, made.predictions)
    counted.save(made.counts)
    counted.save(made.npz)
    write_rules(counted.rules(min_probability=0.1), made.rules)
    annotate(lists, hierarchy, out=made.ruled, rules=made.rules)
    pack(made.table, made.images, made.packed, row_group_mib=1, workers=1)
    find_duplicates(made.images, made.duplicates, workers=1)
    return made


def _write_lists(folder: Path, given: Sequence[str]) -> list[Path]:
    """A list of labels for each part, the given ones in turn."""
    folder.mkdir()
    lists = []
    at = 0
    for part, rows in enumerate(PART_ROWS):
        lists.append(folder / f"{part}.txt")
        lists[-1].write_text("".join(f"{row:02d}.png\t{given[row % len(given)]}\n" for row in range(at, at + rows)))
        at += rows
    return lists


def _write_images(folder: Path) -> None:
    """24 images of a few coarse blocks; the last two have the pixels of the first two."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    for number in range(24):
        coarse = np.random.default_rng(number % 22).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 24), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")


def write_prediction_table(made: Specimens) -> None:
    """A teacher that sees four of the categories, in three parts like those of the table."""
    from mlimages.annotate import write_predictions

    rows = [([0, 6], [0.99, 0.5]), ([5], [0.97]), ([8, 0], [0.96, 0.25]), ([], [])]
    names = [f"{row:02d}.png" for row in range(24)]
    batch = pa.record_batch(
        {
            "image": names,
            "labels": pa.array([rows[i % 4][0] for i in range(24)], pa.list_(pa.int16())),
            "scores": pa.array([rows[i % 4][1] for i in range(24)], pa.list_(pa.float32())),
        }
    )
    outputs = ["dog", "cat", "water", "rose"]
    folder = made.predictions
    write_predictions([batch], folder, zoo(), outputs=outputs)
    whole = pq.read_table(folder / "part-00000.parquet")
    at, parts = 0, []
    for number, count in enumerate(PART_ROWS):
        path = folder / f"part-{number:05d}.parquet"
        pq.write_table(whole.slice(at, count), path, row_group_size=GROUP_ROWS)
        parts.append({"file": path.name, "rows": count, "bytes": 0, "xxh3_128": ""})
        at += count
    change_manifest(folder, lambda content: content.update(parts=parts))
    seal(folder)


# Changing a copy ------------------------------------------------------------------------------------------------------


def cut_row_groups(folder: Path) -> None:
    """Write the parts of a table anew with small row groups, and make its manifest say so."""
    for path in sorted(folder.glob("part-*.parquet")):
        pq.write_table(pq.read_table(path), path, row_group_size=GROUP_ROWS)
    seal(folder)


def seal(folder: Path) -> None:
    """Make the manifest say of each part the bytes and the hash that it has."""

    def change(content: dict[str, Any]) -> None:
        for part in content["parts"]:
            data = (folder / part["file"]).read_bytes()
            part["bytes"], part["xxh3_128"] = len(data), xxhash.xxh3_128_hexdigest(data)
        content["bytes"] = sum(part["bytes"] for part in content["parts"])

    change_manifest(folder, change)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what a manifest says."""
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content, indent=1))


def read_part(folder: Path) -> pa.Table:
    """The part that is to be damaged."""
    return pq.read_table(folder / PART)


def write_part(folder: Path, table: pa.Table, **options: Any) -> None:
    """Write that part; the manifest is left as it was."""
    pq.write_table(table, folder / PART, **{"row_group_size": GROUP_ROWS, **options})


def change_rows(folder: Path, change: Callable[[dict[str, list[Any]]], Any]) -> None:
    """Change the rows of that part as lists of plain values; the columns keep their types."""
    table = read_part(folder)
    columns = table.to_pydict()
    change(columns)
    write_part(folder, pa.table(columns, schema=table.schema))


def change_column(folder: Path, name: str, change: Callable[[pa.Array], pa.Array]) -> None:
    """Change a whole column of that part, its type included."""
    table = read_part(folder)
    column = change(table.column(name).combine_chunks())
    at = table.schema.get_field_index(name)
    write_part(folder, table.set_column(at, pa.field(name, column.type), column))


def change_bytes(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of a file."""
    path.write_bytes(change(path.read_bytes()))


def copy_of(original: Path, to: Path) -> Path:
    """A copy of a file or folder, in the place of what is there."""
    if to.is_dir():
        shutil.rmtree(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    if original.is_dir():
        shutil.copytree(original, to)
    else:
        shutil.copyfile(original, to)
    return to
