"""What the batches of a table must be: columns by name and Arrow type, list lengths, nulls and ranges.

Compiled kernels check no bounds, so whatever reaches them has passed :meth:`Columns.check`. A batch that is as it
should be costs one pass over each column (numpy reductions that release the GIL); only one that is not is looked at row
by row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import LabelError, first_line

#: Greatest entry of the list columns whose range does not depend on the categories; the least is always 0.
GREATEST: Mapping[str, float] = {"confidences": 1.0, "scores": 1.0, "origins": 4}
_NOUNS = {"labels": "label", "confidences": "confidence", "scores": "score", "origins": "origin"}
_ONE = 0x3F800000  # the bits of float32 1.0: those of 0 to 1 are at most this as unsigned integers, and no others are
_SHOWN = 80  # characters of a type in a message


class Damage(Exception):  # noqa: N818  # never leaves the package: who opened the batch knows the file and names it
    """A batch that is not as it should be.

    Parameters
    ----------
    reason : str
        What was found and expected.
    row : int, optional
        The row of the batch; None where the whole column is meant.
    """

    def __init__(self, reason: str, row: int | None = None) -> None:
        self.reason = reason
        self.row = row
        super().__init__(reason)


class _Finding(NamedTuple):
    """Bad rows of one kind, ascending and each once, and what is wrong with the i-th of them."""

    rows: NDArray[np.int64]
    reason: Callable[[int], str]


@dataclass(frozen=True)
class Columns:
    """The columns of a kind of table, and what their entries may be.

    Parameters
    ----------
    schema : pyarrow.Schema
        What batches have after a check: text, lists of numbers, and structs of text and bytes.
    categories : int or None
        Labels are 0 to ``categories - 1``; None where the range of labels is not to be checked.
    greatest : mapping of str to float
        The greatest entry of other columns of numbers or lists; one that is not named may hold whatever its type can.
    nullable : collection of str
        Columns that may hold nulls, and are cast only.
    """

    schema: pa.Schema
    categories: int | None
    greatest: Mapping[str, float] = field(default_factory=lambda: GREATEST)
    nullable: Collection[str] = ()

    def select(self, names: Sequence[str] | None) -> Columns:
        """Only some of the columns, in this order; ``image.path`` is a field of a struct.

        Raises
        ------
        Damage
            For a name that no column has.
        """
        if names is None:
            return self
        fields: dict[str, pa.Field] = {}
        for name in names:
            outer, _, inner = name.partition(".")
            known = self.schema.names.count(outer) and self.schema.field(outer)
            if not known or (inner and (not pa.types.is_struct(known.type) or known.type.get_field_index(inner) < 0)):
                raise Damage(f"found no column {name}, expected one of {', '.join(self.schema.names)}")
            if inner:
                inside = [known.type.field(inner)]
                if outer in fields:
                    inside = [*fields[outer].type, *(each for each in inside if each not in list(fields[outer].type))]
                known = pa.field(outer, pa.struct(inside))
            fields[outer] = known
        return replace(self, schema=pa.schema(list(fields.values())))

    @property
    def leaves(self) -> list[str]:
        """Names of the columns as a Parquet reader takes them: fields of structs with that of their column before."""
        return [
            name
            for each in self.schema
            for name in (
                [f"{each.name}.{inner.name}" for inner in each.type] if pa.types.is_struct(each.type) else [each.name]
            )
        ]

    def check_names(self, found: pa.Schema) -> None:
        """Raise a Damage where a column is missing, or stands twice."""
        for each in self.schema:
            count = found.names.count(each.name)
            if count != 1:
                there = f"found the columns {', '.join(found.names)}"
                raise Damage(f"{there}, expected {each.name} {'once ' if count else ''}among them")

    def check(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with these columns, in their order and types.

        Raises
        ------
        Damage
            For the first row that is not as it should be; for a column that is missing, or of a type that cannot be
            cast.
        """
        self.check_names(batch.schema)
        try:
            cast, findings = self._look(batch)
        except pa.ArrowException as error:
            raise Damage(f"damaged ({first_line(error)})") from None
        if findings:
            first = min(findings, key=lambda each: int(each.rows[0]))
            raise Damage(first.reason(0), int(first.rows[0]))
        return pa.RecordBatch.from_arrays(cast, schema=self.schema)

    def sift(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Damage]]:
        """The rows of a batch that are as they should be, and what is wrong with each of the others.

        Raises
        ------
        Damage
            For a column that is missing, or of a type that cannot be cast.
        """
        try:
            return self.check(batch), []
        except Damage as damage:
            if damage.row is None:
                raise
        found: dict[int, str] = {}
        for finding in self._look(batch)[1]:
            for i, row in enumerate(finding.rows.tolist()):
                if row not in found:
                    found[row] = finding.reason(i)
        good = np.ones(batch.num_rows, bool)
        good[list(found)] = False
        kept = batch.select(self.schema.names).filter(pa.array(good))
        return self.check(kept), [Damage(found[row], row) for row in sorted(found)]

    def _look(self, batch: pa.RecordBatch) -> tuple[list[pa.Array], list[_Finding]]:
        """The columns in their types, and what is wrong with them; with findings, the columns are not for use."""
        cast: list[pa.Array] = []
        findings: list[_Finding] = []
        lists: list[tuple[str, pa.ListArray]] = []
        for each in self.schema:
            column = batch.column(each.name)
            if len(column) != batch.num_rows:
                raise Damage(f"found {len(column)} rows in the column {each.name} and {batch.num_rows} in others")
            wrong: Iterable[_Finding] = ()
            if each.name in self.nullable:
                made = _cast(column, each)
            elif pa.types.is_list(each.type):
                plain = _plain_list(column, each)
                made, wrong = _entries(plain, each, self._greatest(each.name))
                lists.append((each.name, plain))
            elif pa.types.is_struct(each.type):
                made, wrong = _struct(column, each)
            elif pa.types.is_string(each.type):
                made, wrong = _text(column, each.name)
            else:
                made, wrong = _numbers(column, each, self._greatest(each.name))
            cast.append(made)
            findings += wrong
        for name, column in lists[1:]:
            findings += _unequal(*lists[0], name, column)
        return cast, findings

    def _greatest(self, name: str) -> float | None:
        if name == "labels":
            return None if self.categories is None else self.categories - 1
        return self.greatest.get(name)


