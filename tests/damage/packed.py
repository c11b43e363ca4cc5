"""The suite of packed images: what an annotation table has, bytes of images, and where these are in the file."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tests.damage.damages import MANIFEST, Damage
from tests.damage.operations import Operation, command, records_of, rows_of
from tests.damage.specimen import Specimens, change_bytes, change_manifest

SUBJECT = "packed"
PART = "part-00000.parquet"
CASES: dict[str, Damage] = {}
OPERATIONS: dict[str, Operation] = {}
OFFSETS = b"mlimages.offsets"
ROW = 13


def table(name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """The shard is another table, which does not say where its images are."""

    def apply(_: Specimens, folder: Path) -> None:
        found = pq.read_table(folder / PART)
        said = {key: text for key, text in found.schema.metadata.items() if key != OFFSETS}
        changed = change(found)
        pq.write_table(changed.replace_schema_metadata(said), folder / PART, row_group_size=6)

    CASES[name] = Damage(apply, (PART,))


def rows(name: str, column: str, change: Callable[[Any], Any]) -> None:
    """A cell becomes another."""

    def apply(found: pa.Table) -> pa.Table:
        columns = found.to_pydict()
        columns[column][ROW] = change(columns[column][ROW])
        return pa.table(columns, schema=found.schema)

    table(name, apply)


def offsets(name: str, change: Callable[[bytes], bytes]) -> None:
    """The footer says otherwise where the images are; the pages stay as they are."""

    def apply(_: Specimens, folder: Path) -> None:
        data = (folder / PART).read_bytes()
        said = pq.read_metadata(folder / PART).metadata[OFFSETS]
        new = change(said)
        assert len(new) == len(said), "the footer keeps its length"
        (folder / PART).write_bytes(data.replace(said, new))

    CASES[name] = Damage(apply, (PART,))


def part(name: str, change: Callable[[bytes], bytes]) -> None:
    """The shard holds other bytes."""
    CASES[name] = Damage(lambda _, folder: change_bytes(folder / PART, change), (PART,))


def stated(name: str, change: Callable[[dict[str, Any]], Any], *named: str) -> None:
    """The manifest says something else."""
    CASES[name] = Damage(lambda _, folder: change_manifest(folder, change), (MANIFEST, *named))


def first(value: Any) -> Callable[[Any], Any]:
    return lambda cells: [value, *cells[1:]]


rows("label too large", "labels", first(30000))
rows("label negative", "labels", first(-5))
rows("label null", "labels", first(None))
rows("confidence NaN", "confidences", first(float("nan")))
rows("confidence above one", "confidences", first(2.5))
rows("origin 99", "origins", first(99))
rows("confidences shorter", "confidences", lambda cells: cells[:-1])
rows("origins longer", "origins", lambda cells: [*cells, 0])
rows("list of labels null", "labels", lambda _: None)
rows("image null", "image", lambda _: None)
rows("bytes null", "image", lambda cell: {**cell, "bytes": None})
rows("name null", "image", lambda cell: {**cell, "path": None})
for _name in ("image", "labels", "confidences", "origins"):
    table(f"no column {_name}", lambda found, name=_name: found.drop_columns(name))
for _name in ("bytes", "path"):
    table(
        f"images without {_name}",
        lambda found, name=_name: found.set_column(
            0, "image", pa.array([{k: v for k, v in each.items() if k != name} for each in found["image"].to_pylist()])
        ),
    )
table(
    "images are names",
    lambda found: found.set_column(0, "image", pa.array([x["path"] for x in found["image"].to_pylist()])),
)
table(
    "labels are strings",
    lambda found: found.set_column(
        1, "labels", pa.array([[str(x) for x in each] for each in found["labels"].to_pylist()])
    ),
)
table("fewer rows", lambda found: found.slice(1))
table("more rows", lambda found: pa.concat_tables([found, found]))
table("no rows", lambda found: found.slice(0, 0))
part("truncated", lambda data: data[:-20])
part("truncated by half", lambda data: data[: len(data) // 2])
part("garbage", lambda data: b"garbage" * 50)
part("empty", lambda data: b"")
CASES["part missing"] = Damage(lambda _, folder: (folder / PART).unlink(), (PART,))
stated("rows too few", lambda content: content["parts"][0].update(rows=23), PART)
stated("rows too many", lambda content: content["parts"][0].update(rows=25), PART)
stated("categories a string", lambda content: content.update(categories="10"))
stated("categories too few", lambda content: content.update(categories=3), PART, "categories.parquet")
CASES["manifest garbage"] = Damage(lambda _, folder: (folder / MANIFEST).write_bytes(b"{"), (MANIFEST,))
CASES["categories garbage"] = Damage(
    lambda _, folder: (folder / "categories.parquet").write_bytes(b"x"), ("categories.parquet",)
)


def stale(_: Specimens, folder: Path) -> None:
    """Another programme wrote the shard anew and kept the metadata: the images are elsewhere now."""
    pq.write_table(pq.read_table(folder / PART), folder / PART, row_group_size=5)


def rewritten(_: Specimens, folder: Path) -> None:
    """Another programme wrote the shard anew, without the metadata: it is the same."""
    pq.write_table(pq.read_table(folder / PART).replace_schema_metadata(None), folder / PART, row_group_size=5)


def moved(by: Callable[[Any], Any]) -> Callable[[Specimens, Path], None]:
    """The footer says that the images are elsewhere."""

    def apply(_: Specimens, folder: Path) -> None:
        source = pq.ParquetFile(folder / PART)
        steps = np.frombuffer(zlib.decompress(base64.b64decode(source.metadata.metadata[OFFSETS])), "<i8").copy()
        new = base64.b64encode(zlib.compress(by(steps).astype("<i8").tobytes()))
        data = (folder / PART).read_bytes()
        size = int.from_bytes(data[-8:-4], "little")
        pages, footer = data[: -8 - size], data[-8 - size : -8]
        old = source.metadata.metadata[OFFSETS]
        source.close()
        at = footer.index(old)
        length = _varint(len(old))
        assert footer[at - len(length) : at] == length
        footer = footer[: at - len(length)] + _varint(len(new)) + new + footer[at + len(old) :]
        (folder / PART).write_bytes(pages + footer + len(footer).to_bytes(4, "little") + b"PAR1")

    return apply


def _varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def changed(steps: Any, at: int, by: int) -> Any:
    steps[at] += by
    return steps


CASES["offsets stale"] = Damage(stale, (PART,), harmless=True)
CASES["rewritten"] = Damage(rewritten, (), harmless=True)
offsets("offsets not base64", lambda said: b"!" * len(said))
offsets("offsets not compressed", lambda said: base64.b64encode(bytes(len(said)))[: len(said)])
CASES["offsets by one"] = Damage(moved(lambda steps: changed(steps, 0, 1)), (PART,))
CASES["offsets beyond the file"] = Damage(moved(lambda steps: changed(steps, 13, 10**9)), (PART,))
CASES["offsets huge"] = Damage(moved(lambda steps: changed(steps, 13, 2**62)), (PART,))
CASES["offsets negative"] = Damage(moved(lambda steps: changed(steps, 0, -(10**6))), (PART,))
CASES["offsets of fewer images"] = Damage(moved(lambda steps: steps[:-1]), (PART,))
CASES["offsets of more images"] = Damage(moved(lambda steps: np.append(steps, 100)), (PART,))
CASES["offsets of no images"] = Damage(moved(lambda steps: steps[:0]), (PART,))
CASES["offsets that go back"] = Damage(moved(lambda steps: changed(changed(steps, 5, -1000), 6, 1000)), (PART,))


def opened(folder: Path) -> Any:
    from mlimages.images import read

    return read(folder)


def _row(row: Any) -> Any:
    lists = [each.tolist() for each in (row.labels, row.confidences, row.origins)]
    return [row.name, _hash(row.image), *lists]


def _hash(data: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(data)


def batches(made: Specimens, folder: Path, out: Path) -> Any:
    found = [row for batch in opened(folder).batches(rows=5) for row in batch.to_pylist()]
    return [[row["image"]["path"], _hash(row["image"]["bytes"]), row["labels"]] for row in found]


def take(made: Specimens, folder: Path, out: Path) -> Any:
    found = opened(folder).take([13, 0, 23]).to_pylist()
    return [[row["image"]["path"], _hash(row["image"]["bytes"]), row["labels"]] for row in found]


def pack(made: Specimens, folder: Path, out: Path) -> Any:
    command("pack", folder, "--out", out / "made", "--workers", "1")
    return rows_of(out / "made")


def tfrecord(made: Specimens, folder: Path, out: Path) -> Any:
    command("tfrecord", "export", folder, "--keep-format", "--out", out / "made", "--workers", "1")
    return records_of(out / "made")


def duplicates(made: Specimens, folder: Path, out: Path) -> Any:
    command("duplicates", folder, "--exact", "--out", out / "groups", "--merge", out / "made", "--workers", "1")
    return [pq.read_table(out / "groups" / "groups.parquet").to_pydict(), rows_of(out / "made")]


def merge_duplicates(made: Specimens, folder: Path, out: Path) -> Any:
    from mlimages.images import merge_duplicates as function

    function(folder, made.duplicates, out / "made")
    return rows_of(out / "made")


OPERATIONS["rows"] = lambda made, folder, out: [_row(row) for row in opened(folder).rows()]
OPERATIONS["one row"] = lambda made, folder, out: _row(opened(folder)[13])
OPERATIONS["one image"] = lambda made, folder, out: [_hash(opened(folder).image(row)) for row in (0, 13, 23)]
OPERATIONS["names"] = lambda made, folder, out: list(opened(folder).names())
OPERATIONS["sizes"] = lambda made, folder, out: opened(folder).sizes().tolist()
OPERATIONS["slice"] = lambda made, folder, out: [_row(row) for row in opened(folder)[12:15]]
OPERATIONS["shuffled"] = lambda made, folder, out: sorted(_row(row) for row in opened(folder).shuffled(seed=1))
OPERATIONS["hierarchy"] = lambda made, folder, out: list(opened(folder).hierarchy.keys)
OPERATIONS["batches"] = batches
OPERATIONS["take"] = take
OPERATIONS["merge duplicates"] = merge_duplicates
OPERATIONS["mlimages pack"] = pack
OPERATIONS["mlimages tfrecord export"] = tfrecord
OPERATIONS["mlimages duplicates"] = duplicates
