"""Rules: a category that is in an image adds another that is likely to be there too.

A rules CSV has a header and a row for each rule. Only ``source`` and ``target`` are needed, keys of categories; ``p``
is the probability of the target where the source is, above 0 to 1, and 1 where the column is missing or the cell empty.
All other columns document the rule, and may be edited, removed or added freely.

================  =========================================================================================
source, target    keys: an image that carries the source gets the target
p                 share of the images of the source that have the target
support           images that have both
images            images of the source
lower             lower end of Wilson's interval of 95 % for p
lift              p over the share of the target among all images
source_name       for the reader; never parsed
target_name       for the reader; never parsed
================  =========================================================================================
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xxhash
from numpy.typing import NDArray

from mlimages.errors import FormatError, MlimagesError, listed
from mlimages.hierarchy import Hierarchy
from mlimages.storage.arrow import offsets_of
from mlimages.storage.files import replacing

if TYPE_CHECKING:
    import pandas as pd

#: Name of the file beside a table that holds the rules it was made with.
RULES_FILE = "rules.csv"

RuleConfidence = Literal["one", "p"]

_NUMBERS = ("p", "support", "images", "lower", "lift")
#: Columns of a rules CSV, in their order.
COLUMNS = ("source", "target", *_NUMBERS, "source_name", "target_name")


@dataclass(frozen=True, eq=False)
class Rules:
    """Checked rules, by category index, and the confidence of the labels that they add.

    Parameters
    ----------
    hierarchy : Hierarchy
        The categories.
    sources, targets : int32 array [r]
        The rules, by source, the strongest first.
    p : float32 array [r]
        Their probabilities.
    confidence : {"one", "p"}
        The confidence of a label that a rule adds: 1, as published, or p.
    text : str
        The rules as CSV, with all known columns.
    """

    hierarchy: Hierarchy = field(repr=False)
    sources: NDArray[np.int32] = field(repr=False)
    targets: NDArray[np.int32] = field(repr=False)
    p: NDArray[np.float32] = field(repr=False)
    confidence: RuleConfidence
    text: str = field(repr=False)

    @classmethod
    def of(cls, rules: Any, hierarchy: Hierarchy, *, confidence: RuleConfidence = "one") -> Rules:
        """Rules from a CSV's path, a DataFrame of its columns, or Rules.

        Raises
        ------
        FormatError
            For a bad row of a CSV, with its line.
        MlimagesError
            For a bad row of a DataFrame, and for anything else.
        """
        if confidence not in get_args(RuleConfidence):
            raise MlimagesError(f"rule_confidence={confidence!r}: expected one or p")
        if isinstance(rules, Rules):
            rules = rules.to_frame()
        if isinstance(rules, str | os.PathLike):
            rules = read_rules(rules, hierarchy)
        frame = _checked_frame(rules, hierarchy)
        sources, targets = (hierarchy.index(frame[name].tolist()) for name in ("source", "target"))
        p = frame["p"].to_numpy(np.float32)
        order = np.lexsort((targets, -p, sources))
        return cls(hierarchy, sources[order], targets[order], p[order], confidence, rules_text(frame))

    def to_frame(self) -> pd.DataFrame:
        """The rules as a DataFrame with all known columns."""
        return _read(self.text.encode(), self.hierarchy, Path(RULES_FILE))

    @property
    def confidences(self) -> NDArray[np.float32]:
        """The confidence of the label that each rule adds, float32 [r]."""
        return self.p if self.confidence == "p" else np.ones(len(self.p), np.float32)

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Where the rules of each category begin, int64 [n + 1]."""
        return offsets_of(np.bincount(self.sources, minlength=len(self.hierarchy)), np.int64)

    @property
    def metadata(self) -> dict[str, Any]:
        """The entry of the rules in the metadata of a table."""
        return {
            "file": RULES_FILE,
            "rules": len(self),
            "confidence": self.confidence,
            "xxh3_128": xxhash.xxh3_128_hexdigest(self.text.encode()),
        }

    def __len__(self) -> int:
        return len(self.sources)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rules, (self.hierarchy, self.sources, self.targets, self.p, self.confidence, self.text)


def rule_frame(
    hierarchy: Hierarchy, sources: NDArray[np.int32], targets: NDArray[np.int32], **numbers: NDArray[Any]
) -> pd.DataFrame:
    """Rules as a DataFrame: keys, `numbers`, indices and names; see :meth:`Cooccurrence.rules`."""
    import pandas as pd

    axes = {"source": sources.tolist(), "target": targets.tolist()}
    columns: dict[str, Any] = {
        name: pd.Series([hierarchy.keys[i] for i in axis], dtype="str") for name, axis in axes.items()
    }
    columns |= numbers
    columns |= {f"{name}_index": np.array(axis, np.int32) for name, axis in axes.items()}
    columns |= {
        f"{name}_name": pd.Series([hierarchy[i].name for i in axis], dtype="str") for name, axis in axes.items()
    }
    return pd.DataFrame(columns)


