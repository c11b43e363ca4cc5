"""Hierarchies by name or by path."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection
from pathlib import Path

from mlimages.errors import DataNotFoundError, FormatError, HierarchyError
from mlimages.hierarchy.formats.edges import read_edges
from mlimages.hierarchy.hierarchy import Hierarchy
from mlimages.hierarchy.wordnet.synsets import PUBLISHED_ROOTS, from_class_list
from mlimages.hierarchy.wordnet.taxonomy import CLASS_LISTS

ML_IMAGES = "ml-images"
#: Every name that `load_hierarchy` knows.
NAMES = (*CLASS_LISTS, ML_IMAGES)

DICTIONARY_FILE = "dictionary_and_semantic_hierarchy.txt"
DICTIONARY_URL = f"https://raw.githubusercontent.com/Tencent/tencent-ml-images/master/data/{DICTIONARY_FILE}"
DICTIONARY_SHA256 = "4271c1bd49405c1453021a38039343bd810d8dc3a0fab23941fb286d528d45ce"
DATA_VARIABLE = "MLIMAGES_DATA"
_TIMEOUT = 20  # seconds without an answer


def load_hierarchy(
    name_or_path: str | os.PathLike[str],
    *,
    roots: Collection[str] | None = PUBLISHED_ROOTS,
    multiple_parents: bool = False,
) -> Hierarchy:
    """Load a hierarchy by name or by path.

    ============================  ==================================================================================
    name or path                  hierarchy
    ============================  ==================================================================================
    ``imagenet-1k``, ``-11k``,    an ImageNet class list and its hypernyms, from the embedded WordNet; see
    ``-12k``, ``-21k``            :func:`mlimages.hierarchy.wordnet.synsets.from_class_list`
    ``ml-images``                 the 11,166 published categories; see :func:`ml_images_file`
    ``*.parquet``                 what :meth:`Hierarchy.to_parquet` wrote
    ``*.json``                    the hierarchy file of Open Images
    ``*.csv``, ``*.tsv``          edges, with the header ``parent,child``
    a folder                      the categories of an annotation table
    any other file                a dictionary in the published four columns
    ============================  ==================================================================================

    Names take precedence over files; ``./ml-images`` is the file.

    Parameters
    ----------
    name_or_path : str or path-like
        See above.
    roots : collection of str, optional
        For the ImageNet class lists: the synsets at which WordNet is cut off, None for all of WordNet.
    multiple_parents : bool
        For the ImageNet class lists: all hypernyms of a synset are its parents, instead of only the first.

    Returns
    -------
    Hierarchy

    Raises
    ------
    DataNotFoundError
        If there is neither such a name nor such a file, or ``ml-images`` is not available and cannot be downloaded.
    FormatError
        If the file is not in the format that its name indicates.
    HierarchyError
        For an option that does not apply.

    Examples
    --------
    >>> load_hierarchy("imagenet-1k")["n02084071"].name
    'dog'
    """
    if isinstance(name_or_path, str) and name_or_path in CLASS_LISTS:
        definition = from_class_list(name_or_path, roots=roots, multiple_parents=multiple_parents)
        return Hierarchy.from_definition(definition)
    if roots is not PUBLISHED_ROOTS or multiple_parents:
        option = "multiple_parents" if multiple_parents else "roots"
        raise HierarchyError(
            f"{os.fspath(name_or_path)}: the option {option} does not apply: it builds a hierarchy out of WordNet, for "
            f"{', '.join(CLASS_LISTS)}"
        )
    if name_or_path == ML_IMAGES:
        return Hierarchy.from_dictionary(ml_images_file())
    path = Path(name_or_path)
    if path.is_dir():
        return _from_folder(path)
    if not path.exists():
        raise DataNotFoundError(
            f"{path}: no such file, and no hierarchy of that name: the names are {', '.join(NAMES)}"
        )
    return _from_file(path)


def _from_folder(path: Path) -> Hierarchy:
    categories = path / "categories.parquet"
    if not categories.is_file():
        raise FormatError("the folder has no categories.parquet: it is no annotation table", path=path)
    hierarchy = Hierarchy.from_parquet(categories)
    stated = _stated_fingerprint(path / "manifest.json")
    if stated is not None and stated != hierarchy.fingerprint:
        raise FormatError(
            f"found the hierarchy {hierarchy.fingerprint[:12]}..., expected {str(stated)[:12]}... as manifest.json "
            "beside it says: the file is of another table",
            path=categories,
        )
    return hierarchy


def _stated_fingerprint(manifest: Path) -> object:
    """The hierarchy metadata in the manifest of a table; None if there is no manifest, or it has none."""
    if not manifest.is_file():
        return None
    try:
        content = json.loads(manifest.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON ({error})", path=manifest) from None
    return content.get("hierarchy_fingerprint") if isinstance(content, dict) else None


def _from_file(path: Path) -> Hierarchy:
    ending = path.suffix.lower()
    if ending == ".parquet":
        return Hierarchy.from_parquet(path)
    if ending == ".json":
        return Hierarchy.from_open_images(path)
    if ending in (".csv", ".tsv"):
        return Hierarchy.from_definition(read_edges(path))
    return Hierarchy.from_dictionary(path)


def ml_images_file() -> Path:
    """The path of the published dictionary of ML-Images, which is not part of this package.

    It is searched for in the folder that the environment variable ``MLIMAGES_DATA`` names, then in the user's cache,
    and downloaded into the cache otherwise. Its SHA-256 is always checked: the name ``ml-images`` means the published
    file. Load a modified copy by its path.

    Raises
    ------
    FormatError
        If the file in ``MLIMAGES_DATA`` is not the published one.
    DataNotFoundError
        If it cannot be downloaded.
    """
    folder = os.environ.get(DATA_VARIABLE)
    if folder and (given := Path(folder) / DICTIONARY_FILE).is_file():
        found = hashlib.sha256(given.read_bytes()).hexdigest()
        if found != DICTIONARY_SHA256:
            raise FormatError(
                f"not the published dictionary (SHA-256 {found[:12]}..., expected {DICTIONARY_SHA256[:12]}...): load a "
                f"changed one by its path, or take {DICTIONARY_URL}",
                path=given,
            )
        return given
    import pooch

    cache = pooch.os_cache("mlimages")
    logger = pooch.get_logger()
    level = logger.level
    try:
        logger.setLevel(logging.WARNING)  # it logs every download
        return Path(
            pooch.retrieve(
                DICTIONARY_URL,
                known_hash=f"sha256:{DICTIONARY_SHA256}",
                fname=DICTIONARY_FILE,
                path=cache,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),
            )
        )
    except (OSError, ValueError) as error:  # no network, no place to write, or wrong content
        given_folder = (
            f"the folder {DATA_VARIABLE} names ({folder})" if folder else f"a folder that {DATA_VARIABLE} names"
        )
        raise DataNotFoundError(
            f"{DICTIONARY_FILE} is neither in {given_folder} nor in {cache}, and fetching it failed "
            f"({_reason(error)}): download {DICTIONARY_URL} and set {DATA_VARIABLE} to its folder"
        ) from None
    finally:
        logger.setLevel(level)


def _reason(error: OSError | ValueError) -> str:
    """A short reason, where the underlying libraries give a paragraph."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        error.response.close()  # pooch leaves the connection open
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.RequestException):
        return f"no connection, {type(error).__name__}"
    if isinstance(error, OSError):
        return (error.strerror or " ".join(str(error).split()) or type(error).__name__).lower()
    return "the file at that address is not the published one, by its SHA-256"
