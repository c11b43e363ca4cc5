"""Look-up of images by name: the only place where names are compared.

There are two ways. :class:`FirstRows` finds the rows of one long list that name the same image, out of core and
exactly. :class:`NameIndex` finds names among others in memory, by a hash of 128 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.storage.arrow import offsets_of, readonly, text_of

_BITS = 6
_PARTITIONS = 1 << _BITS
_RECORD = np.dtype([("hash", "<u8"), ("row", "<i8")])
_NAMES = pa.schema([pa.field("image", pa.string()), pa.field("row", pa.int64())])
_BLOCK = 1 << 20


def hash_names(names: pa.StringArray) -> NDArray[np.uint64]:
    """Two independent 64-bit hashes of every name, uint64 [m, 2]; not for keeping, they may change with the version."""
    from mlimages.storage import nameskernels

    hashes = np.empty((len(names), 2), np.uint64)
    nameskernels.hash_names(*text_of(names), hashes)
    return hashes


class NameIndex:
    """Rows by the hashes of their names, in memory; of equal names the first row.

    Names are not kept and so not compared themselves: two of 10 million names that differ have the same hashes with a
    probability below 1e-24.

    Parameters
    ----------
    hashes : uint64 array [m, 2 or more]
        The result of :func:`hash_names` for every row, in the first two columns.

    Attributes
    ----------
    repeated : int
        The first row with the name of an earlier row; -1 if all names differ.

    Examples
    --------
    >>> index = NameIndex(hash_names(pa.array(["a.jpg", "b.jpg"])))
    >>> index.find(hash_names(pa.array(["b.jpg", "c.jpg", "a.jpg"]))).tolist()
    [1, -1, 0]
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        from mlimages.storage import nameskernels

        self._hashes = readonly(hashes)
        self._slots = np.full(1 << (2 * len(hashes)).bit_length(), -1, np.int32)
        self.repeated = int(nameskernels.fill_index(self._hashes, self._slots))

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The row of each name, given by its hashes in the first two columns, or -1: int32 [k]."""
        from mlimages.storage import nameskernels

        found = np.empty(len(hashes), np.int32)
        nameskernels.find_in_index(readonly(hashes), self._hashes, readonly(self._slots), found)
        return found


class FirstRows:
    """For every row, the first row that names the same image: exact, and for any number of rows.

    The 64-bit hashes of the names are spilled into partitions on disk, so that equal ones meet in one small file. Where
    hashes repeat, and only there, the names themselves are spilled in the same way and compared: a collision of hashes
    never makes two images one. Rows are numbered in the order in which :meth:`add` gets them. Use it as a context
    manager, which closes the files.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder for the temporary files: 16 bytes per row, and the repeated names.
    hashed : callable, optional
        Makes the hashes of names, uint64 [m, 2], of which the first counts.
    """

    def __init__(self, folder: Path, *, hashed: Callable[[pa.StringArray], NDArray[np.uint64]] = hash_names) -> None:
        self._folder = folder
        self._hashed = hashed
        self._rows = 0
        self._stack = ExitStack()
        self._paths = [folder / f"hashes-{i:02d}" for i in range(_PARTITIONS)]
        self._files = [self._stack.enter_context(path.open("wb")) for path in self._paths]

    def __enter__(self) -> FirstRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, names: pa.StringArray) -> None:
        """Take the names of the next rows."""
        hashes = self._hashed(names)[:, 0]
        order, bounds = _by_partition(hashes)
        records = np.empty(len(hashes), _RECORD)
        records["hash"] = hashes[order]
        records["row"] = self._rows + order
        for i, file in enumerate(self._files):
            file.write(records[bounds[i] : bounds[i + 1]].tobytes())
        self._rows += len(hashes)

    def find(self, again: Callable[[], Iterable[pa.StringArray]]) -> NDArray[np.int64] | None:
        """Compare the names with equal hashes.

        Parameters
        ----------
        again : callable
            Yields the same names once more; called only where hashes repeat.

        Returns
        -------
        int64 array [rows] or None
            The first row of the same name, mapped from a file in the folder; None if all names differ.
        """
        self._stack.close()
        candidates = self._candidates()
        if candidates is None:
            return None
        first = np.memmap(self._folder / "first", np.int64, "w+", shape=(self._rows,))
        for start in range(0, self._rows, _BLOCK):
            stop = min(start + _BLOCK, self._rows)
            first[start:stop] = np.arange(start, stop)
        different = True
        for path in self._spill_names(again(), candidates):
            with pa.OSFile(str(path)) as file:
                table = pa.ipc.open_stream(file).read_all()
            if table.num_rows:
                different &= not _note_first(first, table)
            path.unlink()
        return None if different else first

    def _candidates(self) -> NDArray[np.bool_] | None:
        """The rows with a repeated hash, bool [rows]; None if there are none."""
        found: NDArray[np.bool_] | None = None
        for path in self._paths:
            records = np.fromfile(path, _RECORD)
            path.unlink()
            order = np.argsort(records["hash"], kind="stable")
            hashes, rows = records["hash"][order], records["row"][order]
            same = hashes[1:] == hashes[:-1]
            if same.any():
                if found is None:
                    found = np.memmap(self._folder / "candidates", np.bool_, "w+", shape=(self._rows,))
                found[rows[1:][same]] = True
                found[rows[:-1][same]] = True
        return found

    def _spill_names(self, names: Iterable[pa.StringArray], candidates: NDArray[np.bool_]) -> list[Path]:
        """Write the names and rows of the candidates into partitions by hash."""
        paths = [self._folder / f"names-{i:02d}" for i in range(_PARTITIONS)]
        at = 0
        with ExitStack() as stack:
            sinks = [stack.enter_context(pa.OSFile(str(path), "wb")) for path in paths]
            writers = [stack.enter_context(pa.ipc.new_stream(sink, _NAMES)) for sink in sinks]
            for array in names:
                kept = np.flatnonzero(candidates[at : at + len(array)])
                if len(kept):
                    chosen = array.take(pa.array(kept))
                    order, bounds = _by_partition(self._hashed(chosen)[:, 0])
                    batch = pa.record_batch([chosen, pa.array(at + kept)], schema=_NAMES).take(pa.array(order))
                    for i in np.flatnonzero(np.diff(bounds)).tolist():
                        writers[i].write_batch(batch.slice(bounds[i], bounds[i + 1] - bounds[i]))
                at += len(array)
        return paths


def _note_first(first: NDArray[np.int64], table: pa.Table) -> bool:
    """Enter the first row of every name, rows ascending; return whether any name repeats."""
    codes = table.column("image").combine_chunks().dictionary_encode().indices.to_numpy()  # compares whole names
    rows = table.column("row").to_numpy()
    first_of = np.empty(int(codes.max()) + 1, np.int64)
    first_of[codes[::-1]] = rows[::-1]
    first[rows] = first_of[codes]
    return len(first_of) < len(rows)


def _by_partition(hashes: NDArray[np.uint64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Order of the rows by partition, int64 [m], and where each partition begins in it, int64 [partitions + 1]."""
    partition = (hashes >> np.uint64(64 - _BITS)).astype(np.uint8)
    order = np.argsort(partition, kind="stable")
    return order, offsets_of(np.bincount(partition, minlength=_PARTITIONS), np.int64)
