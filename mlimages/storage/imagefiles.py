"""Files of images: their formats, the suffixes of their names, and the file of a named image in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

from mlimages.errors import MlimagesError

#: Formats that are decoded, by the name that Pillow gives them, and the suffixes of their files. A file that is written
#: gets the first. Pillow's other plug-ins are not used: some run external programs, and few are well maintained.
FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
#: Suffixes, in lower case, of the files of a folder that are images; upper case counts as well.
SUFFIXES = tuple(chain.from_iterable(FORMATS.values()))
_SPELLINGS = tuple(spelling for suffix in SUFFIXES for spelling in (suffix, suffix.upper()))


def image_names(folder: Path) -> Iterator[str]:
    """Names of the images below a folder, relative to it: a folder's files in order, then those of its subfolders.

    Images are the files with one of the :data:`SUFFIXES`. Symbolic links to folders are not followed, and names that
    begin with a dot are left out.

    Raises
    ------
    MlimagesError
        Where there is no such folder.
    """
    if not folder.is_dir():
        raise MlimagesError(f"{folder}: no such folder")
    yield from _names_below(os.fspath(folder), "")


def _names_below(path: str, prefix: str) -> Iterator[str]:
    with os.scandir(path) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        if entry.name.lower().endswith(SUFFIXES) and entry.is_file():
            yield prefix + entry.name
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            yield from _names_below(entry.path, f"{prefix}{entry.name}/")


def image_path(folder: Path, name: str) -> Path:
    """The path of an image's name below a folder.

    Raises
    ------
    MlimagesError
        Where the name leads out of the folder.

    Examples
    --------
    >>> image_path(Path("images"), "n04310904/n04310904_8388.JPEG").as_posix()
    'images/n04310904/n04310904_8388.JPEG'
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise MlimagesError(f"found the image name {name!r}, expected the name of a file below {folder}")
    return folder / path


def image_file(folder: Path, name: str) -> Path:
    """The file of an image; a name without a suffix, such as an id of Open Images, may have any of the `SUFFIXES`.

    Where there is no such file, the path without a suffix is returned.

    Raises
    ------
    MlimagesError
        Where the name leads out of the folder.
    """
    path = image_path(folder, name)
    if path.suffix or path.is_file():
        return path
    return next((each for each in (path.with_suffix(suffix) for suffix in _SPELLINGS) if each.is_file()), path)


def image_bytes(folder: Path, name: str) -> bytes:
    """The content of :func:`image_file`.

    Raises
    ------
    MlimagesError
        Where the name leads out of the folder.
    OSError
        Where there is no such file, or it cannot be read.
    """
    return image_file(folder, name).read_bytes()
