"""The categories that travel along with a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from mlimages.errors import FormatError, TableError
from mlimages.hierarchy import Hierarchy
from mlimages.storage.files import replacing
from mlimages.storage.manifest import CATEGORIES, MANIFEST, Manifest
from mlimages.storage.part import reading


def read_categories(folder: Path) -> Hierarchy:
    """Read the hierarchy of a table; a TableError if it has none, a FormatError if the file does not hold one."""
    path = folder / CATEGORIES
    if not path.is_file():
        raise TableError(f"{path}: missing, expected the categories of the table; mlimages verify checks all files")
    return Hierarchy.from_parquet(path)


def write_categories(folder: Path, hierarchy: Hierarchy) -> None:
    """Write the hierarchy of a table."""
    with replacing(folder / CATEGORIES) as file:
        hierarchy.to_parquet(file.name)


def stated_categories(folder: Path, manifest: Manifest) -> int:
    """The number of categories that the manifest of a table states.

    Raises
    ------
    FormatError
        If it is not a valid number of categories.
    TableError
        If ``categories.parquet`` exists and holds another number.
    """
    stated = manifest.metadata.get("categories")
    if type(stated) is not int or not 0 <= stated < 1 << 31:
        raise FormatError(
            f"found categories {stated!r}, expected how many there are: the manifest was changed or is not of a table",
            path=folder / MANIFEST,
        )
    path = folder / CATEGORIES
    if path.is_file():
        with reading(path):
            found = pq.read_metadata(path).num_rows
        if found != stated:
            raise TableError(
                f"{path}: found {found} categories, expected {stated} as {folder / MANIFEST} says; mlimages verify "
                "checks all files"
            )
    return stated


def problems_of_categories(folder: Path, manifest: Manifest) -> list[str]:
    """Problems with the categories of a table, one line each; empty if there are none."""
    stated = manifest.metadata.get("hierarchy_fingerprint")
    if stated is None:
        return []
    try:
        found = read_categories(folder).fingerprint
    except (TableError, FormatError) as error:
        return [str(error).partition("; mlimages verify")[0]]
    if found == stated:
        return []
    return [f"{folder / CATEGORIES}: found the hierarchy {found[:12]}..., expected {str(stated)[:12]}..."]