def check_memory(
    batch: pa.RecordBatch, names: Sequence[str], *, labels: pa.DataType, greatest: Mapping[str, float] = GREATEST
) -> pa.RecordBatch:
    """Check a batch that a user made; it must have the first two of these columns, and may have the others.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        The batch.
    names : sequence of str
        Columns of an annotation or prediction table; others are left out of what is returned.
    labels : pyarrow.DataType
        The type that labels shall have; their range is not checked, as the categories are not known here.
    greatest : mapping of str to float
        As that of :class:`Columns`.

    Raises
    ------
    LabelError
        For the first row that is not as it should be, and for a column that is missing or of another type.
    """
    kinds = {"image": pa.string(), "labels": pa.list_(labels), "origins": pa.list_(pa.uint8())}
    present = [name for i, name in enumerate(names) if i < 2 or name in batch.schema.names]
    schema = pa.schema([(name, kinds.get(name, pa.list_(pa.float32()))) for name in present])
    try:
        return Columns(schema, None, greatest).check(batch)
    except Damage as damage:
        if damage.row is None:
            raise LabelError(damage.reason) from None
        raise LabelError(f"row {damage.row} ({batch.column('image')[damage.row].as_py()!r}): {damage.reason}") from None


# Lists ----------------------------------------------------------------------------------------------------------------


def _plain_list(column: pa.Array, wanted: pa.Field) -> pa.ListArray:
    """The column as lists with 32-bit offsets, of numbers of whatever type."""
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(wanted.type)
    if not (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    ):
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


def _entries(column: pa.ListArray, wanted: pa.Field, greatest: float | None) -> tuple[pa.ListArray, list[_Finding]]:
    """A list column in its type, and its null rows, null entries and entries out of range."""
    offsets = offsets_of(column)
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
    """Whether entries for a column of integers are such."""
    return values.dtype.kind != "f" or pa.types.is_floating(target) or bool((values == np.floor(values)).all())


def _bad_entries(
    column: pa.ListArray, wanted: pa.Field, greatest: float | None, offsets: NDArray[np.int32], values: pa.Array
) -> list[_Finding]:
    name, target = wanted.name, wanted.type.value_type
    findings = []
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if missing.any():
        findings.append(
            _Finding(np.flatnonzero(missing), lambda _: f"found a null in the column {name}, expected a list")
        )
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

        findings.append(_Finding(rows, reason))
    return findings


def _unequal(first: str, ours: pa.ListArray, second: str, theirs: pa.ListArray) -> Iterator[_Finding]:
    """The rows whose lists are of different lengths."""
    a, b = offsets_of(ours), offsets_of(theirs)
    if np.array_equal(a, b) or (a[0] != b[0] and np.array_equal(a - a[0], b - b[0])):
        return
    found, expected = np.diff(b), np.diff(a)
    different = found != expected
    for column in (ours, theirs):
        if column.null_count:  # said of themselves
            different &= column.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(different)
    if len(rows):
        yield _Finding(
            rows, lambda i: f"found {found[rows[i]]} {second} for {expected[rows[i]]} {first}, expected as many"
        )


