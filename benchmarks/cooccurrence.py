"""Counting which teacher categories occur on the images of which category: mlimages beside the usual group-bys.

10.7 million images, one of 10,032 categories each, five of 1,134 predicted on each. In memory the peers are given the
53.5 million pairs as two flat integer columns, which is what is best for them; ours is given the two tables with names
and lists, compares all names, applies the threshold, and also counts n(i) and n(j). Beside it stands what it takes to
count pairs that are known, as the peers do. Then from Parquet: the time of scanning both tables beside that of counting
over them, in the same order and in a random one. Every line is a process
of its own, and its memory is the most that process held.

    python benchmarks/cooccurrence.py [--rows 10700000] [--folder DIR] [--no-crosstab]

Needs ``pip install duckdb polars``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SOURCES, TARGETS, PREDICTED = 10_032, 1_134, 5
REPEATS = 3
_ROWS = 131_072


def hierarchy() -> Any:
    from mlimages import Hierarchy

    keys = [f"n{i:08d}" for i in range(SOURCES)] + [f"/m/{i:05x}" for i in range(TARGETS)]
    return Hierarchy(keys, [[]] * len(keys))


def generate(folder: Path, rows: int) -> None:
    """Write both tables, the predictions in random order as well, and the flat pairs."""
    import mlimages
    from mlimages.annotate.tables.predictions import write_predictions

    categories = hierarchy()
    rng = np.random.default_rng(1)
    sources = rng.integers(0, SOURCES, rows).astype(np.int16)
    weights = 1 / np.arange(1, TARGETS - PREDICTED + 2)  # some things are on very many pictures, most on few
    drawn = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random((rows, PREDICTED), np.float32))
    drawn = np.sort(drawn.clip(0, TARGETS - PREDICTED), axis=1) + np.arange(PREDICTED)  # distinct within a row
    targets = drawn.astype(np.int16)
    scores = (0.95 + 0.0499 * rng.random((rows, PREDICTED), np.float32) + 1e-5).astype(np.float32)
    np.save(folder / "flat-sources.npy", np.repeat(sources, PREDICTED))
    np.save(folder / "flat-targets.npy", targets.reshape(-1))

    def names(start: int, stop: int) -> pa.Array:
        synset = pc.binary_join_element_wise(
            "n", pc.utf8_lpad(pa.array(sources[start:stop]).cast(pa.string()), 8, "0"), ""
        )
        number = pa.array(np.arange(start, stop)).cast(pa.string())
        picture = pc.binary_join_element_wise(synset, number, "_")
        return pc.binary_join_element_wise(pc.binary_join_element_wise(synset, picture, "/"), ".JPEG", "")

    def lists(values: np.ndarray, width: int) -> pa.ListArray:
        bounds = np.arange(0, values.size + 1, width, dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(bounds), pa.array(values.reshape(-1)))

    def pieces() -> Iterator[tuple[int, int]]:
        for start in range(0, rows, _ROWS):
            yield start, min(rows, start + _ROWS)

    annotated = [
        pa.record_batch({"image": names(*piece), "labels": lists(sources[slice(*piece)].astype(np.int32), 1)})
        for piece in pieces()
    ]
    predicted = [
        pa.record_batch(
            {
                "image": names(*piece),
                "labels": lists(targets[slice(*piece)].astype(np.int32) + SOURCES, PREDICTED),
                "scores": lists(scores[slice(*piece)], PREDICTED),
            }
        )
        for piece in pieces()
    ]
    mlimages.annotate(annotated, categories, out=folder / "annotations")
    outputs = range(SOURCES, SOURCES + TARGETS)
    write_predictions(predicted, folder / "predictions", categories, outputs=outputs)
    whole = pa.Table.from_batches(predicted).combine_chunks()
    order = rng.permutation(rows)
    shuffled = (whole.take(pa.array(order[slice(*piece)])).combine_chunks().to_batches()[0] for piece in pieces())
    write_predictions(shuffled, folder / "shuffled", categories, outputs=outputs)


# What is timed: each loads what it needs, then returns the function that counts ------------------------------------


def ours_in_memory(folder: Path) -> Callable[[], object]:
    from mlimages.annotate.cooccurrence import counts as cooccurrence
    from mlimages.annotate.tables import annotations as table
    from mlimages.annotate.tables import predictions

    categories = hierarchy()
    annotated = table.AnnotationTable.open(folder / "annotations").to_table(columns=["image", "labels", "confidences"])
    predicted = predictions.PredictionTable.open(folder / "predictions").to_table()
    axes = {"sources": range(SOURCES), "targets": range(SOURCES, SOURCES + TARGETS)}
    return lambda: cooccurrence.Cooccurrence.count(annotated, predicted, hierarchy=categories, **axes).counts.sum()


def ours_counting_alone(folder: Path) -> Callable[[], object]:
    """The processing of the pairs, as much as the other tools do."""
    from concurrent.futures import ThreadPoolExecutor

    from mlimages.annotate.cooccurrence.paircounter import Reduced, counters, total

    sources = np.load(folder / "flat-sources.npy")[::PREDICTED].astype(np.int32)
    targets = np.load(folder / "flat-targets.npy").astype(np.int32)
    none = np.empty(0, np.int32)

    def run() -> int:
        counting = counters(SOURCES, TARGETS, len(os.sched_getaffinity(0)))
        share = -(-len(sources) // len(counting))

        def add(number: int) -> None:
            for start in range(number * share, min(len(sources), (number + 1) * share), _ROWS):
                own = sources[start : min(start + _ROWS, (number + 1) * share)]
                bounds = np.arange(len(own) + 1, dtype=np.int32)
                seen = targets[start * PREDICTED : (start + len(own)) * PREDICTED]
                counting[number].add(Reduced(bounds, own), Reduced(bounds * np.int32(PREDICTED), seen), none)

        with ThreadPoolExecutor(len(counting)) as pool:
            list(pool.map(add, range(len(counting))))
            return int(total(counting, pool).counts.sum())

    return run


def flat(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / "flat-sources.npy"), np.load(folder / "flat-targets.npy")


def with_polars(folder: Path) -> Callable[[], object]:
    import polars as pl

    sources, targets = flat(folder)
    frame = pl.DataFrame({"i": sources, "j": targets})
    return lambda: frame.group_by("i", "j").len()["len"].sum()


def with_duckdb(folder: Path) -> Callable[[], object]:
    import duckdb

    sources, targets = flat(folder)
    pairs = pa.table({"i": sources, "j": targets})
    db = duckdb.connect()
    db.register("pairs", pairs)
    query = "select i, j, count(*)::bigint as c from pairs group by i, j"
    return lambda: pc.sum(db.sql(query).to_arrow_table().column("c")).as_py()


def with_crosstab(folder: Path) -> Callable[[], object]:
    import pandas as pd

    sources, targets = flat(folder)
    i, j = pd.Series(sources), pd.Series(targets)
    return lambda: pd.crosstab(i, j).to_numpy().sum()


def with_scipy(folder: Path) -> Callable[[], object]:
    import scipy.sparse

    sources, targets = flat(folder)
    ones = np.ones(len(sources), np.int32)
    shape = (SOURCES, TARGETS)
    return lambda: scipy.sparse.coo_array((ones, (sources, targets)), shape=shape).tocsr().sum(dtype=np.int64)


def with_bincount(folder: Path) -> Callable[[], object]:
    sources, targets = flat(folder)

    def count() -> int:
        found = np.zeros(SOURCES * TARGETS, np.int64)
        for start in range(0, len(sources), 1 << 20):
            piece = slice(start, start + (1 << 20))
            found += np.bincount(sources[piece].astype(np.int64) * TARGETS + targets[piece], minlength=len(found))
        return int(found.sum())

    return count


def scan(folder: Path, predictions: str = "predictions") -> Callable[[], object]:
    """Read the columns needed for counting from both tables, with the same number of threads."""
    from concurrent.futures import ThreadPoolExecutor

    from mlimages.annotate.tables.annotations import AnnotationTable
    from mlimages.annotate.tables.predictions import PredictionTable
    from mlimages.storage.rows import StoredRows

    tables = [
        StoredRows(AnnotationTable.open(folder / "annotations"), ["image", "labels", "confidences"]),
        StoredRows(PredictionTable.open(folder / predictions), ["image", "labels", "scores"]),
    ]

    def rows(piece: tuple[int, int]) -> int:
        read = [table.read(*piece) for table in tables]
        return sum(batch.num_rows for batches in zip(*read, strict=True) for batch in batches)

    def run() -> int:
        pieces = [(start, min(len(tables[0]), start + (1 << 19))) for start in range(0, len(tables[0]), 1 << 19)]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return sum(pool.map(rows, pieces)) // 2 * PREDICTED

    return run


def ours_from_parquet(folder: Path, predictions: str = "predictions") -> Callable[[], object]:
    from mlimages.annotate.cooccurrence.counts import Cooccurrence

    categories = hierarchy()
    paths = folder / "annotations", folder / predictions
    return lambda: Cooccurrence.count(*paths, hierarchy=categories, sources=range(SOURCES)).counts.sum()


def ours_out_of_order(folder: Path) -> Callable[[], object]:
    return ours_from_parquet(folder, "shuffled")


def most_memory() -> int:
    """Peak resident memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10


