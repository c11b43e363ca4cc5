"""Open Images, V1 to V7: CSV files in which each row is one label of one image, in any order.

::

    ImageID,Source,LabelName,Confidence
    000026e7ee790996,verification,/m/04hgtk,0
    000026e7ee790996,machine,/m/07j7r,0.9

All versions name these four columns first; further columns (the boxes of a box file) are ignored. ``machine``
labels have a fraction as confidence, and one of 0 says nothing: it is left out and counted (``machine_zeros``). Every
other source (``human`` in V1, ``verification``, ``crowdsource-verification``, the ``xclick`` of boxes) is a person,
whose confidence is 1, present, or 0, a verified absence.

Labels are those of the hierarchy's keys, or of a `mapping` to them. The rows of other labels are removed, and counted
by label in ``removed_labels.csv`` beside the table. The labels that are left of an image
are one row of the table, by ascending index; an image without any has no row. Of several rows with one image and
category

* what people say counts, whatever machines say;
* among people who disagree, presence counts (as in propagation), and the conflict is counted: ``human_conflicts``;
* among machines the largest confidence counts.

``repeated_labels`` counts the rows that are dropped for another one. So the order of rows and files does not matter,
and human and machine labels may be given together. Image ids are the images' names, or, with the images CSV
(``ImageID,...,OriginalURL,...``), their URLs; an image without a URL there keeps its id, and is counted as
``without_url``. Within a part, images are ordered by id.

All rows of an image are grouped on disk: see :mod:`mlimages.annotate.sources.openimages.partition`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mlimages.annotate.sources.lines import first_line, is_compressed, shown, split_into_units
from mlimages.annotate.sources.mapping import LabelTable
from mlimages.annotate.sources.openimages.buckets import Buckets
from mlimages.annotate.sources.openimages.notes import REMOVED_LABELS
from mlimages.annotate.sources.openimages.partition import Partition
from mlimages.annotate.sources.openimages.urls import BLOCK_BYTES
from mlimages.annotate.sources.source import OnError, Source, UnitTask, expand_paths
from mlimages.errors import FormatError
from mlimages.hierarchy import Hierarchy
from mlimages.hierarchy.formats.openimages import read_class_descriptions

HEADER = "ImageID,Source,LabelName,Confidence"
_EXPECTED = f"expected the header {HEADER}"
_URL_COLUMNS = ("ImageID", "OriginalURL")

#: Bytes of text that become one bucket, and of a piece of the input: a part of about 40,000 images.
BUCKET_BYTES = 64 << 20
#: Assumed ratio of the text of a compressed file to its size.
_COMPRESSION_RATIO = 8

_Paths = str | os.PathLike[str] | list[str | os.PathLike[str]]


class OpenImages(Source):
    """Read the label files of Open Images.

    Parameters
    ----------
    paths : path-like or list of them
        Label files, or patterns of them, plain or compressed (gzip, zstd).
    hierarchy : Hierarchy
        The categories.
    mapping : path-like, optional
        A CSV ``label,key``, with that header or without: the category that each label becomes. Several labels may
        become one category. Without it, labels are keys of the hierarchy.
    images_csv : path-like or list of them, optional
        Images CSVs: name the images by their URLs.
    class_descriptions : path-like, optional
        The names of labels, for ``removed_labels.csv``.
    bucket_bytes : int, optional
        Text that becomes one part, 64 MiB by default.
    url_block_bytes : int
        Text of an images CSV that is held in memory at once.

    Raises
    ------
    FormatError
        For a file that is empty or has another header, and for a mapping to an unknown category.
    """

    format = "open-images"
    stage = "sorting rows by image"
    kept = (REMOVED_LABELS,)

    def __init__(
        self,
        paths: _Paths,
        hierarchy: Hierarchy,
        *,
        mapping: str | os.PathLike[str] | None = None,
        images_csv: _Paths | None = None,
        class_descriptions: str | os.PathLike[str] | None = None,
        bucket_bytes: int | None = None,
        url_block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.state = {}
        self._bucket_bytes = bucket_bytes or BUCKET_BYTES
        self._url_block_bytes = url_block_bytes
        self._labels = expand_paths(paths)
        headers = [_check_header(path) for path in self._labels]
        self._columns = {
            os.fspath(path): header.count(b",") + 1 for path, header in zip(self._labels, headers, strict=True)
        }
        self._images = expand_paths(images_csv) if images_csv is not None else []
        for path in self._images:
            _check_images_header(path)
        self._table = LabelTable.of(hierarchy, mapping)
        self._names = read_class_descriptions(class_descriptions) if class_descriptions is not None else {}
        more = [Path(path) for path in (mapping, class_descriptions) if path is not None]
        self.inputs: list[Path] = [*self._labels, *self._images, *more]
        self._bytes = sum(
            max(0, path.stat().st_size - len(header) - 1) * (_COMPRESSION_RATIO if is_compressed(path) else 1)
            for path, header in zip(self._labels, headers, strict=True)
        )

    def prepare(
        self,
        scratch: Path,
        *,
        on_error: OnError,
        workers: int,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Divide all rows among the buckets of a scratch folder, and write ``removed_labels.csv`` there.

        Raises
        ------
        FormatError
            For a bad row, if these end the job, and if no row has a known label.
        JobError
            If the disk is full.
        """
        Partition(
            scratch=scratch,
            buckets=self._buckets(scratch).count,
            units=split_into_units(self._labels, unit_bytes=self._bucket_bytes),
            columns=self._columns,
            table=self._table,
            images=self._images,
            on_error=on_error,
            url_block_bytes=self._url_block_bytes,
        ).run(workers=workers, names=self._names, progress=progress)

    def tasks(self, scratch: Path) -> list[UnitTask]:
        """A task for each bucket of the scratch folder."""
        buckets = self._buckets(scratch)
        return [UnitTask(unit, buckets) for unit in buckets.units()]

    def _buckets(self, scratch: Path) -> Buckets:
        count = max(1, -(-self._bytes // self._bucket_bytes))
        return Buckets(scratch, count=count, size=self._bytes, urls=bool(self._images))


def _check_header(path: Path) -> bytes:
    """The header of a label file, as it is written; a FormatError for another one."""
    header = first_line(path, expected=_EXPECTED)
    if header.replace(b'"', b"").split(b",")[:4] != HEADER.encode().split(b","):
        raise FormatError(f"found {shown(header)}, {_EXPECTED}", path=path, line=1)
    return header


def _check_images_header(path: Path) -> None:
    expected = f"expected a header with the columns {' and '.join(_URL_COLUMNS)}"
    header = first_line(path, expected=expected)
    names = header.decode("utf-8", "replace").replace('"', "").split(",")
    missing = [name for name in _URL_COLUMNS if name not in names]
    if missing:
        raise FormatError(f"found {shown(header)}, {expected}", path=path, line=1)
