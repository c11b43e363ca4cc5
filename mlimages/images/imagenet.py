"""Extraction of listed images from the ImageNet database.

The database comes as one tar of 21,841 tars (``n01440764.tar`` and so on), as a folder of those, or extracted. An
image is identified by its id, ``n01440764_10026``; wherever it is found it is written to
``n01440764/n01440764_10026.JPEG``, the name that the published image lists use. Tars are read in place: of images that
are not listed only the headers are read, and no name from a tar becomes a path.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mlimages.errors import FormatError, MlimagesError
from mlimages.job.local import in_order
from mlimages.storage.files import replacing
from mlimages.storage.imagefiles import FORMATS

_ID = re.compile(r"(n\d{8})_\d+")
_JPEG = "|".join(map(re.escape, FORMATS["JPEG"]))
_ENTRY = re.compile(rf"(?:(n\d{{8}})/)?((n\d{{8}})_\d+)(?i:{_JPEG})?")  # as a list, a tar or a folder has it
_TAR = re.compile(r"(n\d{8})\.tar")
# .JPEG first, which ImageNet uses
_SUFFIXES = tuple(spelling for suffix in reversed(FORMATS["JPEG"]) for spelling in (suffix.upper(), suffix))

#: Lists the ids that were not found, one per line.
MISSING = "missing.txt"


@dataclass(frozen=True, slots=True)
class Extraction:
    """Result of an extraction.

    Parameters
    ----------
    extracted, already_there : int
        Images written, and images that the output folder already held with the right size.
    missing : list of str
        Ids that the source does not contain, in the order of the list; also in ``missing.txt``.
    """

    extracted: int
    already_there: int
    missing: list[str]


@dataclass(frozen=True, slots=True)
class _Task:
    """The wanted images of one tar or synset."""

    path: Path
    ids: frozenset[str]
    start: int = 0  # of the tar within the file
    size: int | None = None  # of the tar in bytes; None for the whole file


@dataclass(slots=True)
class _Done:
    written: int = 0
    found: set[str] = field(default_factory=set)


def extract(
    source: str | os.PathLike[str], ids: Iterable[str], out: str | os.PathLike[str], *, workers: int | None = None
) -> Extraction:
    """Extract the images with these ids from the ImageNet database.

    Parameters
    ----------
    source : path-like
        The tar of per-synset tars, one per-synset tar, a folder of per-synset tars, or a folder of images
        (``n01440764/n01440764_10026.JPEG``, or without the folders).
    ids : iterable of str
        ``n01440764_10026``, ``n01440764_10026.JPEG`` or ``n01440764/n01440764_10026.JPEG``; see :func:`read_ids`.
    out : path-like
        Folder for ``n01440764/n01440764_10026.JPEG``. An image that is there with the right size is not written
        again, so that a second run continues the first. ``missing.txt`` lists, in order, the ids that were not found.
    workers : int, optional
        Processes, each of which reads a tar; as many as cores by default.

    Returns
    -------
    Extraction
        Counts, and the ids that are missing.

    Raises
    ------
    MlimagesError
        For a text that is not an id.
    FormatError
        For a damaged tar; names it.
    """
    wanted = list(dict.fromkeys(_parse_id(text) for text in ids))
    if not wanted:
        raise MlimagesError("the list names no image: expected at least one id such as n01440764_10026")
    by_synset: dict[str, set[str]] = {}
    for each in wanted:
        by_synset.setdefault(each.partition("_")[0], set()).add(each)
    tasks = _tasks(Path(source), {synset: frozenset(members) for synset, members in by_synset.items()})
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    written, found = 0, set[str]()
    for done in in_order(partial(_extract_task, out=folder), tasks, workers=workers):
        written += done.written
        found |= done.found
    missing = [each for each in wanted if each not in found]
    _write_whole(folder / MISSING, "".join(f"{each}\n" for each in missing).encode())
    return Extraction(written, len(found) - written, missing)


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read the ids of a list, which are the first column of each line, as in the published image lists.

    Raises
    ------
    FormatError
        For a line that does not begin with an ImageNet id; names the line.
    """
    found = []
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, start=1):
            columns = line.split(maxsplit=1)
            if not columns:
                continue
            text = columns[0].decode("utf-8", "replace")
            try:
                found.append(_parse_id(text))
            except MlimagesError as error:
                raise FormatError(str(error), path=path, line=number) from None
    return found


