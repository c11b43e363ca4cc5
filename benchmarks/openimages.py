"""Open Images label files, in any order, into one row an image: mlimages beside DuckDB and Polars.

Every contestant reads the same generated CSV, drops the labels that a mapping has not, lets people beat machines and
presence beat absence, gathers the labels of every image, and writes Parquet with zstd level 1. Nothing is propagated.
Ours also checks every row, hashes every part and its input, and writes origins. Then our time and memory on inputs of
growing size, in processes of their own: the memory should stay flat.

    python benchmarks/openimages.py [--rows 5000000] [--sizes 5000000 20000000]

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
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import mlimages
from mlimages import Hierarchy

LABELS, MAPPED, PER_IMAGE = 20_000, 10_000, 15
SQL = """
    copy (
        with said as (
            select ImageID as image, key, Source <> 'machine' as human, Confidence as confidence
            from read_csv('{source}', columns = {{'ImageID': 'varchar', 'Source': 'varchar', 'LabelName': 'varchar',
                          'Confidence': 'float'}}, header = true)
            join read_csv('{mapping}') on label = LabelName
            where Source <> 'machine' or Confidence > 0
        ), best as (
            select image, key, coalesce(max(confidence) filter (human), max(confidence)) as confidence
            from said group by image, key
        )
        select image, list(key order by key) as labels, list(confidence order by key) as confidences
        from best group by image order by image
    ) to '{out}' (format parquet, compression zstd, compression_level 1)
"""


def generate(path: Path, rows: int) -> None:
    """Write label rows: 75 % are grouped by image, as published, 25 % at random places; half are human-verified."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write("ImageID,Source,LabelName,Confidence\n")
        for start in range(0, rows, 1_000_000):
            count = min(1_000_000, rows - start)
            images = (np.arange(start, start + count) // PER_IMAGE).astype(np.uint64)
            far = rng.random(count) < 0.25
            images[far] = rng.integers(0, rows // PER_IMAGE, far.sum())
            ids = (images * np.uint64(0x9E3779B97F4A7C15)).tolist()
            labels = ((rng.zipf(1.3, count) * 7919) % LABELS).tolist()
            human = rng.random(count) < 0.5
            values = np.where(human, rng.integers(0, 2, count), rng.integers(5, 10, count) / 10).tolist()
            rows_of = zip(ids, human.tolist(), labels, values, strict=True)
            file.writelines(
                f"{i:016x},{'verification' if by else 'machine'},/m/0{label:05x},{value:g}\n"
                for i, by, label, value in rows_of
            )


def ours(source: Path, mapping: Path, out: Path) -> None:
    mlimages.annotate(source, hierarchy(), out=out, format="open-images", mapping=mapping, propagation="none")


def duckdb(source: Path, mapping: Path, out: Path) -> None:
    import duckdb

    duckdb.sql(SQL.format(source=source, mapping=mapping, out=out))


def polars(source: Path, mapping: Path, out: Path) -> None:
    import polars as pl

    said = pl.scan_csv(source, schema_overrides={"Confidence": pl.Float32})
    human = pl.col("Source") != "machine"
    (
        said.join(pl.scan_csv(mapping), left_on="LabelName", right_on="label")
        .filter(human | (pl.col("Confidence") > 0))
        .group_by("ImageID", "key")
        .agg(pl.coalesce(pl.col("Confidence").filter(human).max(), pl.col("Confidence").max()).alias("confidence"))
        .sort("ImageID", "key")
        .group_by("ImageID", maintain_order=True)
        .agg("key", "confidence")
        .sink_parquet(out, compression="zstd", compression_level=1)
    )


def hierarchy() -> Hierarchy:
    """As many categories as the mapping has labels, without edges."""
    return Hierarchy([f"c{i:05d}" for i in range(MAPPED)], [[] for _ in range(MAPPED)])


def watch(connection: Connection, run: Callable[..., None], arguments: tuple[Path, ...]) -> None:
    """Run, and send the seconds and the peak anonymous memory in bytes, without mapped files."""
    run(*arguments[:2], arguments[2].with_name("warm"))  # compiles, imports
    most = 0
    done = threading.Event()

    def sample() -> None:
        nonlocal most
        while not done.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            most = max(most, next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon")))

    sampler = threading.Thread(target=sample)
    sampler.start()
    start = time.perf_counter()
    run(arguments[3], *arguments[1:3])
    seconds = time.perf_counter() - start
    done.set()
    sampler.join()
    connection.send((seconds, most))


def measure(run: Callable[..., None], source: Path, mapping: Path, folder: Path) -> tuple[float, int]:
    """Seconds and bytes of a run in a separate process, after a warm-up on a small file."""
    small = folder / "small.csv"
    generate(small, 1000)
    out = folder / "made" / run.__name__
    out.parent.mkdir()
    receive, send = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=watch, args=(send, run, (small, mapping, out, source))
    )
    process.start()
    result: tuple[float, int] = receive.recv()
    process.join()
    shutil.rmtree(out.parent)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[5_000_000, 20_000_000])
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mapping, source = folder / "mapping.csv", folder / "labels.csv"
        rows = [f"/m/0{i * 2:05x},c{i:05d}\n" for i in range(MAPPED)]
        mapping.write_text("label,key\n" + "".join(rows))
        generate(source, options.rows)
        print(f"{options.rows:,} rows, {source.stat().st_size / 1e6:.0f} MB")
        base = 0.0
        for run in (ours, duckdb, polars):
            seconds, most = measure(run, source, mapping, folder)
            base = base or seconds
            print(f"  {run.__name__:8} {seconds:6.2f} s  {seconds / base:5.2f} x  {most / 1e6:6.0f} MB")
        print("mlimages, growing")
        for size in options.sizes:
            generate(source, size)
            seconds, most = measure(ours, source, mapping, folder)
            speed = source.stat().st_size / seconds / 1e6
            print(f"  {size:12,} rows {seconds:6.2f} s  {speed:4.0f} MB/s  {most / 1e6:6.0f} MB")


if __name__ == "__main__":
    main()
