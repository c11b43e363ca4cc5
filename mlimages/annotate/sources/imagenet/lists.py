"""ImageNet as lists: one synset for each image, from lists of ids or from ILSVRC's own lists.

The first line of a list decides its form, which all its lines must have:

=======================================  ============================================================================
first line                               what it is
=======================================  ============================================================================
``n04310904/n04310904_8388.JPEG``        an id, with or without folder and ending; a path or URL may stand before it.
                                         A number after it is passed over: ILSVRC's ``ImageSets/CLS-LOC/train_cls.txt``
                                         counts the images there, Caffe's ``train.txt`` repeats the class
``ILSVRC2012_val_00000001.JPEG 65``      a name and a class number from 0, by ascending synset id (Caffe's ``val.txt``)
``ILSVRC2012_val_00000001 n01751748``    a name and a synset
``ImageId,PredictionString``             Kaggle's ``LOC_train_solution.csv`` and ``LOC_val_solution.csv``: an id, then
                                         synset and box, repeatedly; all boxes of an image are of one synset
``n01751748``                            the synset of the next validation image (``ILSVRC2012_val_00000001.JPEG``, ...)
``490``                                  its class number from 1 in the order of the development kit's ``meta.mat``:
                                         ``ILSVRC2012_validation_ground_truth.txt``. That order is no other's, so
                                         ``meta.mat`` must stand beside it, as in the kit, or be named (`classes`)
=======================================  ============================================================================

Names are kept as they are written. ``ImageSets/CLS-LOC/val.txt`` has image numbers where others have classes, and is
refused. Files may be compressed (gzip, zstd), have CRLF line ends and a byte order mark.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.sources.imagenet.synsets import Unmapped, read_classes, sorted_classes, synset_targets
from mlimages.annotate.sources.lines import (
    LONGEST_NAME,
    Lines,
    batches_of_lines,
    first_line,
    read_texts,
    shown,
    split_into_units,
)
from mlimages.annotate.sources.source import Report, RowBuffers, Unit, UnitSource, expand_paths
from mlimages.errors import FormatError, MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.storage.arrow import readonly

_EXPECTED = "expected ids such as n04310904/n04310904_8388.JPEG, or a list of ILSVRC"
_HEADER = b"ImageId,PredictionString"
_META = "meta.mat"
_MOST_LINES = 99_999_999  # of a list without names: they are made of eight digits


class ImageNet(UnitSource):
    """Read lists of ImageNet and ILSVRC.

    Parameters
    ----------
    paths : path-like or list of them
        Files, or patterns of them.
    hierarchy : Hierarchy
        The categories, whose keys are synset ids.
    unmapped : {"drop", "ancestor"}
        Handling of an image whose synset is not in the hierarchy: it is left out, and counted as ``unmapped`` and
        by synset (``unmapped n04310904``), or its nearest kept ancestors stand for the synset, and it is counted as
        ``mapped_to_ancestor``; it is left out if it has none.
    classes : path-like, optional
        The synsets in the order of the class numbers: ``meta.mat`` or a text file; see
        :func:`~mlimages.annotate.sources.imagenet.synsets.read_classes`. The first line of a text is class 0 of a list
        that counts from 0, and class 1 of one that counts from 1.
    unit_bytes : int, optional
        Text of a unit, 16 MiB by default.

    Raises
    ------
    FormatError
        For a file in none of the forms above, or an empty one.
    MlimagesError
        If the class order is not known, or the hierarchy contains no synsets.
    """

    format = "imagenet"

    def __init__(
        self,
        paths: str | os.PathLike[str] | list[str | os.PathLike[str]],
        hierarchy: Hierarchy,
        *,
        unmapped: Unmapped = "drop",
        classes: str | os.PathLike[str] | None = None,
        unit_bytes: int | None = None,
    ) -> None:
        self.state = {} if unmapped == "drop" else {"unmapped": unmapped}
        self._unit_bytes = unit_bytes
        self._lists: list[Path] = expand_paths(paths)
        self._targets = synset_targets(hierarchy, unmapped)
        self._forms = {os.fspath(path): _form(path) for path in self._lists}
        self._classes: dict[str, NDArray[np.int32]] = {}
        used: dict[Path, None] = {}
        for path in self._lists:
            order, source = _class_order(path, self._forms[os.fspath(path)], classes)
            self._classes[os.fspath(path)] = order
            used.update({source: None} if source is not None else {})
        if classes is not None and not used:
            raise MlimagesError(f"classes={os.fspath(classes)}: none of the lists has class numbers")
        self.inputs: list[Path] = [*self._lists, *used]

    def units(self) -> list[Unit]:
        """Pieces of equal size; a compressed file is one, and so is a list whose line numbers are the names."""
        from mlimages.annotate.sources.imagenet import listskernels as kernels

        whole = [path for path in self._lists if self._forms[os.fspath(path)] in (kernels.SYNSETS, kernels.NUMBERS)]
        return split_into_units(self._lists, unit_bytes=self._unit_bytes, whole=whole)

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows of a unit."""
        from mlimages.annotate.sources.imagenet import listskernels as kernels

        form = self._forms[unit.path]
        lost: Counter[int] = Counter()
        for text in read_texts(unit, report, header=form == kernels.SOLUTION):
            number = text.line or 1
            for lines in batches_of_lines(text, report):
                yield self._parse(lines, form, number, report, lost)
                number += lines.total
        report.counts.update(lost_counts(lost))

    def _parse(self, lines: Lines, form: int, number: int, report: Report, lost: Counter[int]) -> pa.RecordBatch:
        """The rows of a batch, whose first line has the number `number` where this is the image's."""
        from mlimages.annotate.sources.imagenet import listskernels as kernels

        text = lines.text
        classes = self._classes[text.path]
        made = form in (kernels.SYNSETS, kernels.NUMBERS)
        if made and number + lines.total > _MOST_LINES:
            raise FormatError(f"found more than {_MOST_LINES} lines, expected a list of ILSVRC", path=text.path)
        buffers = RowBuffers.of(
            lines.total,
            name_bytes=lines.total * kernels.MADE_NAME if made else lines.size,
            labels=lines.total * self._targets.most,
        )
        without = np.empty(lines.total, np.int64)
        span = text.data, lines.start, lines.stop
        rows, labels, name_bytes, lost_rows, mapped, wrong = kernels.parse(
            *span, form, number, tuple(self._targets), classes, buffers, without, lines.bad
        )
        lines.report_bad(wrong, report, lambda found: _reasons(found, len(classes)))
        synsets, images = np.unique(without[:lost_rows], return_counts=True)
        lost.update(dict(zip(synsets.tolist(), images.tolist(), strict=True)))
        report.counts["mapped_to_ancestor"] += int(mapped)
        return buffers.batch(rows, name_bytes=name_bytes, labels=labels)