def forget_memory() -> int:
    """Reset the peak; return the resident memory now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return most_memory()


def in_a_process(make: Callable[[Path], Callable[[], object]], folder: Path, answer: Any, repeats: int) -> None:
    """Time one tool: the first run and the best of all, and its memory beyond the loaded data."""
    run = make(folder)
    held = forget_memory()
    times, processor = [], []
    for _ in range(repeats):
        start, begun = time.perf_counter(), time.process_time()
        found = run()
        times.append(time.perf_counter() - start)
        processor.append(time.process_time() - begun)
    answer.send((times, processor, int(found), most_memory() - held, most_memory()))  # type: ignore[call-overload]


class Measured(NamedTuple):
    """Wall and CPU seconds of the fastest run, and the number of pairs found."""

    seconds: float
    processor: float
    pairs: int


def measure(make: Callable[[Path], Callable[[], object]], folder: Path, repeats: int = REPEATS) -> Measured:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=in_a_process, args=(make, folder, there, repeats))
    process.start()
    there.close()
    try:
        times, processor, pairs, extra, most = here.recv()
    except EOFError:
        print(f"{make.__name__:<20} failed", flush=True)
        return Measured(float("inf"), float("inf"), 0)
    finally:
        process.join()
    print(
        f"{make.__name__:<18} best {min(times):6.2f} s (first {times[0]:6.2f}, processors {min(processor):6.2f})  "
        f"memory {extra / 2**20:6,.0f} MiB over the data, {most / 2**20:6,.0f} in all",
        flush=True,
    )
    return Measured(min(times), min(processor), pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_700_000)
    parser.add_argument("--folder", type=Path, help="keep the generated tables here, or use those that are there")
    parser.add_argument("--no-crosstab", action="store_true", help="leave out the pandas crosstab, which is slow")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "shuffled" / "manifest.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            process = multiprocessing.get_context("spawn").Process(target=generate, args=(folder, arguments.rows))
            process.start()
            process.join()
        print(f"{arguments.rows:,} images, {SOURCES:,} x {TARGETS:,}, {len(os.sched_getaffinity(0))} cores\n")
        print("in memory")
        ours = measure(ours_in_memory, folder)
        alone = measure(ours_counting_alone, folder)
        peers = {peer.__name__: measure(peer, folder) for peer in (with_polars, with_duckdb, with_scipy, with_bincount)}
        if not arguments.no_crosstab:
            peers["with_crosstab"] = measure(with_crosstab, folder, repeats=1)
        print("\nfrom Parquet")
        scanned = measure(scan, folder)
        same = measure(ours_from_parquet, folder)
        shuffled = measure(ours_out_of_order, folder, repeats=1)
        for name, each in {**peers, "alone": alone, "same order": same, "out of order": shuffled}.items():
            assert each.pairs in (ours.pairs, 0), f"{name}: counted {each.pairs} pairs, expected {ours.pairs}"
        print("\nratios, by the clock and by processor time")
        for name, each in peers.items():
            print(
                f"  {name:<18} {each.seconds / ours.seconds:6.1f}  {each.processor / ours.processor:6.1f} x ours, "
                f"{each.seconds / alone.seconds:6.1f}  {each.processor / alone.processor:6.1f} x ours counting alone"
            )
        group_by = min(peers["with_polars"].seconds, peers["with_duckdb"].seconds)
        print(
            f"  best group-by {group_by / ours.seconds:.1f} x ours, {group_by / alone.seconds:.1f} x counting alone "
            f"(goal 10); ours {ours.seconds:.2f} s (goal 0.6)"
        )
        print(
            f"  from Parquet in the same order {same.seconds / scanned.seconds:.2f} x scanning, by processor time "
            f"{same.processor / scanned.processor:.2f} x (goal 1.3)"
        )
        print(f"  from Parquet out of order {shuffled.seconds:.1f} s (goal 30)")


if __name__ == "__main__":
    main()
