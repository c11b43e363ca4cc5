"""Pack and random read against WebDataset tars and plain files, and row-group sizes for shuffled reading.

Run it with webdataset installed beside ``mlimages[images]``::

    python benchmarks/pack.py [--images 8000] [--folder /tmp]

Images are random bytes of the sizes of web photographs (log-normal, about 110 KB on average), since neither packing
nor reading looks inside. All read from the page cache, so what is compared is the work of each way, and ``ratio`` is
to reading the same bytes from one file in 1 MiB blocks: 1.00 would be no work at all. Each number is the best of
several runs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import webdataset

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.images import pack
from mlimages.images.packed.reading import read

RUNS = 3
SHARD_MIB = 256


def main() -> None:
    """Make the images, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--folder", help="Where the temporary files go.")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pack-benchmark-", dir=options.folder))
    try:
        measure(folder, options.images)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, count: int) -> None:
    """Print the three tables."""
    names, size = make_files(folder, count)
    table = make_table(folder, names)
    print(f"{count} images, {size / 1e6:,.0f} MB, {size / count / 1e3:.0f} KB each; best of {RUNS} runs\n")
    raw = raw_speed(folder / "all")

    print(f"{'pack':42} {'images/s':>9} {'MB/s':>7} {'ratio':>6}")
    seconds = best(lambda: (folder / "copy").write_bytes((folder / "all").read_bytes()))
    report("copy of one file of all bytes", count, size, seconds, raw)
    for workers in (1, 2):
        seconds = best(lambda workers=workers: do_pack(table, folder, 32, workers))
        report(f"mlimages, {workers} worker{'s' * (workers > 1)}", count, size, seconds, raw)
    seconds = best(lambda: write_tars(folder, names))
    report("WebDataset tar", count, size, seconds, raw)
    report("  the same with a hash of the shards", count, size, seconds + best(lambda: hash_tars(folder)), raw)

    print(f"\n{'read at random, one image at a time':42} {'images/s':>9} {'MB/s':>7} {'ratio':>6}")
    order = np.random.default_rng(0).permutation(count).tolist()
    do_pack(table, folder, 32, 2)
    packed = read(folder / "packed")
    report("mlimages, image", count, size, best(lambda: consume(packed.image(row) for row in order)), raw)
    report("mlimages, row with labels", count, size, best(lambda: consume(packed[row].image for row in order)), raw)
    files = [folder / "images" / names[row] for row in order]
    report("plain files", count, size, best(lambda: consume(path.read_bytes() for path in files)), raw)
    once = order[:20]
    seconds = best(lambda: consume(by_row_group(folder / "packed", packed, row) for row in once)) * count / len(once)
    report("pyarrow, row groups of 32 MiB", count, size, seconds, raw)

    print(f"\n{'read shuffled, all once':42} {'images/s':>9} {'MB/s':>7} {'ratio':>6}")
    seconds = best(lambda: consume(read_tars(folder)))
    report("WebDataset tar, buffer of 1,000 images", count, size, seconds, raw)
    for mib in (1, 16, 32, 64, 128):
        do_pack(table, folder, mib, 2)
        packed = read(folder / "packed")
        groups = max(1, 256 // mib)  # 256 MiB in memory, whatever the size of a group
        ours = best(
            lambda packed=packed, groups=groups: consume(r.image for r in packed.shuffled(seed=1, groups=groups))
        )
        report(f"mlimages, row groups of {mib} MiB", count, size, ours, raw)
        arrow = best(lambda: consume_arrow(folder / "packed"))
        report(f"  the same through pyarrow alone, {mib} MiB", count, size, arrow, raw)


def make_files(folder: Path, count: int) -> tuple[list[str], int]:
    """Write the images one by one, and all in one file; return their names and bytes."""
    sizes = np.random.default_rng(0).lognormal(np.log(95_000), 0.5, count).astype(int)
    block = np.random.default_rng(1).bytes(int(sizes.max()) + count)
    (folder / "images").mkdir()
    names = []
    with (folder / "all").open("wb") as everything:
        for number, size in enumerate(sizes.tolist()):
            names.append(f"{number // 1000}/{number}.jpg")
            path = folder / "images" / names[-1]
            path.parent.mkdir(exist_ok=True)
            data = block[number : number + size]
            path.write_bytes(data)
            everything.write(data)
    return names, int(sizes.sum())


def make_table(folder: Path, names: list[str]) -> Path:
    """Write an annotation table with ten labels per image."""
    hierarchy = Hierarchy([f"c{number}" for number in range(11_166)], [[] for _ in range(11_166)])
    labels = np.random.default_rng(2).integers(0, 11_166, (len(names), 10))
    lines = ["\t".join([name, *(f"{label}:1" for label in row)]) for name, row in zip(names, labels, strict=True)]
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    annotate(folder / "list.txt", hierarchy, out=folder / "table", propagation="none")
    return folder / "table"


def do_pack(table: Path, folder: Path, mib: int, workers: int) -> None:
    """Pack into an empty folder."""
    shutil.rmtree(folder / "packed", ignore_errors=True)
    pack(table, folder / "images", folder / "packed", row_group_mib=mib, shard_mib=SHARD_MIB, workers=workers)


def write_tars(folder: Path, names: list[str]) -> None:
    """The same images with their labels as JSON in tars of the same size."""
    shutil.rmtree(folder / "tars", ignore_errors=True)
    (folder / "tars").mkdir()
    table = pa.Table.from_batches(read_labels(folder / "table"))
    labels = table.column("labels").to_pylist()
    confidences = table.column("confidences").to_pylist()
    pattern = str(folder / "tars/%05d.tar")
    with webdataset.ShardWriter(pattern, maxsize=SHARD_MIB << 20, maxcount=10**9, verbose=0) as sink:
        for name, label, confidence in zip(names, labels, confidences, strict=True):
            data = (folder / "images" / name).read_bytes()
            key = name.removesuffix(".jpg")
            sink.write({"__key__": key, "jpg": data, "json": {"labels": label, "confidences": confidence}})


def read_labels(table: Path) -> list[pa.RecordBatch]:
    """The rows of the annotation table."""
    from mlimages.annotate.tables.annotations import AnnotationTable

    return list(AnnotationTable.open(table).batches())


def hash_tars(folder: Path) -> None:
    """The hashing that mlimages does for each shard while writing."""
    from mlimages.storage.files import file_hash

    for path in sorted((folder / "tars").glob("*.tar")):
        file_hash(path)


def read_tars(folder: Path) -> Iterator[bytes]:
    """Yield the images of the tars, shuffled as WebDataset does."""
    urls = [str(path) for path in sorted((folder / "tars").glob("*.tar"))]
    shuffled = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).shuffle(1000, rng=random.Random(1))
    for sample in shuffled:
        yield sample["jpg"]


