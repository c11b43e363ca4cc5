"""Compiled counting of pairs: rows of categories in, a matrix or sorted runs of pairs out.

A row is first reduced to positions on an axis (the sources or the targets), each once. Numba checks no bounds, so
`reduce` validates every label that it looks up, and all that follows sees only positions.

Indices are unsigned in `reduce` and `count_dense`: for a signed one Numba looks whether it is negative, which measured
took a quarter of the time of the one and nearly half of that of the other.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import BYTES, FLOATS, INDICES, OFFSETS, compiled, readonly_array

_SHORT_INDICES = readonly_array(nb.int16)
_OUT = nb.int32[::1]

#: Pairs that are listed at a time: few enough for the first cache.
_LISTED = 4096


@compiled(
    *[
        nb.int64(OFFSETS, labels, FLOATS, nb.float32, BYTES, nb.int64, INDICES, nb.int64, _OUT, _OUT)
        for labels in (_SHORT_INDICES, INDICES)
    ]
)
def reduce(offsets, labels, values, threshold, origins, allowed, axis, positions, out_offsets, out):  # type: ignore[no-untyped-def]
    """Write where the labels of every row stand on an axis, each once.

    A label counts where its value is above `threshold` (every one does where there are no values) and, unless `origins`
    is empty, its origin is a set bit of `allowed`; `axis` [n] holds the position of each category, -1 where it has
    none, out of `positions`. `out` must have room for all labels. Returns -1, or the entry of a label that is no
    category.
    """
    one = np.uint64(1)
    categories = np.uint64(len(axis))
    seen_in = np.full(positions, -1, np.int32)
    end = np.uint64(0)
    out_offsets[0] = 0
    for row in range(np.uint64(len(offsets) - 1)):
        entry, last = np.uint64(offsets[row]), np.uint64(offsets[row + one])
        while entry < last:
            i = entry
            entry += one
            if len(values) and not values[i] > threshold:
                continue
            if len(origins) and not (allowed >> origins[i]) & 1:
                continue
            label = np.uint64(np.int64(labels[i]))  # what is negative becomes larger than any
            if label >= categories:
                return np.int64(i)
            at = np.uint64(np.int64(axis[label]))
            if at < np.uint64(positions) and seen_in[at] != np.int32(row):
                seen_in[at] = row
                out[end] = at
                end += one
        out_offsets[row + one] = end
    return np.int64(-1)


@compiled(nb.void(nb.uint32[::1], nb.uint64, nb.uint16[::1], nb.int32[::1]))
def _add_listed(listed, end, low, high):  # type: ignore[no-untyped-def]
    """Add 1 to each cell listed up to `end`."""
    for p in range(end):
        cell = listed[p]
        count = np.uint16(low[cell] + np.uint16(1))
        low[cell] = count
        if count == 0:
            high[cell] += 1


@compiled(
    nb.int64(
        *(OFFSETS, INDICES, OFFSETS, INDICES, INDICES, nb.int64),
        *(nb.uint16[::1], nb.int32[::1], nb.int64[::1], nb.int64[::1]),
    )
)
def count_dense(  # type: ignore[no-untyped-def]
    source_offsets, sources, target_offsets, targets, match, width, low, high, images, target_images
):
    """Add the pairs of every row to a matrix; return how many rows were counted.

    A cell of the matrix, line by line of `width` targets, counts in `low` and carries into `high`; there are fewer than
    2**32. Row r of the sources belongs to row ``match[r]`` of the targets, to none where that is -1, to row r where
    `match` is empty.

    Pairs are listed before they are counted: the cells of a large matrix are far away, and in a loop that does nothing
    else many of them are fetched at once. Measured, that takes less than half the time.
    """
    one, room = np.uint64(1), np.uint64(_LISTED)
    listed = np.empty(_LISTED, np.uint32)
    end = np.uint64(0)
    counted = 0
    for row in range(np.uint64(len(source_offsets) - 1)):
        other = match[row] if len(match) else np.int32(row)
        if other < 0:
            continue
        counted += 1
        first, last = np.uint64(target_offsets[other]), np.uint64(target_offsets[other + 1])
        k = first
        while k < last:
            target_images[np.uint32(targets[k])] += 1
            k += one
        for i in range(np.uint64(source_offsets[row]), np.uint64(source_offsets[row + one])):
            source = np.uint32(sources[i])
            images[source] += 1
            line = source * np.uint32(width)
            k = first
            while k < last:
                stop = min(last, k + room - end)
                while k < stop:
                    listed[end] = line + np.uint32(targets[k])
                    end += one
                    k += one
                if end == room:
                    _add_listed(listed, end, low, high)
                    end = np.uint64(0)
    _add_listed(listed, end, low, high)
    return counted


@compiled(
    nb.types.UniTuple(nb.int64, 3)(
        *(OFFSETS, INDICES, OFFSETS, INDICES, INDICES, nb.int64, nb.int64, nb.uint64[::1]),
        *(nb.int64[::1], nb.int64[::1]),
    )
)
def list_pairs(source_offsets, sources, target_offsets, targets, match, start, width, pairs, images, target_images):  # type: ignore[no-untyped-def]
    """Write the pairs of the rows from `start` on as ``source * width + target`` until `pairs` is full.

    Returns the row to go on with, the entries written, and the rows counted; where not even the first row fits, the
    entries that it needs, negative.
    """
    end = counted = 0
    for row in range(start, len(source_offsets) - 1):
        other = match[row] if len(match) else row
        if other < 0:
            continue
        first, last = target_offsets[other], target_offsets[other + 1]
        need = (source_offsets[row + 1] - source_offsets[row]) * (last - first)
        if end + need > len(pairs):
            return row, end if end else -need, counted
        counted += 1
        for k in range(first, last):
            target_images[targets[k]] += 1
        for i in range(source_offsets[row], source_offsets[row + 1]):
            images[sources[i]] += 1
            for k in range(first, last):
                pairs[end] = np.uint64(sources[i]) * np.uint64(width) + np.uint64(targets[k])
                end += 1
    return len(source_offsets) - 1, end, counted


@compiled(nb.int64(nb.uint64[::1], nb.uint64[::1], nb.int64[::1]))
def run_lengths(pairs, keys, counts):  # type: ignore[no-untyped-def]
    """Write each of the sorted `pairs` once, and how often it is there; return how many there are."""
    end = 0
    for i in range(len(pairs)):
        if i and pairs[i] == pairs[i - 1]:
            counts[end - 1] += 1
        else:
            keys[end] = pairs[i]
            counts[end] = 1
            end += 1
    return end


@compiled(nb.int64(nb.uint64[::1], nb.int64[::1], nb.uint64[::1], nb.int64[::1], nb.uint64[::1], nb.int64[::1]))
def merge_runs(keys_a, counts_a, keys_b, counts_b, keys, counts):  # type: ignore[no-untyped-def]
    """Merge two sorted runs, adding the counts of equal keys; return the length of the result."""
    a = b = end = 0
    while a < len(keys_a) or b < len(keys_b):
        if b == len(keys_b) or (a < len(keys_a) and keys_a[a] < keys_b[b]):
            keys[end], counts[end] = keys_a[a], counts_a[a]
            a += 1
        elif a == len(keys_a) or keys_b[b] < keys_a[a]:
            keys[end], counts[end] = keys_b[b], counts_b[b]
            b += 1
        else:
            keys[end], counts[end] = keys_a[a], counts_a[a] + counts_b[b]
            a += 1
            b += 1
        end += 1
    return end


@compiled(nb.void(*(nb.uint16[::1], nb.int32[::1]) * 2))
def add_cells(low, high, other_low, other_high):  # type: ignore[no-untyped-def]
    """Add the cells of another matrix to those of this one; `other_high` is empty where nothing was carried."""
    carried = np.uint32(0)
    for cell in range(np.uint64(len(low))):
        count = np.uint32(low[cell]) + np.uint32(other_low[cell])
        carried |= count >> np.uint32(16)
        low[cell] = count
    if carried:  # only then is `high` touched, which takes its memory
        for cell in range(np.uint64(len(low))):
            high[cell] += low[cell] < other_low[cell]
    for cell in range(np.uint64(len(other_high))):
        high[cell] += other_high[cell]


@compiled(nb.void(nb.uint16[:, ::1], nb.int32[:, ::1], nb.int64[::1]))
def count_nonzero(low, high, found):  # type: ignore[no-untyped-def]
    """Write how many cells of each line are not 0; `high` is empty where nothing was carried."""
    carried = len(high) > 0
    for line in range(np.uint64(low.shape[0])):
        count = 0
        for cell in range(np.uint64(low.shape[1])):
            count += low[line, cell] != 0
        if carried:
            for cell in range(np.uint64(low.shape[1])):
                count += low[line, cell] == 0 and high[line, cell] != 0
        found[line] = count


@compiled(nb.void(nb.uint16[:, ::1], nb.int32[:, ::1], nb.int32[::1], nb.int64[::1], nb.int64))
def take_nonzero(low, high, columns, data, start):  # type: ignore[no-untyped-def]
    """Write column and value of the cells that are not 0, line by line, from entry `start` on.

    Nothing else is written: the entries after them may be those of another thread. `high` is empty where nothing was
    carried.
    """
    end = np.uint64(start)
    carried = len(high) > 0
    chosen = np.empty(low.shape[1] + 1, np.int32)
    for line in range(np.uint64(low.shape[0])):
        found = np.uint64(0)
        for cell in range(np.uint64(low.shape[1])):  # without a branch: no one can foresee which are 0
            chosen[found] = cell
            found += np.uint64(low[line, cell] != 0 or (carried and high[line, cell] != 0))
        for k in range(found):
            at = np.uint32(chosen[k])
            columns[end] = at
            data[end] = low[line, at]
            if carried:
                data[end] += np.int64(high[line, at]) << 16
            end += np.uint64(1)


@compiled(nb.void(nb.uint64[:, ::1], nb.int64, OFFSETS, INDICES, nb.int64[::1], nb.int64[::1], nb.uint64[:, ::1], _OUT))
def partition(hashes, first_row, offsets, positions, row_starts, entry_starts, out_heads, out_positions):  # type: ignore[no-untyped-def]
    """Sort rows into buckets by their first hash.

    Writes a head for each row (both hashes, its number counted from `first_row`, how many positions it has) and its
    positions, bucket by bucket, and where each bucket begins, [buckets + 1] each.
    """
    buckets = len(row_starts) - 1
    row_starts[:] = 0
    entry_starts[:] = 0
    for row in range(len(hashes)):
        bucket = np.int64(hashes[row, 0] % np.uint64(buckets))
        row_starts[bucket + 1] += 1
        entry_starts[bucket + 1] += offsets[row + 1] - offsets[row]
    for k in range(buckets):
        row_starts[k + 1] += row_starts[k]
        entry_starts[k + 1] += entry_starts[k]
    next_row, next_entry = row_starts.copy(), entry_starts.copy()
    for row in range(len(hashes)):
        bucket = np.int64(hashes[row, 0] % np.uint64(buckets))
        at = next_row[bucket]
        next_row[bucket] += 1
        out_heads[at, 0], out_heads[at, 1] = hashes[row, 0], hashes[row, 1]
        out_heads[at, 2] = np.uint64(first_row + row)
        out_heads[at, 3] = np.uint64(offsets[row + 1] - offsets[row])
        for i in range(offsets[row], offsets[row + 1]):
            out_positions[next_entry[bucket]] = positions[i]
            next_entry[bucket] += 1
