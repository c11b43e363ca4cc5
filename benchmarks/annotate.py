"""From a list of images to a closed annotation table on disk: mlimages beside Polars, DuckDB, pandas and plain Python.

Every contestant reads the same generated list, adds all ancestors of every label with the largest confidence that
brings it, and writes Parquet with zstd level 1. Ours also writes origins, hashes every part and its input, and checks
every byte it reads. Then: pyarrow writing our output alone, the encodings tried for our columns, and, with
``--large``, the time and memory of 17.6 million rows.

    python benchmarks/annotate.py [--rows 2000000] [--large] [--dictionary FILE]

Needs ``pip install duckdb polars``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import mlimages
from mlimages import AnnotationTable, Hierarchy

REPEATS = 3


def generate(path: Path, hierarchy: Hierarchy, rows: int) -> None:
    """Write a list: names of 30 characters, 1.45 labels per row on average, 40 % of them with confidence below 1."""
    rng = np.random.default_rng(1)
    leaves = hierarchy.leaves
    with path.open("w") as file:
        for start in range(0, rows, 100_000):
            count = min(100_000, rows - start)
            numbers, secrets = rng.integers(0, 10**10, count), rng.integers(0, 16**10, count)
            lengths = 1 + (rng.random(count) < 0.4) + (rng.random(count) < 0.05)
            labels = leaves[rng.integers(0, len(leaves), lengths.sum())].tolist()
            confidences = rng.choice(["1", "1", "1", "0.9", "0.8"], lengths.sum()).tolist()
            at = 0
            for number, secret, length in zip(numbers.tolist(), secrets.tolist(), lengths.tolist(), strict=True):
                row = "\t".join(f"{labels[k]}:{confidences[k]}" for k in range(at, at + length))
                file.write(f"{number:010d}_{secret:010x}_o_{start // 100_000 % 100:02d}.jpg\t{row}\n")
                at += length


def ours(source: Path, hierarchy: Hierarchy, out: Path) -> None:
    mlimages.annotate(source, hierarchy, out=out)


def plain_python(source: Path, hierarchy: Hierarchy, out: Path) -> None:
    closure = [[i, *row.tolist()] for i, row in enumerate(hierarchy.ancestors())]
    names, labels, confidences = [], [], []
    with source.open() as file:
        for line in file:
            name, *tokens = line.rstrip("\n").split("\t")
            row: dict[int, float] = {}
            for token in tokens:
                label, confidence = token.split(":")
                value = float(confidence)
                for above in closure[int(label)]:
                    if row.get(above, 0.0) < value:
                        row[above] = value
            names.append(name)
            labels.append(list(row))
            confidences.append(list(row.values()))
    table = pa.table(
        {
            "image": names,
            "labels": pa.array(labels, pa.list_(pa.int16())),
            "confidences": pa.array(confidences, pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, out, compression="zstd", compression_level=1)


def with_pandas(source: Path, hierarchy: Hierarchy, out: Path) -> None:
    import pandas as pd

    lines = pd.read_csv(source, sep="\x01", header=None, names=["line"])["line"]
    parts = lines.str.split("\t", n=1)
    tokens = parts.str[1].str.split("\t").explode()
    split = tokens.str.split(":", n=1)
    labelled = pd.DataFrame(
        {"row": tokens.index, "label": split.str[0].astype("int32"), "confidence": split.str[1].astype("float32")}
    )
    brought = labelled.merge(pd.DataFrame(pairs(hierarchy)), on="label")
    closed = brought.groupby(["row", "above"], sort=True)["confidence"].max().reset_index()
    rows = closed.groupby("row")
    table = pa.table(
        {
            "image": parts.str[0].to_numpy(),
            "labels": pa.array(rows["above"].agg(list), pa.list_(pa.int16())),
            "confidences": pa.array(rows["confidence"].agg(list), pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, out, compression="zstd", compression_level=1)


def with_polars(source: Path, hierarchy: Hierarchy, out: Path) -> None:
    import polars as pl

    closure = pl.LazyFrame(pairs(hierarchy), schema_overrides={"label": pl.Int16, "above": pl.Int16})
    lines = pl.scan_csv(source, separator="\x01", has_header=False, new_columns=["line"], quote_char=None)
    labelled = (
        lines.with_row_index("row")
        .select("row", pl.col("line").str.split("\t"))
        .select("row", image=pl.col("line").list.first(), token=pl.col("line").list.slice(1))
        .explode("token")
        .with_columns(pl.col("token").str.split_exact(":", 1))
        .unnest("token")
        .select("row", "image", label=pl.col("field_0").cast(pl.Int16), confidence=pl.col("field_1").cast(pl.Float32))
    )
    closed = (
        labelled.join(closure, on="label")
        .group_by("row", "image", "above")
        .agg(pl.col("confidence").max())
        .group_by("row", "image")
        .agg(labels="above", confidences="confidence")
        .sort("row")
        .drop("row")
    )
    closed.collect(engine="streaming").write_parquet(out, compression="zstd", compression_level=1)


def with_duckdb(source: Path, hierarchy: Hierarchy, out: Path) -> None:
    """DuckDB with list lambdas, much faster here than a group-by; label and confidence are packed into one number."""
    import duckdb

    db = duckdb.connect()
    db.execute("set preserve_insertion_order = true")
    rows = [[i, *row.tolist()] for i, row in enumerate(hierarchy.ancestors())]
    db.register("closure", pa.table({"rows": pa.array([rows], pa.list_(pa.list_(pa.int64())))}))
    db.execute(
        f"""
        copy (
            select image,
                   list_transform(kept, lambda x: (x // 1000)::smallint) as labels,
                   list_transform(kept, lambda x: ((x % 1000) / 100)::float) as confidences
            from (
                select image, list_filter(sorted, lambda x, i:
                    i = len(sorted) or sorted[i + 1] // 1000 <> x // 1000) as kept
                from (
                    select fields[1] as image,
                           list_sort(flatten(list_transform(fields[2:], lambda t: list_transform(
                               closure.rows[split_part(t, ':', 1)::int + 1],
                               lambda c: c * 1000 + round(split_part(t, ':', 2)::float * 100)::int)))) as sorted
                    from (select string_split(line, chr(9)) as fields
                          from read_csv('{source}', columns={{'line': 'varchar'}}, delim=chr(1), header=false,
                                        quote='', escape='', auto_detect=false)), closure)))
        to '{out}' (format parquet, compression zstd, compression_level 1)
        """
    )


def pairs(hierarchy: Hierarchy) -> dict[str, np.ndarray]:
    """The closure as pairs (label, ancestor), each category included as its own ancestor."""
    closure = hierarchy.ancestors()
    own = np.arange(len(hierarchy))
    return {"label": np.concatenate([own, closure.row_numbers]), "above": np.concatenate([own, closure.indices])}


def pyarrow_alone(table: AnnotationTable, out: Path, workers: int, **options: object) -> tuple[float, int]:
    """Seconds and bytes of pyarrow writing the same parts from memory, one thread per part."""
    parts = [pq.read_table(table.folder / part.file) for part in table.manifest.parts]
    options = {"compression": "zstd", "compression_level": 1, "row_group_size": 131_072, **options}
    best, size = float("inf"), 0
    for _ in range(REPEATS):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(
                pool.map(lambda each: pq.write_table(each[1], out / f"{each[0]}.parquet", **options), enumerate(parts))
            )
        best = min(best, time.perf_counter() - start)
        size = sum(path.stat().st_size for path in out.iterdir())
    return best, size


_COLUMNS = ["image", "labels.list.element", "confidences.list.element", "origins.list.element"]


def encoded(column: str, encoding: str) -> dict[str, object]:
    """Write one column with a given encoding, the others with dictionaries."""
    return {"column_encoding": {column: encoding}, "use_dictionary": [each for each in _COLUMNS if each != column]}


ENCODINGS: dict[str, dict[str, object]] = {
    "pyarrow's defaults": {},
    "without compression": {"compression": "none", "compression_level": None},
    "zstd level 9": {"compression_level": 9},
    "lz4": {"compression": "lz4", "compression_level": None},
    "names DELTA_LENGTH": encoded("image", "DELTA_LENGTH_BYTE_ARRAY"),
    "names DELTA": encoded("image", "DELTA_BYTE_ARRAY"),
    "labels DELTA": encoded("labels.list.element", "DELTA_BINARY_PACKED"),
    "confidences BYTE_STREAM_SPLIT": encoded("confidences.list.element", "BYTE_STREAM_SPLIT"),
    "pages of 8 MiB": {"data_page_size": 8 << 20},
}


def best_of(run: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def large(source: str, dictionary: str | None, out: str, queue: multiprocessing.Queue[tuple[float, float]]) -> None:
    """Run in a separate process, so that its peak memory (without mapped files) is that of the job."""
    hierarchy = load(dictionary)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            status = Path("/proc/self/status").read_text()
            peak = max(peak, int(status.split("RssAnon:")[1].split()[0]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    mlimages.annotate(source, hierarchy, out=out)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    queue.put((seconds, peak / 1024))


def load(dictionary: str | None) -> Hierarchy:
    return mlimages.load_hierarchy(dictionary) if dictionary else mlimages.load_hierarchy("imagenet-11k")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--large", action="store_true", help="also 4.4 and 17.6 million rows of ours alone")
    parser.add_argument("--dictionary", help="the published dictionary; the embedded imagenet-11k without it")
    options = parser.parse_args()
    hierarchy = load(options.dictionary)
    workers = len(os.sched_getaffinity(0))
    folder = Path(tempfile.mkdtemp(prefix="mlimages-benchmark-"))
    try:
        source = folder / "list.txt"
        generate(source, hierarchy, options.rows)
        megabytes = source.stat().st_size / 1e6
        print(f"{workers} cores; {options.rows:,} rows, {megabytes:.0f} MB; {len(hierarchy):,} categories")
        table_folder = folder / "ours"

        def run_ours() -> None:
            shutil.rmtree(table_folder, ignore_errors=True)
            ours(source, hierarchy, table_folder)

        start = time.perf_counter()
        run_ours()
        first = time.perf_counter() - start
        mine = best_of(run_ours, REPEATS)
        table = AnnotationTable.open(table_folder)
        size = sum(part.bytes for part in table.manifest.parts)
        print(f"{'':24}{'seconds':>9}{'ratio':>8}{'bytes an image':>16}")
        print(f"{'mlimages':24}{mine:9.2f}{1:8.1f}{size / len(table):16.1f}   (first run in a process: {first:.2f} s)")
        for name, run, repeats in (
            ("polars", with_polars, REPEATS),
            ("duckdb, list lambdas", with_duckdb, REPEATS),
            ("pandas", with_pandas, 1),
            ("plain python", plain_python, 1),
        ):
            out = folder / "peer.parquet"
            seconds = best_of(lambda run=run, out=out: run(source, hierarchy, out), repeats)
            check(table, out)
            print(f"{name:24}{seconds:9.2f}{seconds / mine:8.1f}{out.stat().st_size / len(table):16.1f}")
        print("\nthe same table written by pyarrow alone, from memory, one thread a part")
        for name, encoding in ENCODINGS.items():
            seconds, written = pyarrow_alone(table, folder / "alone", workers, **encoding)
            ratio, per_image = mine / seconds, written / len(table)
            print(f"{name:32}{seconds:8.2f} s   ours whole / this: {ratio:5.2f}{per_image:10.1f} bytes an image")
        if options.large:
            print("\nours alone, each in a process of its own")
            for rows in (4_400_000, 17_600_000):
                generate(source, hierarchy, rows)
                shutil.rmtree(table_folder)
                queue: multiprocessing.Queue[tuple[float, float]] = multiprocessing.get_context("spawn").Queue()
                arguments = (str(source), options.dictionary, str(table_folder), queue)
                process = multiprocessing.get_context("spawn").Process(target=large, args=arguments)
                process.start()
                seconds, peak = queue.get()
                process.join()
                mapped = source.stat().st_size / 2**20
                beyond = f"peak {peak:.0f} MiB beyond the mapped list of {mapped:.0f} MiB"
                print(f"{rows:12,} rows{seconds:8.2f} s   {beyond}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(table: AnnotationTable, peer: Path) -> None:
    """Check that the first rows of both tables have the same labels, in any order."""
    mine = table.take(np.arange(1000))
    theirs = pq.read_table(peer).slice(0, 1000)
    for i in range(1000):
        assert mine["image"][i].as_py() == theirs["image"][i].as_py()
        rows = [
            dict(zip(each["labels"][i].as_py(), np.float32(each["confidences"][i].as_py()), strict=True))
            for each in (mine, theirs)
        ]
        assert rows[0] == rows[1], (i, rows)


if __name__ == "__main__":
    main()