def _parse_id(text: str) -> str:
    match = _ENTRY.fullmatch(text)
    if match is None or match[1] not in (None, match[3]):
        raise MlimagesError(
            f"found {text[:100]!r}, expected an ImageNet id such as n01440764_10026 or n01440764/n01440764_10026.JPEG"
        )
    return match[2]


def _tasks(source: Path, wanted: dict[str, frozenset[str]]) -> Iterator[_Task]:
    if source.is_dir():
        tars = {match[1]: each for each in sorted(source.iterdir()) if (match := _TAR.fullmatch(each.name))}
        for synset in sorted(wanted):
            yield _Task(tars.get(synset, source), wanted[synset])
        return
    everything = frozenset[str]().union(*wanted.values())
    nested = False
    with source.open("rb") as file, _opened(file, source) as tar:
        for member in _members(tar, source):
            match = _TAR.fullmatch(_basename(member))
            if match is None or not member.isreg():
                continue
            nested = True
            if match[1] in wanted:
                yield _Task(source, wanted[match[1]], member.offset_data, member.size)
    if not nested:  # a per-synset tar by itself
        yield _Task(source, everything, 0, None)


def _extract_task(task: _Task, *, out: Path) -> _Done:
    if task.path.is_dir():
        return _copy_files(task, out)
    done = _Done()
    with task.path.open("rb") as whole:
        file = whole if task.size is None else _Slice(whole, task.start, task.size)
        with _opened(file, task.path) as tar:  # type: ignore[arg-type]  # read, seek and tell are what it takes
            for member in _members(tar, task.path):
                match = _ENTRY.fullmatch(_basename(member))
                if match is None or match[2] not in task.ids or match[2] in done.found or not member.isreg():
                    continue
                target = _target(out, match[2])
                if not _is_there(target, member.size):
                    _write_whole(target, _content(tar, member, task.path))
                    done.written += 1
                done.found.add(match[2])
                if len(done.found) == len(task.ids):
                    break
    return done


def _copy_files(task: _Task, out: Path) -> _Done:
    done = _Done()
    for each in sorted(task.ids):
        synset = each.partition("_")[0]
        for stem in (task.path / synset / each, task.path / each):
            found = next((path for suffix in _SUFFIXES if (path := stem.with_name(stem.name + suffix)).is_file()), None)
            if found is None:
                continue
            target = _target(out, each)
            if not _is_there(target, found.stat().st_size):
                _write_whole(target, found.read_bytes())
                done.written += 1
            done.found.add(each)
            break
    return done


def _target(out: Path, image_id: str) -> Path:
    assert _ID.fullmatch(image_id)  # which keeps every file below `out`
    return out / image_id.partition("_")[0] / f"{image_id}.JPEG"


def _is_there(target: Path, size: int) -> bool:
    return target.is_file() and target.stat().st_size == size


def _basename(member: tarfile.TarInfo) -> str:
    return member.name.rpartition("/")[2]


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    data = tar.extractfile(member)
    assert data is not None  # a regular file
    try:
        content = data.read()
    except tarfile.ReadError as error:  # the file ends too early
        raise _damaged(path, f"{error}, in {member.name!r}") from None
    if len(content) != member.size:
        raise _damaged(path, f"found {len(content)} of the {member.size} bytes of {member.name!r}")
    return content


def _opened(file: BinaryIO, path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:")
    except tarfile.TarError as error:
        raise _damaged(path, f"not an uncompressed tar ({error})") from None


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    while True:
        try:
            member = tar.next()
        except (tarfile.TarError, OSError, ValueError) as error:
            raise _damaged(path, f"damaged tar ({error})") from None
        if member is None:
            return
        tar.members.clear()  # type: ignore[attr-defined]  # otherwise all headers stay in memory
        yield member


def _damaged(path: Path, message: str) -> FormatError:
    return FormatError(f"{message}: fetch it anew", path=path)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as file:
        file.write(content)


class _Slice:
    """A range of a file as a file: a tar within a tar."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        self._at = position + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at
