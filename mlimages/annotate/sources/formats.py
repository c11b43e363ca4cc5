"""The source for each format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from mlimages.annotate.sources.imagelist import ImageList
from mlimages.annotate.sources.imagenet.lists import ImageNet
from mlimages.annotate.sources.imagenet.tree import ImageNetTree
from mlimages.annotate.sources.memory import MemorySource
from mlimages.annotate.sources.openimages.files import OpenImages
from mlimages.annotate.sources.source import Source
from mlimages.errors import MlimagesError
from mlimages.hierarchy import Hierarchy

Format = Literal["list", "imagenet", "open-images"]

#: The options of each format.
_OPTIONS = {
    "list": (),
    "imagenet": ("unmapped", "classes"),
    "open-images": ("mapping", "images_csv", "class_descriptions"),
}


def open_source(source: Any, hierarchy: Hierarchy, format: str, **options: Any) -> Source:  # noqa: A002
    """The source that reads files of a format, or labels in memory.

    Parameters
    ----------
    source : path-like, list of them, labels in memory, or Source
        What to read; a Source is returned as it is.
    hierarchy : Hierarchy
        The categories.
    format : {"list", "imagenet", "open-images"}
        The format of the files; ignored if `source` does not name files.
    **options
        More of the format.

    Raises
    ------
    MlimagesError
        For an unknown format, an option that the format does not have, and for a `source` of another type.
    """
    if isinstance(source, Source) or not _is_paths(source):
        if options:
            raise MlimagesError(f"{', '.join(options)}: no option of labels in memory")
        return source if isinstance(source, Source) else MemorySource(source, hierarchy)
    if format not in _OPTIONS:
        raise MlimagesError(f"unknown format {format!r}: expected list, imagenet or open-images")
    for name in options:
        if name not in _OPTIONS[format]:
            known = f", which has {', '.join(_OPTIONS[format])}" if _OPTIONS[format] else ""
            raise MlimagesError(f"{name}: no option of the format {format}{known}")
    if format == "list":
        return ImageList(source, hierarchy)
    if format == "open-images":
        return OpenImages(source, hierarchy, **options)
    return _open_imagenet(source, hierarchy, **options)


def _open_imagenet(source: Any, hierarchy: Hierarchy, **options: Any) -> Source:
    """A folder tree or lists; more than one tree would mix the names below different folders."""
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    folders = [path for path in paths if Path(path).is_dir()]
    if not folders:
        return ImageNet(paths, hierarchy, **options)
    if len(paths) > 1:
        raise MlimagesError(f"{os.fspath(folders[0])}: a folder is read alone: annotate each and merge the tables")
    if options.get("classes") is not None:
        raise MlimagesError("classes: no option of a folder, whose folders are synsets")
    return ImageNetTree(folders[0], hierarchy, unmapped=options.get("unmapped", "drop"))


def _is_paths(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) or (
        isinstance(source, list | tuple)
        and bool(source)
        and all(isinstance(each, str | os.PathLike) for each in source)
    )
