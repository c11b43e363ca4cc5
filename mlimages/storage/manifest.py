"""The manifest of a table: what it was made of and how, and every part with its hash."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlimages.storage.files import file_hash, replacing

if TYPE_CHECKING:
    pass


from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


from dataclasses import asdict
from datetime import UTC, datetime
from typing import cast

from mlimages.errors import FormatError, TableError

MANIFEST = "manifest.json"
JOB = "job.json"
CATEGORIES = "categories.parquet"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table.

    Parameters
    ----------
    file : str
        Its name, relative to the folder of the table.
    rows, bytes : int
        Images in it, and its size.
    xxh3_128 : str
        Hash of its content: what ``xxhsum -H2`` prints.
    """

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
    """All that ``manifest.json`` says.

    Parameters
    ----------
    metadata : dict
        What the schema metadata of every part says too: format version, hierarchy fingerprint, number of categories,
        propagation policy, mlimages version.
    options : dict
        How the input was read.
    inputs : list of Input
        What it was made of.
    parts : list of Part
        What there is, in order.
    counts : dict of str to int
        What happened: conflicts, quarantined rows and the like.
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
        """Write it at once. The manifest comes last: where it is, the table is complete."""
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
            Where the folder holds no table, or an unfinished one.
        FormatError
            Where the manifest is none, or of a newer version of mlimages.
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
        try:
            version = content["format_version"]
            if not isinstance(version, int) or version > FORMAT_VERSION:
                raise FormatError(
                    f"found format version {version}, and this mlimages reads up to {FORMAT_VERSION}: upgrade it",
                    path=path,
                )
            inputs = [Input(**each) for each in content["inputs"]]
            parts = [Part(**each) for each in content["parts"]]
            own = ("options", "rows", "bytes", "counts", "inputs", "parts")
            metadata = {key: value for key, value in content.items() if key not in own}
            return cls(metadata, content["options"], inputs, parts, content["counts"])
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"not the manifest of a table ({type(error).__name__}: {error})", path=path) from None


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    FormatError
        Where it holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not JSON ({error})", path=path, line=getattr(error, "lineno", None)) from None
    if not isinstance(content, dict):
        raise FormatError(f"found a JSON {type(content).__name__}, expected an object", path=path)
    return cast(dict[str, Any], content)


def verify_parts(folder: str | os.PathLike[str]) -> list[str]:
    """What of a table is not as its manifest says: a line for each missing, surplus or changed part; empty if none."""
    manifest = Manifest.read(folder)
    folder = Path(folder)
    problems = []
    for part in manifest.parts:
        path = folder / part.file
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif path.stat().st_size != part.bytes:
            problems.append(f"{path}: found {path.stat().st_size} bytes, expected {part.bytes}")
        elif file_hash(path) != part.xxh3_128:
            problems.append(f"{path}: the content was changed: its xxh3-128 hash is not {part.xxh3_128}")
    rules = manifest.metadata.get("rules")
    if rules is not None:
        path = folder / rules["file"]
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif file_hash(path) != rules["xxh3_128"]:
            problems.append(f"{path}: the content was changed: its xxh3-128 hash is not {rules['xxh3_128']}")
    known = {part.file for part in manifest.parts}
    surplus = sorted(path for path in folder.glob("part-*.parquet") if path.name not in known)
    return problems + [f"{path}: not in the manifest" for path in surplus]


#: Version of the table format; a reader refuses a greater one.
FORMAT_VERSION = 1


METADATA_KEY = b"mlimages"


def encode_metadata(metadata: dict[str, Any]) -> dict[bytes, bytes]:
    """As Arrow schema metadata: JSON under one key, keys sorted so that the bytes do not vary."""
    return {METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()}


def part_path(folder: Path, index: int) -> Path:
    """File of a part."""
    return folder / f"part-{index:05d}.parquet"