def lost_counts(lost: Counter[int]) -> dict[str, int]:
    """Numbers of images by the synset that the hierarchy lacks, as counts of a report."""
    if not lost:
        return {}
    return {"unmapped": lost.total(), **{f"unmapped n{offset:08d}": images for offset, images in lost.items()}}


def _form(path: Path) -> int:
    """The form of a list, by its first line; a FormatError where that is unknown."""
    from mlimages.annotate.sources.imagenet import listskernels as kernels

    line = first_line(path, expected=_EXPECTED)
    if line.strip() == _HEADER:
        return kernels.SOLUTION
    words = line.split()
    if len(words) == 1 and re.fullmatch(rb"n\d{8}", words[0]):
        return kernels.SYNSETS
    if len(words) == 1 and words[0].isdigit():
        return kernels.NUMBERS
    if len(words) == 2 and re.fullmatch(rb"n\d{8}", words[1]):
        return kernels.LABELLED
    if words and len(words) <= 2:
        name = np.frombuffer(words[0], np.uint8)
        if max(kernels.synsets_of_name(readonly(name), 0, len(name))) >= 0:
            return kernels.IDS
    if len(words) == 2 and words[1].isdigit():
        if b"." in words[0]:
            return kernels.CLASSES
        raise FormatError(
            f"found {shown(line)}: such a list (ImageSets/CLS-LOC/val.txt) numbers the images and names no class; use "
            "LOC_val_solution.csv, or ILSVRC2012_validation_ground_truth.txt beside its meta.mat",
            path=path,
            line=1,
        )
    raise FormatError(f"found {shown(line)}, {_EXPECTED}", path=path, line=1)


def _class_order(
    path: Path, form: int, classes: str | os.PathLike[str] | None
) -> tuple[NDArray[np.int32], Path | None]:
    """The synsets by class number that a list needs, and the file they come from, if any."""
    from mlimages.annotate.sources.imagenet import listskernels as kernels

    if form not in (kernels.CLASSES, kernels.NUMBERS):
        return readonly(np.empty(0, np.int32)), None
    if classes is not None:
        return read_classes(Path(classes)), Path(classes)
    if form == kernels.CLASSES:
        return sorted_classes(), None
    beside = path.parent / _META
    if not beside.is_file():
        raise MlimagesError(
            f"{path}: class numbers in the order of the development kit, and no {_META} beside it: put the kit's "
            "there, or name it or a list of synsets with classes= (--classes)"
        )
    return read_classes(beside), beside


def _reasons(found: str, classes: int) -> dict[int, str]:
    from mlimages.annotate.sources.imagenet import listskernels as kernels

    return {
        kernels.EMPTY_LINE: f"found an empty line, {_EXPECTED}",
        kernels.BAD_NAME: f"found the control character {found}, expected text",
        kernels.LONG_NAME: f"found the name {found}, expected at most {LONGEST_NAME} bytes",
        kernels.BAD_UTF8: f"found the name {found}, expected UTF-8",
        kernels.NO_SYNSET: f"found {found}, which states no synset, expected one such as n04310904/n04310904_8388.JPEG",
        kernels.TWO_SYNSETS: f"found {found}, whose folder and file state different synsets, expected the same",
        kernels.BAD_CLASS: f"found the class {found}, expected a number of one of {classes} classes",
        kernels.NOT_SYNSET: f"found {found}, expected a synset id such as n04310904",
        kernels.TRAILING: f"found {found} at the end of the line, expected what the first line of the file has",
    }
