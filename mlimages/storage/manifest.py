"""The manifest of a table: its inputs and options, and every part with its hash."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, cast

from mlimages.errors import FormatError, TableError
from mlimages.storage.files import replacing

MANIFEST = "manifest.json"
JOB = "job.json"
CATEGORIES = "categories.parquet"

_PART: Mapping[str, type | UnionType] = {"file": str, "rows": int, "bytes": int, "xxh3_128": str}
_INPUT: Mapping[str, type | UnionType] = {"path": str, "bytes": int, "modified": str, "xxh3_128": str | None}


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table: its name relative to the folder, its images, its size, and what ``xxhsum -H2`` prints."""

    file: str
    rows: int
    bytes: int
    xxh3_128: str


@dataclass(frozen=True, slots=True)
class Input:
    """A file that a table was made of.

    Parameters
    ----------
    path : str
        As it was given.
    bytes : int
        Its size.
    modified : str
        When it was last changed, UTC, ISO 8601.
    xxh3_128 : str or None
        Hash of its content; None in the state of an unfinished job.
    """

    path: str
    bytes: int
    modified: str
    xxh3_128: str | None

    @classmethod
    def of(cls, path: Path, *, xxh3_128: str | None = None) -> Input:
        """Describe a file as it is now."""
        status = path.stat()
        seconds, fraction = divmod(status.st_mtime_ns, 10**9)
        modified = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
        return cls(os.fspath(path), status.st_size, modified, xxh3_128)

    def is_same(self, other: Input) -> bool:
        """Whether both describe the same content: by their hashes where both are known, otherwise by time and size."""
        if self.xxh3_128 is not None and other.xxh3_128 is not None:
            return self.xxh3_128 == other.xxh3_128
        return (self.bytes, self.modified) == (other.bytes, other.modified)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json``.

    Parameters
    ----------
    metadata : dict
        Also in the schema metadata of every part: format version, hierarchy fingerprint, number of categories,
        propagation policy, mlimages version.
    options : dict
        How the input was read.
    inputs : list of Input
        The input files.
    parts : list of Part
        The parts, in order.
    counts : dict of str to int
        Events such as conflicts and quarantined rows.
    """

    metadata: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Images in the table."""
        return sum(part.rows for part in self.parts)

    def write(self, path: Path) -> None:
        """Write it atomically. The manifest is written last: if it exists, the table is complete."""
        content = {
            **self.metadata,
            "options": self.options,
            "rows": self.rows,
            "bytes": sum(part.bytes for part in self.parts),
            "counts": dict(sorted(self.counts.items())),
            "inputs": [asdict(each) for each in self.inputs],
            "parts": [asdict(part) for part in self.parts],
        }
        with replacing(path) as file:
            file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Manifest:
        """Read the manifest of a table.

        Raises
        ------
        TableError
            If the folder holds no table, or an unfinished one.
        FormatError
            If the file is not a manifest, or is one of a newer version of mlimages.
        """
        path = Path(folder) / MANIFEST
        if not path.is_file():
            if not Path(folder).exists():
                raise TableError(f"{os.fspath(folder)}: no such folder")
            if any(Path(folder).glob("*.parquet")):
                raise TableError(f"{os.fspath(folder)}: the table is unfinished: run the command again with --resume")
            raise TableError(f"{os.fspath(folder)}: found no {MANIFEST}, expected an annotation table")
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a file that :meth:`write` wrote; see :meth:`read`."""
        content = _read_json(path)
        check_keys(content, {"format_version": int}, path)
        version = content["format_version"]
        if version < 1:
            raise FormatError(f"found format version {version}, expected 1 to {FORMAT_VERSION}", path=path)
        if version > FORMAT_VERSION:
            raise FormatError(
                f"found format version {version}, and this mlimages reads up to {FORMAT_VERSION}: upgrade it", path=path
            )
        check_keys(content, {"options": dict, "inputs": list, "parts": list, "counts": dict}, path)
        for name, count in content["counts"].items():
            check_type(count, int, f"counts.{name}", path)
        inputs = [Input(**_record(each, _INPUT, f"inputs[{i}]", path)) for i, each in enumerate(content["inputs"])]
        parts = [Part(**_record(each, _PART, f"parts[{i}]", path)) for i, each in enumerate(content["parts"])]
        own = ("options", "rows", "bytes", "counts", "inputs", "parts")
        metadata = {key: value for key, value in content.items() if key not in own}
        found = cls(metadata, content["options"], inputs, parts, content["counts"])
        found._check_parts(content, path)
        return found

    def _check_parts(self, content: dict[str, Any], path: Path) -> None:
        """Raise a FormatError if a part is outside the folder or named twice, or sums differ from the totals."""
        names: set[str] = set()
        for part in self.parts:
            place = PurePath(part.file)
            if not place.name or place.is_absolute() or ".." in place.parts or not part.file.isprintable():
                raise FormatError(f"found the part {part.file!r}, expected a file of this folder", path=path)
            if part.file in names:
                raise FormatError(f"found the part {part.file!r} twice, expected each once", path=path)
            names.add(part.file)
            for name, number in (("rows", part.rows), ("bytes", part.bytes)):
                if not 0 <= number < 1 << 48:
                    raise FormatError(
                        f"found {number} {name} for the part {part.file!r}, expected 0 or more", path=path
                    )
        for name, total in (("rows", self.rows), ("bytes", sum(part.bytes for part in self.parts))):
            if content.get(name, total) != total:
                found = f"found {name} {content[name]!r}, and its parts together have {total}"
                raise FormatError(f"{found}: parts are missing or surplus", path=path)


def check_keys(content: Mapping[str, Any], expected: Mapping[str, type | UnionType], path: Path) -> None:
    """Raise a FormatError where an object of a manifest lacks one of these keys, or holds another type there."""
    for name, kind in expected.items():
        if name not in content:
            raise FormatError(f"not the manifest of a table (KeyError: {name!r})", path=path)
        check_type(content[name], kind, name, path)


def check_type(value: Any, kind: type | UnionType, name: str, path: Path) -> None:
    """Raise a FormatError for a value of another type; true and false are no numbers."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        shown = json.dumps(value, ensure_ascii=False)
        raise FormatError(
            f"not the manifest of a table: found {name} {shown if len(shown) <= 40 else shown[:37] + '...'}, expected "
            f"{_type_name(kind)}",
            path=path,
        )