def read_rules(path: str | os.PathLike[str], hierarchy: Hierarchy) -> pd.DataFrame:
    """Read a rules CSV.

    Parameters
    ----------
    path : path-like
        The file, UTF-8; the module says which columns.
    hierarchy : Hierarchy
        The categories.

    Returns
    -------
    pandas.DataFrame
        As :meth:`Cooccurrence.rules <mlimages.annotate.cooccurrence.counts.Cooccurrence.rules>` returns it, in the
        order of the file; a number that the file does not have is NaN, and p is 1.

    Raises
    ------
    FormatError
        For a missing column or a bad row: an unknown key, a category that adds itself, a repeated pair, or what
        is not a number. Names the line.
    """
    return _read(Path(path).read_bytes(), hierarchy, Path(path))


def write_rules(rules: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a rules CSV that :func:`read_rules` reads and a human can edit."""
    with replacing(Path(path)) as file:
        file.write(rules_text(rules).encode())


def rules_text(rules: pd.DataFrame) -> str:
    """A rules CSV, the known columns in their order; the same rules always give the same text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [name for name in COLUMNS if name in rules.columns]
    writer.writerow(columns)
    for row in zip(*(rules[name].tolist() for name in columns), strict=True):
        writer.writerow([_cell(name, value) for name, value in zip(columns, row, strict=True)])
    return out.getvalue()


def _cell(name: str, value: Any) -> str:
    if name not in _NUMBERS:
        return str(value)
    if value is None or math.isnan(value):
        return ""
    if name == "p":
        return str(np.float32(value))  # what is applied, in the fewest digits
    return str(int(value)) if name in ("support", "images") and float(value).is_integer() else f"{value:.6g}"


def _read(data: bytes, hierarchy: Hierarchy, path: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[int, int], int] = {}
    for line, cells in _lines(data, path):
        try:
            row = _checked_row(cells, hierarchy)
        except MlimagesError as error:
            raise _wrong(path, str(error), line) from None
        pair = row["source_index"], row["target_index"]
        if pair in seen:
            again = f"found {row['source']} -> {row['target']} again (first in line {seen[pair]}), expected each once"
            raise _wrong(path, again, line)
        seen[pair] = line
        rows.append(row)
    sources, targets = (np.array([row[name] for row in rows], np.int32) for name in ("source_index", "target_index"))
    return rule_frame(
        hierarchy, sources, targets, **{name: np.array([row[name] for row in rows], np.float64) for name in _NUMBERS}
    )


def _wrong(path: Path, reason: str, line: int) -> FormatError:
    return FormatError(reason, path=path, line=line)


def _lines(data: bytes, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows that are not blank, each with its line and by the names of the header."""
    wrong = partial(_wrong, path)
    try:
        text = data.decode("utf-8-sig")  # a spreadsheet may have put a byte order mark first
    except UnicodeDecodeError as error:
        raise wrong("not UTF-8: save the file as UTF-8", data[: error.start].count(b"\n") + 1) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in ("source", "target"):
            if header.count(name) != 1:
                found = listed(header) or "(none)"
                raise wrong(f"found the columns {found}, expected source and target among them, once", 1)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                expected = f"expected {len(header)}; a cell with a comma needs quotes"
                raise wrong(f"found {len(cells)} cells, {expected}", reader.line_num)
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise wrong(f"not CSV ({error})", reader.line_num) from None


def _checked_row(cells: dict[str, str], hierarchy: Hierarchy) -> dict[str, Any]:
    row: dict[str, Any] = {name: str(cells[name]).strip() for name in ("source", "target")}
    for name in ("source", "target"):
        if row[name] not in hierarchy:
            raise MlimagesError(f"found the {name} {row[name]!r}, expected a key of the hierarchy")
        row[f"{name}_index"] = hierarchy.index(row[name])
    if row["source_index"] == row["target_index"]:
        raise MlimagesError(f"found {row['source']} -> {row['target']}, expected two different categories")
    for name in _NUMBERS:
        row[name] = _number(name, str(cells.get(name) or "").strip())
    return row


def _number(name: str, text: str) -> float:
    if not text or text.casefold() == "nan":
        return 1.0 if name == "p" else math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value <= 1 if name == "p" else value >= 0):
        expected = "a number above 0, up to 1" if name == "p" else "a number of at least 0"
        raise MlimagesError(f"found {name} {text!r}, expected {expected}")
    if name == "p" and not np.float32(value) > 0:
        raise MlimagesError(f"found p {text!r}, expected a number that 32 bits can tell from 0")
    return value


def _checked_frame(rules: Any, hierarchy: Hierarchy) -> pd.DataFrame:
    """A DataFrame of rules with all columns, its rows checked like those of a file."""
    names = getattr(rules, "columns", None)
    if names is None or not {"source", "target"} <= set(names):
        found = f"the columns {listed(names)}" if names is not None else f"a {type(rules).__name__}"
        raise MlimagesError(f"rules: found {found}, expected a path or a DataFrame with source and target")
    try:
        return _read(rules_text(rules).encode(), hierarchy, Path("(rules)"))
    except FormatError as error:
        raise MlimagesError(str(error)) from None