def by_row_group(folder: Path, packed: object, row: int) -> bytes:
    """Read one image by name, without knowing its position."""
    import pyarrow.parquet as pq

    for part in packed.manifest.parts:  # type: ignore[attr-defined]
        if row >= part.rows:
            row -= part.rows
            continue
        file = pq.ParquetFile(folder / part.file)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                images = file.read_row_group(group, columns=["image.bytes"]).column("image").combine_chunks()
                return images.field("bytes")[row].as_py()
            row -= rows
    raise IndexError(row)


def consume_arrow(folder: Path) -> int:
    """Read all row groups in random order with pyarrow, rows as Python bytes."""
    import pyarrow.parquet as pq

    total = 0
    for path in sorted(folder.glob("part-*.parquet")):
        file = pq.ParquetFile(path)
        for group in np.random.default_rng(0).permutation(file.num_row_groups).tolist():
            images = file.read_row_group(group).column("image").combine_chunks().field("bytes")
            total += consume(images.to_pylist())
    return total


def consume(images: object) -> int:
    """The total size of images, in bytes."""
    return sum(len(image) for image in images)  # type: ignore[attr-defined]


def raw_speed(path: Path) -> float:
    """Bytes per second of reading one file."""

    def blocks() -> None:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass

    return path.stat().st_size / best(blocks)


def best(function: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def report(what: str, count: int, size: int, seconds: float, raw: float) -> None:
    """Print one line."""
    print(f"{what:42} {count / seconds:9,.0f} {size / seconds / 1e6:7,.0f} {size / seconds / raw:6.2f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
