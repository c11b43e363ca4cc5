"""Compiled parsing of lists with one synset per image: the bytes of a file in, Arrow buffers out.

Numba checks no bounds: `parse` reads no byte outside ``[start, stop)``, and its caller sizes the buffers by the lines
and bytes that :func:`~mlimages.annotate.sources.lineskernels.scan` counted.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.annotate.sources.lines import LONGEST_NAME
from mlimages.annotate.sources.lineskernels import LINE_FEED, RETURN, TAB, copy, is_utf8, note
from mlimages.annotate.sources.source import RowBuffers
from mlimages.storage.signatures import BYTES, INDICES, INDPTR, compiled

_TARGETS = nb.types.Tuple((INDICES, INDPTR, INDICES, BYTES))
_ROWS = nb.types.NamedTuple([nb.uint8[::1], nb.int32[::1], nb.int32[::1], nb.int32[::1]], RowBuffers)

# how a line says what the image is, see mlimages.annotate.sources.imagenet.lists
IDS, LABELLED, CLASSES, SOLUTION, SYNSETS, NUMBERS = range(6)

# what can be wrong with a line
EMPTY_LINE, BAD_NAME, LONG_NAME, BAD_UTF8, NO_SYNSET, TWO_SYNSETS, BAD_CLASS, NOT_SYNSET, TRAILING = range(1, 10)

#: Bytes of a name made from a line number.
MADE_NAME = 28
_VALIDATION = np.frombuffer(b"ILSVRC2012_val_", np.uint8)
_JPEG = np.frombuffer(b".JPEG", np.uint8)
_SPACE, _COMMA, _DOT, _SLASH, _UNDERSCORE, _N = 32, 44, 46, 47, 95, 110


@compiled(nb.int64(BYTES, nb.int64, nb.int64))
def synset_at(data, start, stop):  # type: ignore[no-untyped-def]
    """The offset of a synset id (``n`` and eight digits) that begins at `start`, or -1."""
    if stop - start < 9 or data[start] != _N:
        return -1
    value = np.int64(0)
    for k in range(start + 1, start + 9):
        if not 48 <= data[k] <= 57:
            return -1
        value = value * 10 + (data[k] - 48)
    if stop - start > 9 and 48 <= data[start + 9] <= 57:
        return -1
    return value


@compiled(nb.types.UniTuple(nb.int64, 2)(BYTES, nb.int64, nb.int64))
def synsets_of_name(data, start, stop):  # type: ignore[no-untyped-def]
    """The offsets that a file name and its folder state, each -1 where it states none.

    A file states one by beginning with its id and then an underscore, a dot or nothing more; a folder by its name.
    """
    base = stop
    while base > start and data[base - 1] != _SLASH:
        base -= 1
    of_file = synset_at(data, base, stop)
    if of_file >= 0 and stop - base > 9 and data[base + 9] != _UNDERSCORE and data[base + 9] != _DOT:
        of_file = -1
    of_folder = np.int64(-1)
    if base - start >= 10 and (base - start == 10 or data[base - 11] == _SLASH):
        of_folder = synset_at(data, base - 10, base - 1)
    return of_file, of_folder


@compiled(nb.int64(INDICES, nb.int64))
def position(offsets, wanted):  # type: ignore[no-untyped-def]
    """Where `wanted` stands in the ascending `offsets`, or -1."""
    low, high = 0, len(offsets)
    while low < high:
        middle = (low + high) // 2
        if offsets[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(offsets) and offsets[low] == wanted else -1


@compiled(nb.int64(BYTES, nb.int64, nb.int64))
def whole_number(data, start, stop):  # type: ignore[no-untyped-def]
    """The number that ``[start, stop)`` is, or -1."""
    value = np.int64(0)
    for k in range(start, stop):
        if not 48 <= data[k] <= 57:
            return -1
        value = min(value * 10 + (data[k] - 48), np.int64(1) << 40)
    return value if stop > start else -1


@compiled(
    nb.types.UniTuple(nb.int64, 6)(
        *(BYTES, nb.int64, nb.int64, nb.int64, nb.int64, _TARGETS, INDICES),
        *(_ROWS, nb.int64[::1], nb.int64[:, ::1]),
    )
)
def parse(data, start, stop, form, first_number, targets, classes, out, lost, bad):  # type: ignore[no-untyped-def]
    """Parse the lines of ``data[start:stop]``, which are of a form such as IDS.

    `first_number` is the number of the first line, from 1, `targets` is a SynsetTargets as a plain tuple, and
    `classes` the offset of the synset of every class. The synset of every image that has no category is noted in
    `lost`; bad lines are noted in `bad`, and the parse ends where that is full.

    Returns the good rows, their labels, the bytes of their names, the lost and the mapped images, the bad lines.
    """
    synsets, indptr, target_labels, is_mapped = targets
    names, name_offsets, offsets, labels = out
    rows = entries = text = lost_rows = mapped = wrong = line = 0
    name_offsets[0] = 0
    offsets[0] = 0
    last, last_place = np.int64(-1), np.int64(-1)
    at = start
    while at < stop:
        first = at
        high = np.uint8(0)
        control = np.int64(-1)
        while at < stop and data[at] != LINE_FEED:
            high |= data[at]
            ends_line = data[at] == RETURN and (at + 1 == stop or data[at + 1] == LINE_FEED)
            if data[at] < 32 and data[at] != TAB and not ends_line and control < 0:
                control = at
            at += 1
        end = at
        if end > first and data[end - 1] == RETURN:
            end -= 1
        name_end = first
        while name_end < end and not (
            (data[name_end] == _COMMA and form == SOLUTION)
            or ((data[name_end] == _SPACE or data[name_end] == TAB) and form != SOLUTION)
        ):
            name_end += 1
        token = name_end
        while token < end and (data[token] == _SPACE or data[token] == TAB or data[token] == _COMMA):
            token += 1
        token_end = token
        while token_end < end and data[token_end] != _SPACE and data[token_end] != TAB:
            token_end += 1
        rest = token_end
        while rest < end and (data[rest] == _SPACE or data[rest] == TAB):
            rest += 1

        problem = 0
        synset = np.int64(-1)
        problem_start, problem_end = first, end
        if end == first:
            problem = EMPTY_LINE
        elif control >= 0:
            problem, problem_start, problem_end = BAD_NAME, control, control + 1
        elif name_end == first:
            problem = NO_SYNSET
        elif name_end - first > LONGEST_NAME:
            problem = LONG_NAME
        elif high >= 128 and not is_utf8(data, first, name_end):
            problem, problem_end = BAD_UTF8, name_end
        elif form == IDS:
            of_file, of_folder = synsets_of_name(data, first, name_end)
            synset = of_file if of_file >= 0 else of_folder
            if synset < 0:
                problem, problem_end = NO_SYNSET, name_end
            elif of_file >= 0 and of_folder >= 0 and of_file != of_folder:
                problem, problem_end = TWO_SYNSETS, name_end
            elif token < end and (whole_number(data, token, token_end) < 0 or rest < end):
                problem, problem_start = TRAILING, token
        elif form in (LABELLED, SOLUTION):
            synset = synset_at(data, token, token_end)
            if synset < 0 or token_end - token != 9:
                problem, problem_start, problem_end = NOT_SYNSET, token, token_end
            elif form == LABELLED and rest < end:
                problem, problem_start = TRAILING, rest
        elif form == SYNSETS:
            synset = synset_at(data, first, name_end)
            if synset < 0 or name_end - first != 9:
                problem, problem_end = NOT_SYNSET, name_end
            elif token < end:
                problem, problem_start = TRAILING, token
        else:
            if form == CLASSES:
                number = whole_number(data, token, token_end)
                problem_start, problem_end = token, token_end
            else:
                number = whole_number(data, first, name_end) - 1
                problem_end = name_end
                rest = token
            if number < 0 or number >= len(classes):
                problem = BAD_CLASS
            elif rest < end:
                problem, problem_start, problem_end = TRAILING, rest, end
            else:
                synset = np.int64(classes[number])

        if problem:
            wrong += 1
            if note(bad, wrong - 1, line, first, at, problem, problem_start, problem_end):
                break
        else:
            if synset != last:
                last, last_place = synset, position(synsets, synset)
            place = last_place
            if place < 0 or indptr[place] == indptr[place + 1]:
                lost[lost_rows] = synset
                lost_rows += 1
            else:
                if form in (SYNSETS, NUMBERS):
                    copy(_VALIDATION, 0, names, text, 15)
                    number = first_number + line
                    for k in range(8):
                        names[text + 22 - k] = 48 + number % 10
                        number //= 10
                    copy(_JPEG, 0, names, text + 23, 5)
                    text += MADE_NAME
                else:
                    copy(data, first, names, text, name_end - first)
                    text += name_end - first
                for k in range(indptr[place], indptr[place + 1]):
                    labels[entries] = target_labels[k]
                    entries += 1
                mapped += is_mapped[place]
                rows += 1
                name_offsets[rows] = text
                offsets[rows] = entries
        at += 1  # past the line feed
        line += 1
    return rows, entries, text, lost_rows, mapped, wrong