def _type_name(kind: type | UnionType) -> str:
    names: dict[Any, str] = {
        dict: "an object",
        list: "a list",
        str: "text",
        int: "a whole number",
        float: "a number",
        NoneType: "null",
    }
    return " or ".join(names[each] for each in getattr(kind, "__args__", (kind,)))


def _record(stored: Any, expected: Mapping[str, type | UnionType], name: str, path: Path) -> dict[str, Any]:
    """An entry of a list of the manifest with these fields, each of its type, and no others."""
    check_type(stored, dict, name, path)
    for key in sorted(expected.keys() ^ stored.keys()):
        what = "lacks" if key in expected else "has"
        raise FormatError(f"not the manifest of a table: {name} {what} {key!r}", path=path)
    for key, kind in expected.items():
        check_type(stored[key], kind, f"{name}.{key}", path)
    return cast(dict[str, Any], stored)


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; a FormatError if it holds something else."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits are ValueErrors
        raise FormatError(f"not JSON ({error})", path=path, line=getattr(error, "lineno", None)) from None
    if not isinstance(content, dict):
        raise FormatError(f"found a JSON {type(content).__name__}, expected an object", path=path)
    return cast(dict[str, Any], content)


#: Version of the table format; a reader refuses a greater one.
FORMAT_VERSION = 1


METADATA_KEY = b"mlimages"


def encode_metadata(metadata: dict[str, Any]) -> dict[bytes, bytes]:
    """As Arrow schema metadata: JSON under one key, keys sorted so that the bytes do not vary."""
    return {METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()}


def stated_rules(manifest: Manifest, path: Path) -> dict[str, Any] | None:
    """The rules in the manifest of a table, checked; None if there were none."""
    rules: dict[str, Any] | None = manifest.metadata.get("rules")
    if rules is not None:
        check_type(rules, dict, "rules", path)
        check_keys(rules, {"file": str, "xxh3_128": str, "confidence": str}, path)
    return rules


def part_path(folder: Path, index: int) -> Path:
    """File of a part."""
    return folder / f"part-{index:05d}.parquet"
