"""Compiled parts of reading Open Images: rows of CSV into records, records into images.

A record is three 64-bit words: the image id as 16 bytes, most significant first and filled up with zeros, so that the
order of the words is that of the names; and the label in the upper half of the third word, what is said of it in the
lower. That lower half is the bits of the float32 confidence, with the sign bit set where a person said it: the
greatest of all that is said of a label in an image is then what counts.

Numba checks no bounds: buffers are sized by lines and bytes that were counted before.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.annotate.sources.lineskernels import LINE_FEED, RETURN, copy, is_utf8, note, parse_number
from mlimages.storage.nameskernels import find_key
from mlimages.storage.signatures import BYTES, INDICES, INDPTR, compiled, readonly_array

_RECORDS = readonly_array(nb.uint64, 2)
_LABELS = nb.types.Tuple((BYTES, INDPTR, INDICES, INDICES))

#: Bytes of the longest image id.
LONGEST_ID = 16
COLUMNS = 4  # ImageID,Source,LabelName,Confidence

# what can be wrong with a row
EMPTY_LINE, FEW_COLUMNS, MANY_COLUMNS, BAD_ID, NO_SOURCE, BAD_LABEL, HEADER, BAD_CONFIDENCE, OUTSIDE, FRACTION = range(
    1, 11
)

_HUMAN = np.uint64(1 << 31)
_ABSENT = np.uint64(1 << 31)
_PRESENT = np.uint64((1 << 31) | 0x3F800000)  # the bits of 1.0
_LOW = np.uint64(0xFFFFFFFF)
_MACHINE = np.frombuffer(b"machine", np.uint8)
_LABEL_NAME = np.frombuffer(b"LabelName", np.uint8)
_COMMA, _QUOTE = 44, 34


@compiled(nb.boolean(BYTES, nb.int64, nb.int64, BYTES))
def _is(data, start, stop, word):  # type: ignore[no-untyped-def]
    same = stop - start == len(word)
    for k in range(len(word) if same else 0):
        same &= data[start + k] == word[k]
    return same


@compiled(nb.types.Tuple((nb.boolean, nb.uint64, nb.uint64))(BYTES, nb.int64, nb.int64))
def pack_id(data, start, stop):  # type: ignore[no-untyped-def]
    """The two words of an image id, and whether it is one: 1 to 16 visible ASCII characters."""
    high = low = np.uint64(0)
    if stop - start < 1 or stop - start > LONGEST_ID:
        return False, high, low
    wrong = 0
    for k in range(LONGEST_ID):
        byte = np.uint64(0)
        if start + k < stop:
            byte = np.uint64(data[start + k])
            wrong += int(byte <= 32 or byte >= 127)
        if k < 8:
            high = (high << np.uint64(8)) | byte
        else:
            low = (low << np.uint64(8)) | byte
    return wrong == 0, high, low


@compiled(nb.uint64(nb.uint64, nb.uint64))
def mix(high, low):  # type: ignore[no-untyped-def]
    """A hash of an image id: the finalizer of MurmurHash3 (Appleby) over both words."""
    value = high * np.uint64(0x9E3779B97F4A7C15) ^ low
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@compiled(
    nb.types.UniTuple(nb.int64, 5)(
        *(BYTES, nb.int64, nb.int64, nb.int64, _LABELS),
        *(nb.uint64[:, ::1], nb.uint8[::1], nb.int32[::1], nb.int64[:, ::1]),
    )
)
def parse(data, start, stop, columns, known, records, removed, removed_offsets, bad):  # type: ignore[no-untyped-def]
    """Parse the lines of ``data[start:stop]``, each with `columns` columns of which the first four count.

    Labels that are not among the `known` ones, a LabelTable as a plain tuple, are copied to `removed`. Bad lines are
    noted in `bad`, and the parse ends where that is full.

    Returns the records, the removed labels, their bytes, the machine labels of confidence 0, which say nothing, and the
    bad lines.
    """
    key_text, key_offsets, slots, categories = known
    rows = gone = gone_bytes = zeros = wrong = line = 0
    removed_offsets[0] = 0
    begins, ends = np.empty(COLUMNS, np.int64), np.empty(COLUMNS, np.int64)
    at = start
    while at < stop:
        first = at
        fields = 0
        begin = at
        while True:
            while at < stop and data[at] != _COMMA and data[at] != LINE_FEED:
                at += 1
            if fields < COLUMNS:
                begins[fields], ends[fields] = begin, at
            fields += 1
            if at == stop or data[at] == LINE_FEED:
                break
            at += 1
            begin = at
            if fields >= COLUMNS and columns > COLUMNS:  # what follows may be quoted, and is not looked at
                while at < stop and data[at] != LINE_FEED:
                    at += 1
                fields = columns
                break
        last = at
        problem = 0
        token, token_end = first, last
        if last > first and data[last - 1] == RETURN:
            token_end -= 1
            if fields <= COLUMNS:
                ends[fields - 1] -= 1
        if token_end == first:
            problem = EMPTY_LINE
        elif fields < columns:
            problem = FEW_COLUMNS
        elif fields > columns:
            problem = MANY_COLUMNS
        if problem == 0:
            for k in range(COLUMNS):
                if ends[k] - begins[k] >= 2 and data[begins[k]] == _QUOTE and data[ends[k] - 1] == _QUOTE:
                    begins[k] += 1
                    ends[k] -= 1
            good, high, low = pack_id(data, begins[0], ends[0])
            confidence = parse_number(data, begins[3], ends[3])
            machine = _is(data, begins[1], ends[1], _MACHINE)
            if _is(data, begins[2], ends[2], _LABEL_NAME):
                problem = HEADER
            elif not good:
                problem, token, token_end = BAD_ID, begins[0], ends[0]
            elif begins[1] == ends[1]:
                problem = NO_SOURCE
            elif begins[2] == ends[2] or not is_utf8(data, begins[2], ends[2]):
                problem, token, token_end = BAD_LABEL, begins[2], ends[2]
            elif confidence < 0:
                problem, token, token_end = BAD_CONFIDENCE, begins[3], ends[3]
            elif confidence > 1 or (confidence > 0 and np.float32(confidence) == 0):
                problem, token, token_end = OUTSIDE, begins[3], ends[3]
            elif not machine and confidence != 0 and confidence != 1:
                problem, token, token_end = FRACTION, begins[3], ends[3]
            else:
                key = find_key(data, begins[2], ends[2], key_text, key_offsets, slots)
                if key < 0:
                    copy(data, begins[2], removed, gone_bytes, ends[2] - begins[2])
                    gone_bytes += ends[2] - begins[2]
                    gone += 1
                    removed_offsets[gone] = gone_bytes
                elif machine and confidence == 0:
                    zeros += 1
                else:
                    said = np.uint64(np.float32(confidence).view(np.uint32))
                    if not machine:
                        said |= _HUMAN
                    records[rows, 0] = high
                    records[rows, 1] = low
                    records[rows, 2] = (np.uint64(categories[key]) << np.uint64(32)) | said
                    rows += 1
        if problem:
            wrong += 1
            if note(bad, wrong - 1, line, first, last, problem, token, token_end):
                break
        at += 1  # past the line feed
        line += 1
    return rows, gone, gone_bytes, zeros, wrong


@compiled(nb.int64(BYTES, INDICES, nb.uint64[:, ::1]))
def pack_ids(data, offsets, words):  # type: ignore[no-untyped-def]
    """Pack many image ids; return the first that is none, or -1."""
    for i in range(len(offsets) - 1):
        good, words[i, 0], words[i, 1] = pack_id(data, offsets[i], offsets[i + 1])
        if not good:
            return i
    return -1


@compiled(nb.void(_RECORDS, nb.int64, nb.int32[::1], nb.int64[::1]))
def find_buckets(records, buckets, bucket_of, starts):  # type: ignore[no-untyped-def]
    """The bucket of every record, and where each bucket begins among all, int64 [buckets + 1], zeros before."""
    for i in range(len(records)):
        bucket = np.int64(mix(records[i, 0], records[i, 1]) % np.uint64(buckets))
        bucket_of[i] = bucket
        starts[bucket + 1] += 1
    for k in range(buckets):
        starts[k + 1] += starts[k]


@compiled(nb.void(_RECORDS, INDICES, INDPTR, nb.uint64[:, ::1]))
def scatter(records, bucket_of, starts, out):  # type: ignore[no-untyped-def]
    """Write the records bucket by bucket."""
    place = starts.copy()
    for i in range(len(records)):
        at = place[bucket_of[i]]
        place[bucket_of[i]] += 1
        for k in range(3):
            out[at, k] = records[i, k]


@compiled(nb.int64(_RECORDS, nb.int32[::1], nb.int32[::1], nb.int64[::1]))
def find_images(records, slots, image_of, first_of):  # type: ignore[no-untyped-def]
    """Number the images of the records as they appear; return how many there are.

    `slots` is -1 everywhere and its length a power of two above the number of records. `first_of` takes the first
    record of every image.
    """
    mask = np.uint64(len(slots) - 1)
    images = 0
    for i in range(len(records)):
        high, low = records[i, 0], records[i, 1]
        slot = (mix(high, low) >> np.uint64(20)) & mask
        while slots[slot] >= 0:
            first = first_of[slots[slot]]
            if records[first, 0] == high and records[first, 1] == low:
                break
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] < 0:
            slots[slot] = images
            first_of[images] = i
            images += 1
        image_of[i] = slots[slot]
    return images


@compiled(
    nb.types.UniTuple(nb.int64, 3)(
        *(_RECORDS, INDICES, INDICES, nb.uint64[::1]),
        *(nb.int32[::1], nb.int32[::1], nb.float32[::1]),
    )
)
def merge(records, image_of, rank, said, offsets, labels, confidences):  # type: ignore[no-untyped-def]
    """Group the labels of every image, ascending, each with its decisive confidence.

    `rank` is the place of every image in the output and `said` as long as the records, for intermediate results.

    Returns the labels written, the repetitions left out, and the labels that one person affirmed and another denied.
    """
    images = len(offsets) - 1
    starts = np.zeros(images + 1, np.int64)
    for i in range(len(records)):
        starts[rank[image_of[i]] + 1] += 1
    for k in range(images):
        starts[k + 1] += starts[k]
    place = starts.copy()
    for i in range(len(records)):
        k = rank[image_of[i]]
        said[place[k]] = records[i, 2]
        place[k] += 1
    end = repeated = conflicts = 0
    offsets[0] = 0
    for k in range(images):
        first, last = starts[k], starts[k + 1]
        if last - first > 40:
            said[first:last].sort()
        else:
            for i in range(first + 1, last):
                value = said[i]
                j = i
                while j > first and said[j - 1] > value:
                    said[j] = said[j - 1]
                    j -= 1
                said[j] = value
        denied = False
        for i in range(first, last):
            label, what = said[i] >> np.uint64(32), said[i] & _LOW
            denied |= what == _ABSENT
            if i + 1 < last and said[i + 1] >> np.uint64(32) == label:
                repeated += 1
                continue
            conflicts += denied and what == _PRESENT
            denied = False
            labels[end] = np.int32(label)
            confidences[end] = np.uint32(what & np.uint64(0x7FFFFFFF)).view(np.float32)
            end += 1
        offsets[k + 1] = end
    return end, repeated, conflicts


@compiled(nb.int64(_RECORDS, INDPTR, nb.uint8[::1], nb.int32[::1]))
def unpack_ids(records, rows, names, offsets):  # type: ignore[no-untyped-def]
    """Write the image ids of some records as text; return its length."""
    end = 0
    offsets[0] = 0
    for i in range(len(rows)):
        for k in range(LONGEST_ID):
            word = records[rows[i], k // 8]
            byte = (word >> np.uint64(56 - 8 * (k % 8))) & np.uint64(255)
            if byte == 0:
                break
            names[end] = np.uint8(byte)
            end += 1
        offsets[i + 1] = end
    return end
