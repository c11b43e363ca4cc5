"""One column of a batch: cast to the type that a table has, and its invalid rows.

A valid column costs one pass over its values (numpy reductions, which release the interpreter lock);
only an invalid one is examined row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.storage.arrow import list_offsets, text_of

_NOUNS = {"labels": "label", "confidences": "confidence", "scores": "score", "origins": "origin"}
_ONE = 0x3F800000  # the bits of float32 1.0: those of 0 to 1 are at most this as unsigned integers, and no others are
_SHOWN = 80  # characters of a type in a message

_Kinds = tuple[Callable[[pa.DataType], bool], ...]
_is = pa.types
_LISTS: _Kinds = (_is.is_list, _is.is_large_list, _is.is_fixed_size_list, _is.is_list_view, _is.is_large_list_view)
_BYTES: _Kinds = (_is.is_binary, _is.is_large_binary, _is.is_binary_view, _is.is_fixed_size_binary)
_TEXTS: _Kinds = (_is.is_string, _is.is_large_string, _is.is_string_view, _is.is_null)


class Damage(Exception):  # noqa: N818  # never leaves the package: who opened the batch knows the file and names it
    """An invalid batch: the reason, and the row, or None if it concerns the whole column."""

    def __init__(self, reason: str, row: int | None = None) -> None:
        self.reason = reason
        self.row = row
        super().__init__(reason)


class Finding(NamedTuple):
    """Bad rows of one kind, ascending and each once, and the problem of the i-th of them."""

    rows: NDArray[np.int64]
    reason: Callable[[int], str]


# Lists ----------------------------------------------------------------------------------------------------------------


def plain_list(column: pa.Array, wanted: pa.Field) -> pa.ListArray:
    """The column as lists with 32-bit offsets, of numbers of whatever type."""
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(wanted.type)
    if not any(is_kind(kind) for is_kind in _LISTS):
        raise _wrong_type(wanted.name, kind, wanted.type)
    if not pa.types.is_list(kind):
        lengths = numbers_of(pc.list_value_length(column).fill_null(0))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        column = pa.ListArray.from_arrays(
            offsets, column.flatten(), mask=column.is_null() if column.null_count else None
        )
    value = kind.value_type
    if pa.types.is_dictionary(value):
        value = value.value_type
        column = column.cast(pa.list_(value))
    if pa.types.is_null(value):
        column = column.cast(wanted.type)
    elif not (pa.types.is_integer(value) or pa.types.is_floating(value)):
        raise _wrong_type(wanted.name, kind, wanted.type)
    elif pa.types.is_float16(value):
        column = column.cast(pa.list_(pa.float32()))
    return column


def check_lists(column: pa.ListArray, wanted: pa.Field, greatest: float | None) -> tuple[pa.ListArray, list[Finding]]:
    """A list column in its type, and its null rows, null entries and entries out of range."""
    offsets = list_offsets(column)
    start, stop = int(offsets[0]), int(offsets[-1])
    values = column.values.slice(start, stop - start)
    target = wanted.type.value_type
    if not column.null_count and not values.null_count and _within(numbers_of(values), greatest, target):
        if column.type == wanted.type:
            return column, []
        return pa.ListArray.from_arrays(pa.array(offsets - start), values.cast(target), type=wanted.type), []
    return column, _bad_entries(column, wanted, greatest, offsets, values)


def _within(values: NDArray[Any], greatest: float | None, target: pa.DataType) -> bool:
    """Whether all entries are from 0 to `greatest`, or what the type `target` can hold where that is None."""
    if not len(values):
        return True
    if greatest is None:
        if pa.types.is_floating(target) or target.equals(pa.from_numpy_dtype(values.dtype)):
            return True
        limits = np.iinfo(target.to_pandas_dtype())
        return bool(values.min() >= limits.min and values.max() <= limits.max and _whole(values, target))
    if values.dtype.kind == "i" and greatest <= np.iinfo(values.dtype).max:  # negative ones are great unsigned ones
        return bool(values.view(f"u{values.dtype.itemsize}").max() <= greatest)
    if values.dtype == np.float32 and greatest == 1.0 and values.view(np.uint32).max() <= _ONE:
        return True
    return bool(values.min() >= 0 and values.max() <= greatest and _whole(values, target))  # false for NaN


def _whole(values: NDArray[Any], target: pa.DataType) -> bool:
    """Whether entries for an integer column are integers."""
    return values.dtype.kind != "f" or pa.types.is_floating(target) or bool((values == np.floor(values)).all())


def _bad_entries(
    column: pa.ListArray, wanted: pa.Field, greatest: float | None, offsets: NDArray[np.int32], values: pa.Array
) -> list[Finding]:
    name, target = wanted.name, wanted.type.value_type
    findings = []
    missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    if len(missing):
        findings.append(Finding(missing, lambda _: f"found a null in the column {name}, expected a list"))
    null = values.is_null().to_numpy(zero_copy_only=False)
    filled = numbers_of(values.fill_null(0))
    if greatest is not None:
        low, high, expected = 0.0, greatest, f"0 to {greatest:g}" if greatest < 1e6 else f"0 to {int(greatest)}"
        if greatest < 0:
            expected = "none, as there are no categories"
    elif pa.types.is_floating(target):
        low, high, expected = -np.inf, np.inf, "a number"
    else:
        limits = np.iinfo(target.to_pandas_dtype())
        low, high, expected = limits.min, limits.max, f"{limits.min} to {limits.max}"
    wrong = ~((filled >= low) & (filled <= high)) if greatest is not None or filled.dtype.kind != "f" else null.copy()
    if filled.dtype.kind == "f" and not pa.types.is_floating(target):
        wrong |= ~((filled >= low) & (filled <= high)) | (filled != np.floor(filled))
    entries = np.flatnonzero(wrong | null)
    if len(entries):
        row_of = np.searchsorted(offsets - offsets[0], entries, side="right") - 1
        rows, first = np.unique(row_of, return_index=True)

        def reason(i: int) -> str:
            entry = entries[first[i]]
            noun = _NOUNS.get(name, f"entry of {name}")
            if null[entry]:
                return f"found a null among its {name}, expected {expected}"
            return f"found the {noun} {_shown(filled[entry])}, expected {expected}"

        findings.append(Finding(rows, reason))
    return findings


def unequal_lengths(first: str, ours: pa.ListArray, second: str, theirs: pa.ListArray) -> Iterator[Finding]:
    """The rows whose lists are of different lengths."""
    a, b = list_offsets(ours), list_offsets(theirs)
    if np.array_equal(a, b) or (a[0] != b[0] and np.array_equal(a - a[0], b - b[0])):
        return
    found, expected = np.diff(b), np.diff(a)
    different = found != expected
    for column in (ours, theirs):
        if column.null_count:  # said of themselves
            different &= column.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(different)
    if len(rows):
        yield Finding(
            rows, lambda i: f"found {found[rows[i]]} {second} for {expected[rows[i]]} {first}, expected as many"
        )


# Other columns ------------------------------------------------------------------------------------------------------


def check_numbers(column: pa.Array, wanted: pa.Field, greatest: float | None) -> tuple[pa.Array, list[Finding]]:
    """A column of numbers in its type, its nulls and what is out of range."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise _wrong_type(wanted.name, column.type, wanted.type)
    one_each = pa.ListArray.from_arrays(pa.array(np.arange(len(column) + 1, dtype=np.int32)), column)
    lists, findings = check_lists(one_each, pa.field(wanted.name, pa.list_(wanted.type)), greatest)
    return lists.values, findings


