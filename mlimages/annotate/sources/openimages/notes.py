"""The notes that partitioning Open Images' files writes beside the records, and the names of its files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from mlimages.annotate.sources.source import BadRow, Report
from mlimages.storage.files import replacing

#: File of the labels that are no category, in the scratch folder and then beside the table.
REMOVED_LABELS = "removed_labels.csv"
_SUMMARY = "summary.json"


@dataclass(slots=True)
class Notes:
    """What was found while a piece of the input was partitioned."""

    runs: int = 0  # made of it
    rows: int = 0  # good ones
    machine_zeros: int = 0  # those of them that are machine labels of confidence 0
    removed: Counter[str] = field(default_factory=Counter)  # rows of each label that is no category
    #: Bad rows as path, line, reason and the row, one character for each byte.
    bad: list[tuple[str, int, str, str]] = field(default_factory=list)

    def write(self, path: Path, report: Report) -> None:
        """Write them, and the bad rows of a report, as one file that is whole once it is there."""
        self.bad = [(bad.path, bad.line, bad.reason, bad.row.decode("latin-1")) for bad in report.bad]
        with replacing(path) as file:
            content = {each.name: getattr(self, each.name) for each in fields(self)}
            file.write(json.dumps(content, sort_keys=True).encode())

    @classmethod
    def read(cls, path: Path) -> Notes:
        """Read what :meth:`write` wrote."""
        content = json.loads(path.read_bytes())
        return cls(**{**content, "removed": Counter(content["removed"])})

    def bad_rows(self) -> list[BadRow]:
        """The bad rows as a report has them."""
        return [BadRow(path, line, reason, row.encode("latin-1")) for path, line, reason, row in self.bad]


class Summary(NamedTuple):
    """The results of the first stage that the second needs."""

    runs: list[int]  # of every piece of the labels
    url_runs: list[int]  # of every images CSV
    removed_rows: int  # left out, over all
    machine_zeros: int

    def write(self, scratch: Path) -> None:
        """Write it into the scratch folder."""
        with replacing(scratch / _SUMMARY) as file:
            file.write(json.dumps(self._asdict()).encode())

    @classmethod
    def read(cls, scratch: Path) -> Summary:
        """Read that of a finished partition."""
        return cls(**json.loads((scratch / _SUMMARY).read_bytes()))


def notes_path(scratch: Path, unit: int) -> Path:
    """File of the notes of a piece."""
    return scratch / f"unit-{unit:06d}.json"


def run_path(scratch: Path, unit: int, run: int) -> Path:
    """File of a run: int64 [buckets + 1], where each bucket begins, then uint64 [records, 3]."""
    return scratch / f"unit-{unit:06d}-{run:06d}.records"


def urls_notes_path(scratch: Path, number: int) -> Path:
    """File of the notes of an images CSV."""
    return scratch / f"images-{number:06d}.json"


def urls_path(scratch: Path, number: int, run: int) -> Path:
    """File of a run: an Arrow file with a record batch for every bucket."""
    return scratch / f"images-{number:06d}-{run:06d}.arrow"
