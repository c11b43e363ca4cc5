"""Validation of the batches of a table: columns by name and Arrow type, list lengths, nulls and ranges.

Compiled kernels check no bounds, so whatever reaches them has passed :meth:`Columns.check`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from mlimages.errors import LabelError, first_line, listed
from mlimages.storage.column import (
    Damage,
    Finding,
    cast_column,
    check_lists,
    check_numbers,
    check_structs,
    check_text,
    plain_list,
    unequal_lengths,
)

#: Greatest entry of the list columns whose range does not depend on the categories; the least is always 0.
GREATEST: Mapping[str, float] = {"confidences": 1.0, "scores": 1.0, "origins": 4}


@dataclass(frozen=True)
class Columns:
    """The columns of a kind of table, and the valid range of their entries.

    Parameters
    ----------
    schema : pyarrow.Schema
        The schema of batches after a check: text, lists of numbers, and structs of text and bytes.
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
        """Some of the columns, in this order; ``image.path`` is a field of a struct. Raises a Damage for others."""
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
        """Raise a Damage if a column is missing or occurs twice."""
        for each in self.schema:
            count = found.names.count(each.name)
            if count != 1:
                there = f"found the columns {listed(found.names)}"
                raise Damage(f"{there}, expected {each.name} {'once ' if count else ''}among them")

    def check(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with these columns, in their order and types.

        Raises a Damage for the first invalid row, and for a column that is missing or
        cannot be cast.
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
        """The valid rows of a batch, and the problem of each other row.

        Raises a Damage for a column that is missing or cannot be cast.
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

    def _look(self, batch: pa.RecordBatch) -> tuple[list[pa.Array], list[Finding]]:
        """The columns in their types, and their problems; with any problems, the columns must not be used."""
        cast: list[pa.Array] = []
        findings: list[Finding] = []
        lists: list[tuple[str, pa.ListArray]] = []
        for each in self.schema:
            column = batch.column(each.name)
            if len(column) != batch.num_rows:
                raise Damage(f"found {len(column)} rows in the column {each.name} and {batch.num_rows} in others")
            wrong: Iterable[Finding] = ()
            if each.name in self.nullable:
                made = cast_column(column, each)
            elif pa.types.is_list(each.type):
                plain = plain_list(column, each)
                made, wrong = check_lists(plain, each, self._greatest(each.name))
                lists.append((each.name, plain))
            elif pa.types.is_struct(each.type):
                made, wrong = check_structs(column, each)
            elif pa.types.is_string(each.type):
                made, wrong = check_text(column, each.name)
            else:
                made, wrong = check_numbers(column, each, self._greatest(each.name))
            cast.append(made)
            findings += wrong
        for name, column in lists[1:]:
            findings += unequal_lengths(*lists[0], name, column)
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
        The type of the returned labels; their range is not checked, as the categories are not known here.
    greatest : mapping of str to float
        As that of :class:`Columns`.

    Raises
    ------
    LabelError
        For the first invalid row, and for a column that is missing or of another type.
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


def validate(batch: pa.RecordBatch) -> None:
    """Raise a LabelError if Arrow finds a user's batch malformed, for example by descending list offsets.

    Text is not searched for invalid UTF-8, which takes several times as long as all the rest.
    """
    try:
        batch.validate()
        for column in batch.columns:
            (column.view(pa.binary()) if column.type == pa.string() else column).validate(full=True)
    except pa.ArrowInvalid as error:
        raise LabelError(f"found a batch that is not valid Arrow data ({first_line(error)})") from None
