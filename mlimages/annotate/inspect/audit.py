"""An audit of labels: which of them contradict the hierarchy or each other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.sources.imagelist import ImageList
from mlimages.annotate.sources.memory import memory_batches
from mlimages.annotate.sources.source import BadRow, Report
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import MlimagesError
from mlimages.hierarchy import Hierarchy, load_hierarchy
from mlimages.kernels import load_kernels
from mlimages.storage.arrow import readonly
from mlimages.storage.manifest import MANIFEST
from mlimages.storage.names import FirstRows
from mlimages.storage.part import DamagedRow

if TYPE_CHECKING:
    import pandas as pd

UNREADABLE = "unreadable row"
DUPLICATED_IMAGE = "duplicated image"
#: Problems that an audit finds, and what each means. Labels are counted; of the last two, rows.
PROBLEMS = {
    "unknown category": "a label that is no category of the hierarchy",
    "bad confidence": "a confidence outside 0 to 1",
    "duplicated label": "a label that the row holds already",
    "not closed": "a present label of which the row lacks an ancestor",
    "absent ancestor": "a present label below one that is verified absent",
    "not monotone": "a present label less confident than one below it",
    DUPLICATED_IMAGE: "a row with the name of an earlier one",
    UNREADABLE: "a line that is no row of a list, a damaged row or part of a table",
}
_OF_LABELS = tuple(PROBLEMS)[:6]
_COLUMNS = ["image", "problem", "category", "detail"]
_UNKNOWN_LABEL = "found the label"  # how the reader of lists begins the reason for a label that it does not know


@dataclass(frozen=True, slots=True, eq=False)
class LabelAudit:
    """What :func:`audit_labels` found.

    Parameters
    ----------
    rows, labels : int
        Numbers of rows and labels checked.
    summary : dict
        For every problem of ``PROBLEMS``, the number of ``rows`` and ``labels`` that have it.
    table : pandas.DataFrame
        Examples, the first of each problem: ``image``, ``problem``, ``category`` (its key) and ``detail``.
    examples : int
        Maximum number of examples of each problem.
    """

    rows: int
    labels: int
    summary: dict[str, dict[str, int]]
    table: pd.DataFrame = field(repr=False)
    examples: int

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(count["rows"] for count in self.summary.values())

    def to_dict(self) -> dict[str, Any]:
        """Counts and examples as plain values."""
        return {
            "rows": self.rows,
            "labels": self.labels,
            "summary": self.summary,
            "examples": self.table.to_dict("records"),
        }

    def __repr__(self) -> str:
        lines = [f"{self.rows:,} rows with {self.labels:,} labels: {'clean' if self.clean else 'problems found'}"]
        lines.append(f"{'rows':>12}  {'labels':>12}")
        for problem, count in self.summary.items():
            lines.append(f"{count['rows']:>12,}  {count['labels']:>12,}  {problem}: {PROBLEMS[problem]}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>{self.table.head(20).to_html(index=False)}"


def audit_labels(source: Any, hierarchy: Hierarchy | str | None = None, *, examples: int = 1000) -> LabelAudit:
    """Find labels that are unknown, repeated, not closed under ancestors or not monotone, and repeated images.

    Parameters
    ----------
    source : AnnotationTable, path-like, list of paths, DataFrame, pyarrow Table or RecordBatch
        A table or its folder; label lists (globs allowed); or labels in memory with the columns image, labels and,
        where they are known, confidences.
    hierarchy : Hierarchy or str, optional
        The categories, or a name or path for :func:`mlimages.load_hierarchy`. A table has its own; lists and labels in
        memory need it.
    examples : int
        Maximum number of examples of each problem in ``.table``; all occurrences are counted.

    Returns
    -------
    LabelAudit
        ``.summary`` counts rows and labels of each problem, ``.table`` shows examples. A missing ancestor is counted
        at each label that lacks it; an ancestor that is less confident is counted itself. A label that occurs twice
        in its row counts with the greater confidence. Unreadable lines of a list are counted and left out; those that
        hold an unknown label count as ``unknown category``.

    Raises
    ------
    TableError
        For a folder that is not a table, and a hierarchy that is not the table's.
    MlimagesError
        If there is no hierarchy.

    Notes
    -----
    Memory does not grow with the number of rows: the names are compared through hashes in temporary files (16 bytes per
    row in the folder that ``TMPDIR`` names).

    Examples
    --------
    >>> h = Hierarchy(["animal", "dog", "puppy"], [[], [0], [1]])
    >>> batch = pa.record_batch({"image": ["a.jpg", "b.jpg"], "labels": [[2, 1, 0], [2, 0]]})
    >>> audit_labels(batch, h).table.values.tolist()
    [['b.jpg', 'not closed', 'puppy', 'lacks dog']]
    """
    if examples < 0:
        raise MlimagesError(f"examples={examples}: expected 0 or more")
    load_kernels("mlimages.annotate.inspect.auditkernels", "mlimages.storage.nameskernels")
    audited, batches = _open(source, hierarchy)
    bad: list[BadRow | DamagedRow] = []
    checker = _Checker(audited, examples)
    with tempfile.TemporaryDirectory(prefix="mlimages-audit-") as folder, FirstRows(Path(folder)) as names:
        for batch in batches(bad):
            checker.check(batch)
            names.add(batch.column("image"))
            checker.note_bad(bad)
        checker.note_bad(bad)  # a compressed file that was cut short may report so after its last batch
        first = names.find(lambda: (batch.column("image") for batch in batches(None)))
        if first is not None:
            checker.note_duplicates(first, (batch.column("image") for batch in batches(None)))
    return checker.result()


_Batches = Callable[[list[BadRow | DamagedRow] | None], Iterable[pa.RecordBatch]]


def _open(source: Any, hierarchy: Hierarchy | str | None) -> tuple[Hierarchy, _Batches]:
    """The hierarchy, and a function that yields the rows whenever it is called; bad rows go to its argument."""
    given = load_hierarchy(hierarchy) if isinstance(hierarchy, str | os.PathLike) else hierarchy
    if isinstance(source, str | os.PathLike) and ((path := Path(source)) / MANIFEST).is_file():
        source = AnnotationTable.open(path)
    elif isinstance(source, str | os.PathLike) and Path(source).is_dir():
        AnnotationTable.open(source)  # reports what the folder lacks
    if isinstance(source, AnnotationTable):
        table = source
        if given is not None:
            table.check_hierarchy(given)
        sifted = partial(table.sifted_batches, unchecked=("labels", "confidences"))  # their ranges are looked at here
        return given or table.hierarchy, lambda bad: sifted([] if bad is None else bad)
    if given is None:
        raise MlimagesError("an audit of labels that are no annotation table needs a hierarchy: name it (--hierarchy)")
    if isinstance(source, str | os.PathLike | list | tuple):
        reader = ImageList(list(source) if isinstance(source, tuple) else source, given)
        return given, lambda bad: _read(reader, bad)
    return given, lambda _: memory_batches(source)


def _read(reader: ImageList, bad: list[Any] | None) -> Iterator[pa.RecordBatch]:
    for unit in reader.units():
        report = Report("quarantine", bad if bad is not None else [])
        for batch in reader.read(unit, report):
            yield batch
            if bad is None:
                report.bad.clear()


class _Checker:
    """Counts problems and keeps the first examples of each."""

    def __init__(self, hierarchy: Hierarchy, examples: int) -> None:
        self._hierarchy = hierarchy
        self._closure = hierarchy.closure
        self._most = examples
        self._rows = self._labels = 0
        self._counts = {problem: np.zeros(2, np.int64) for problem in PROBLEMS}
        self._found: dict[str, list[tuple[str, str, str, str]]] = {problem: [] for problem in PROBLEMS}

    def check(self, batch: pa.RecordBatch) -> None:
        """Check the labels of a batch."""
        from mlimages.annotate.inspect import auditkernels

        given = GivenLabels.of(batch)
        counts = np.zeros((auditkernels.KINDS, 2), np.int64)
        examples = np.empty((auditkernels.KINDS, self._most, 4), np.int64)
        used = np.array([len(self._found[problem]) for problem in _OF_LABELS], np.int64)
        before = used.copy()
        closure = readonly(self._closure.indptr), readonly(self._closure.indices)
        auditkernels.check(*given[1:4], *closure, counts, examples, used)
        self._rows += batch.num_rows
        self._labels += int(given.offsets[-1] - given.offsets[0])
        for kind, problem in enumerate(_OF_LABELS):
            self._counts[problem] += counts[kind]
            for row, label, other, entry in examples[kind, before[kind] : used[kind]].tolist():
                detail = self._detail(problem, given, label, other, entry)
                self._found[problem].append((given.image[row].as_py(), problem, self._key(label), detail))

    def _detail(self, problem: str, given: GivenLabels, label: int, other: int, entry: int) -> str:
        confidence = f"{given.confidences[entry]:g}"
        return {
            "unknown category": lambda: f"label {label}, expected 0 to {len(self._hierarchy) - 1}",
            "bad confidence": lambda: f"confidence {confidence}, expected 0 to 1",
            "duplicated label": lambda: f"again, with confidence {confidence}",
            "not closed": lambda: f"lacks {self._key(other)}",
            "absent ancestor": lambda: f"{self._key(other)} is verified absent",
            "not monotone": lambda: f"{confidence} is less than that of {self._key(other)}",
        }[problem]()

    def _key(self, label: int) -> str:
        return self._hierarchy.keys[label] if 0 <= label < len(self._hierarchy) else str(label)

    def note_bad(self, bad: list[BadRow | DamagedRow]) -> None:
        """Count the bad rows of a list or a table, and forget them."""
        for row in bad:
            if isinstance(row, DamagedRow):
                self._rows += row.row is not None
                self._counts[UNREADABLE] += (1, 0)
                self._example(UNREADABLE, row.image or "", str(row))
                continue
            problem = "unknown category" if row.reason.startswith(_UNKNOWN_LABEL) else UNREADABLE
            self._rows += 1
            self._counts[problem] += (1, problem != UNREADABLE)
            self._example(
                problem,
                row.row[:200].partition(b"\t")[0].decode("utf-8", "backslashreplace"),
                f"{row.path}:{row.line}: {row.reason}",
            )
        bad.clear()

    def _example(self, problem: str, image: str, detail: str) -> None:
        if len(self._found[problem]) < self._most:
            self._found[problem].append((image, problem, "", detail))

    def note_duplicates(self, first: NDArray[np.int64], names: Iterable[pa.StringArray]) -> None:
        """Count the rows whose image an earlier row names."""
        at = 0
        found = self._found[DUPLICATED_IMAGE]
        for array in names:
            origin = first[at : at + len(array)]
            again = np.flatnonzero(origin != np.arange(at, at + len(array)))
            self._counts[DUPLICATED_IMAGE] += (len(again), 0)
            for row in again[: self._most - len(found)].tolist():
                detail = f"row {at + row} repeats row {origin[row]}, counted from 0"
                found.append((array[row].as_py(), DUPLICATED_IMAGE, "", detail))
            at += len(array)

    def result(self) -> LabelAudit:
        """What was found."""
        import pandas as pd

        rows = [example for problem in PROBLEMS for example in self._found[problem]]
        summary = {problem: {"rows": int(count[0]), "labels": int(count[1])} for problem, count in self._counts.items()}
        table = pd.DataFrame(rows, columns=_COLUMNS, dtype=str)
        return LabelAudit(self._rows, self._labels, summary, table, self._most)
