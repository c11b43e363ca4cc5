"""Croissant metadata (MLCommons, version 1.0) of an annotation table: a description of its files and columns."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import TableError
from mlimages.storage.files import replacing
from mlimages.storage.manifest import CATEGORIES

#: The JSON-LD context that Croissant 1.0 prescribes.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_PARQUET = "application/x-parquet"
_CATEGORIES_ID = "categories-file"
_PARTS_ID = "parts"

# name, type, whether a list, what it is
_IMAGE_FIELDS = (
    ("image", "sc:Text", False, "File name, ImageNet id or URL of the image."),
    ("labels", "sc:Integer", True, "Indices of its categories."),
    ("confidences", "sc:Float", True, "Of each label: above 0 to 1, present; 0, verified absent."),
    (
        "origins",
        "sc:Integer",
        True,
        "Of each label why it is there: 0 given, 1 ancestor of another, 2 co-occurrence rule, 3 descendant of a "
        "verified absence, 4 teacher.",
    ),
)
_CATEGORY_FIELDS = (
    ("index", "sc:Integer", False, "Index of the category, which labels refer to."),
    ("key", "sc:Text", False, "Its key, such as a WordNet id."),
    ("names", "sc:Text", True, "Its names, the usual one first."),
    ("parents", "sc:Integer", True, "Indices of its parents, the main one first."),
)


def croissant_metadata(table: AnnotationTable, *, folder: Path | None = None) -> dict[str, Any]:
    """Describe a table in Croissant 1.0.

    Parameters
    ----------
    table : AnnotationTable
        The table. Its files are read once, since Croissant requires their SHA-256.
    folder : pathlib.Path, optional
        The folder that paths are relative to: that of the table, by default, or one above it.

    Returns
    -------
    dict
        JSON-LD with the record sets ``images`` and ``categories``, without licence, citation and address, which a table
        does not know.

    Raises
    ------
    TableError
        If a part is missing, or the table is not in the folder.
    """
    base = folder if folder is not None else table.folder
    names = [part.file for part in table.manifest.parts]
    files = [_file(table.folder / CATEGORIES, _CATEGORIES_ID, base), *(_file(table.folder / n, n, base) for n in names)]
    parts = {
        "@type": "cr:FileSet",
        "@id": _PARTS_ID,
        "name": _PARTS_ID,
        "description": "The parts of the table, in order.",
        "encodingFormat": _PARQUET,
        "includes": _relative(table.folder / "part-*.parquet", base),
    }
    metadata = table.manifest.metadata
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": table.folder.resolve().name,
        "description": (
            f"{len(table)} images annotated with {metadata['categories']} categories of a hierarchy, by mlimages "
            f"{metadata['mlimages_version']}. Hierarchy fingerprint {metadata['hierarchy_fingerprint']}."
        ),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "distribution": [*files, parts],
        "recordSet": [
            _record_set("images", _IMAGE_FIELDS, {"fileSet": {"@id": _PARTS_ID}}, key=None),
            _record_set("categories", _CATEGORY_FIELDS, {"fileObject": {"@id": _CATEGORIES_ID}}, key="index"),
        ],
    }


def write_croissant(table: AnnotationTable, path: Path) -> None:
    """Write :func:`croissant_metadata` as JSON; paths are relative to where it stands."""
    text = json.dumps(croissant_metadata(table, folder=path.parent), indent=2, ensure_ascii=False)
    with replacing(path) as file:
        file.write((text + "\n").encode())


def _file(path: Path, name: str, base: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise TableError(f"{path}: missing; mlimages verify checks all parts") from None
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": path.name,
        "contentUrl": _relative(path, base),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _PARQUET,
        "sha256": digest,
    }


def _relative(path: Path, base: Path) -> str:
    """A path as Croissant finds it: files that are no download must be in or below the folder of the metadata."""
    try:
        return path.resolve().relative_to(base.resolve()).as_posix()
    except ValueError:
        raise TableError(
            f"{base}: is neither the folder of the table nor above it: write Croissant metadata to "
            f"{path.parent / 'croissant.json'}"
        ) from None


def _record_set(
    name: str, fields: tuple[tuple[str, str, bool, str], ...], source: dict[str, Any], *, key: str | None
) -> dict[str, Any]:
    described = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "description": description,
            "dataType": kind,
            "source": {**source, "extract": {"column": column}},
            **({"repeated": True} if several else {}),
        }
        for column, kind, several, description in fields
    ]
    keyed = {} if key is None else {"key": {"@id": f"{name}/{key}"}}
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": described, **keyed}