def cast_column(column: pa.Array, wanted: pa.Field) -> pa.Array:
    """A column that may hold nulls in its type."""
    try:
        if column.type == wanted.type:
            return column
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if _family(column.type) in (_family(wanted.type), "null"):
            return column.cast(wanted.type)
    except pa.ArrowException as error:
        raise Damage(f"cannot read {column.type} in the column {wanted.name} as {wanted.type} ({error})") from None
    raise _wrong_type(wanted.name, column.type, wanted.type)


def _family(kind: pa.DataType) -> str:
    """Types between which a cast keeps the meaning."""
    if pa.types.is_integer(kind):
        return "integer"
    return str(kind).removeprefix("large_").removesuffix("_view").partition("[")[0].replace("fixed_size_", "")


def check_structs(column: pa.Array, wanted: pa.Field) -> tuple[pa.Array, list[Finding]]:
    """A column of structs with the wanted fields, and where one is null."""
    if not pa.types.is_struct(column.type):
        raise _wrong_type(wanted.name, column.type, wanted.type)
    findings: list[Finding] = []
    if column.null_count:
        findings.append(_nulls(column, wanted.name))
    fields = []
    for inner in wanted.type:
        name = f"{wanted.name}.{inner.name}"
        if column.type.get_field_index(inner.name) < 0:
            raise Damage(f"found {_text_of_type(column.type)} in the column {wanted.name}, expected {name} in it")
        made, wrong = (check_text if pa.types.is_string(inner.type) else _bytes)(column.field(inner.name), name)
        fields.append(made)
        findings += wrong
    if findings:
        return column, findings
    return pa.StructArray.from_arrays(fields, fields=list(wanted.type)), []