# Other columns ------------------------------------------------------------------------------------------------------


def _numbers(column: pa.Array, wanted: pa.Field, greatest: float | None) -> tuple[pa.Array, list[_Finding]]:
    """A column of numbers in its type, its nulls and what is out of range."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise _wrong_type(wanted.name, column.type, wanted.type)
    one_each = pa.ListArray.from_arrays(pa.array(np.arange(len(column) + 1, dtype=np.int32)), column)
    lists, findings = _entries(one_each, pa.field(wanted.name, pa.list_(wanted.type)), greatest)
    return lists.values, findings


def _cast(column: pa.Array, wanted: pa.Field) -> pa.Array:
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
    """Types between which a cast keeps what is meant."""
    if pa.types.is_integer(kind):
        return "integer"
    return str(kind).removeprefix("large_").removesuffix("_view").partition("[")[0].replace("fixed_size_", "")


def _struct(column: pa.Array, wanted: pa.Field) -> tuple[pa.Array, list[_Finding]]:
    """A column of structs with the wanted fields, and where one is null."""
    if not pa.types.is_struct(column.type):
        raise _wrong_type(wanted.name, column.type, wanted.type)
    findings: list[_Finding] = []
    if column.null_count:
        findings.append(_nulls(column, wanted.name))
    fields = []
    for inner in wanted.type:
        name = f"{wanted.name}.{inner.name}"
        if column.type.get_field_index(inner.name) < 0:
            raise Damage(f"found {_text_of_type(column.type)} in the column {wanted.name}, expected {name} in it")
        made, wrong = (_text if pa.types.is_string(inner.type) else _bytes)(column.field(inner.name), name)
        fields.append(made)
        findings += wrong
    if findings:
        return column, findings
    return pa.StructArray.from_arrays(fields, fields=list(wanted.type)), []


def _bytes(column: pa.Array, name: str) -> tuple[pa.Array, list[_Finding]]:
    """A column of bytes, and its nulls."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        raise _wrong_type(name, column.type, pa.binary())
    made = column if column.type == pa.binary() else column.cast(pa.binary())
    return made, [_nulls(made, name)] if made.null_count else []


def _text(column: pa.Array, name: str) -> tuple[pa.Array, list[_Finding]]:
    """A column of text, its nulls, and where it is not UTF-8."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    ):
        raise _wrong_type(name, column.type, pa.string())
    made = column if column.type == pa.string() else column.cast(pa.string())
    if made.null_count:
        return made, [_nulls(made, name)]
    if _is_ascii(made):
        return made, []
    try:
        made.validate(full=True)
    except pa.ArrowInvalid:
        bad = [row for row, text in enumerate(made.cast(pa.binary()).to_pylist()) if not _is_utf8(text)]
        if not bad:
            raise
        return made, [_Finding(np.array(bad), lambda _: f"found bytes in the column {name} that are not UTF-8")]
    return made, []


def _is_ascii(text: pa.StringArray) -> bool:
    buffer = text.buffers()[2]
    if not len(text) or buffer is None or not buffer.size:
        return True
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(buffer, np.uint8)[offsets[0] : offsets[-1]]
    return not len(data) or bool(data.max() < 128)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _nulls(column: pa.Array, name: str) -> _Finding:
    rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    return _Finding(rows, lambda _: f"found a null in the column {name}, expected a value in every row")


# Arrow as numpy -------------------------------------------------------------------------------------------------------


def offsets_of(lists: pa.ListArray) -> NDArray[np.int32]:
    """Where each row begins among the values, int32 [rows + 1], without a copy and without loading pandas."""
    if not len(lists):
        return np.zeros(1, np.int32)
    return np.frombuffer(lists.buffers()[1], np.int32)[lists.offset : lists.offset + len(lists) + 1]


def numbers_of(values: pa.Array) -> NDArray[Any]:
    """Numbers without nulls as an array, without a copy and without loading pandas."""
    kind = np.dtype(values.type.to_pandas_dtype())
    buffer = values.buffers()[1]
    if not len(values) or buffer is None:
        return np.empty(0, kind)
    return np.frombuffer(buffer, kind)[values.offset : values.offset + len(values)]


def validate(batch: pa.RecordBatch) -> None:
    """Raise a LabelError where Arrow itself finds a batch of a user malformed: offsets of lists that fall, say."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise LabelError(f"found a batch that is not valid Arrow data ({first_line(error)})") from None


def _wrong_type(name: str, found: pa.DataType, wanted: pa.DataType) -> Damage:
    return Damage(f"column {name} has the type {_text_of_type(found)}, expected {wanted}")


def _text_of_type(kind: pa.DataType) -> str:
    text = str(kind)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _shown(value: Any) -> str:
    return str(value).removesuffix(".0")