def _bytes(column: pa.Array, name: str) -> tuple[pa.Array, list[Finding]]:
    """A column of bytes, and its nulls."""
    made = _cast_strings(column, name, _BYTES, pa.binary())
    return made, [_nulls(made, name)] if made.null_count else []


def check_text(column: pa.Array, name: str) -> tuple[pa.Array, list[Finding]]:
    """A column of text, its nulls, and where it is not UTF-8."""
    made = _cast_strings(column, name, _TEXTS, pa.string())
    if made.null_count:
        return made, [_nulls(made, name)]
    if _is_ascii(made):
        return made, []
    try:
        made.validate(full=True)
    except pa.ArrowInvalid:
        bad = [row for row, each in enumerate(made.cast(pa.binary()).to_pylist()) if not _is_utf8(each)]
        if not bad:
            raise
        return made, [Finding(np.array(bad), lambda _: f"found bytes in the column {name} that are not UTF-8")]
    return made, []


def _cast_strings(column: pa.Array, name: str, kinds: _Kinds, wanted: pa.DataType) -> pa.Array:
    """A column of one of some kinds of strings, or of a dictionary of them, in its type."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not any(is_kind(kind) for is_kind in kinds):
        raise _wrong_type(name, column.type, wanted)
    return column if column.type == wanted else column.cast(wanted)


def _is_ascii(text: pa.StringArray) -> bool:
    data, offsets = text_of(text)
    data = data[offsets[0] : offsets[-1]]
    return not len(data) or bool(data.max() < 128)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _nulls(column: pa.Array, name: str) -> Finding:
    rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    return Finding(rows, lambda _: f"found a null in the column {name}, expected a value in every row")


# Arrow as numpy -------------------------------------------------------------------------------------------------------


def numbers_of(values: pa.Array) -> NDArray[Any]:
    """Numbers without nulls as an array, without a copy and without loading pandas."""
    kind = np.dtype(values.type.to_pandas_dtype())
    buffer = values.buffers()[1]
    if not len(values) or buffer is None:
        return np.empty(0, kind)
    return np.frombuffer(buffer, kind)[values.offset : values.offset + len(values)]


def _wrong_type(name: str, found: pa.DataType, wanted: pa.DataType) -> Damage:
    return Damage(f"column {name} has the type {_text_of_type(found)}, expected {wanted}")


def _text_of_type(kind: pa.DataType) -> str:
    text = str(kind)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _shown(value: Any) -> str:
    return str(value).removesuffix(".0")
