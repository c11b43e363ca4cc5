"""What the outputs of a network mean: files of class keys, the class lists of known heads, and their categories."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError, ModelError
from mlimages.hierarchy import Hierarchy, class_list
from mlimages.hierarchy.text import read_utf8
from mlimages.hierarchy.wordnet.taxonomy import CLASS_LISTS


class Outputs(NamedTuple):
    """Which categories a network's outputs are.

    Attributes
    ----------
    categories : int32 array [k]
        Indices into the hierarchy, each once.
    classes : int64 array [m]
        The outputs that are kept.
    columns : int64 array [m]
        For each, which of `categories` it is; several may be one.
    """

    categories: NDArray[np.int32]
    classes: NDArray[np.int64]
    columns: NDArray[np.int64]


def read_keys(path: str | os.PathLike[str]) -> list[str]:
    """Keys from a file, one a line; blank lines are passed over.

    Raises
    ------
    FormatError
        For a line with more than a key, a key that stands twice, and a file without any.
    """
    first: dict[str, int] = {}
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        key = line.strip()
        if not key:
            continue
        if any(character in key for character in " \t,"):
            raise FormatError(
                f"found {key[:60]!r}, expected one key, such as n02084071 or /m/0bt9lr", path=path, line=number
            )
        if key in first:
            raise FormatError(f"found {key!r} again, first in line {first[key]}", path=path, line=number)
        first[key] = number
    if not first:
        raise FormatError("found no key, expected one a line, such as n02084071 or /m/0bt9lr", path=path)
    return list(first)


def read_categories(path: str | os.PathLike[str], hierarchy: Hierarchy) -> list[str]:
    """Keys of categories from a file, one a line.

    Raises
    ------
    FormatError
        As :func:`read_keys`, and for a key that the hierarchy has not.
    """
    keys = read_keys(path)
    unknown = [key for key in keys if key not in hierarchy]
    if unknown:
        lines = [line.strip() for line in read_utf8(path).splitlines()]
        raise FormatError(
            f"found {unknown[0]!r}, expected a key of one of the {len(hierarchy)} categories"
            + (f"; {len(unknown) - 1} more are unknown" if len(unknown) > 1 else ""),
            path=path,
            line=lines.index(unknown[0]) + 1,
        )
    return keys


def head_classes(outputs: int) -> list[str]:
    """The synset ids of a head with so many outputs: those of the ImageNet class list of that size.

    Raises
    ------
    ModelError
        Where no class list has that size.
    """
    sizes = {len(class_list(name)): name for name in CLASS_LISTS}
    if outputs not in sizes:
        known = ", ".join(f"{size} ({name})" for size, name in sizes.items())
        raise ModelError(
            f"the network has {outputs} outputs, and the class lists that are known have {known}: give a class file"
        )
    return class_list(sizes[outputs])


def outputs_of(
    classes: Sequence[str],
    hierarchy: Hierarchy,
    *,
    mapping: Mapping[str, int] | None = None,
    kept: Sequence[str] | None = None,
) -> Outputs:
    """The categories that classes are; those that are none are left out.

    Parameters
    ----------
    classes : sequence of str
        What each output of the network is.
    hierarchy : Hierarchy
    mapping : mapping of str to int, optional
        The category of each class; by default a class is the category of that key.
    kept : sequence of str, optional
        Keys of the categories to keep, in the order that the outputs shall have; by default all, by index.

    Raises
    ------
    ModelError
        Where nothing is left, or a category to keep is no output.
    """
    found = [mapping.get(key, -1) if mapping is not None else _index(hierarchy, key) for key in classes]
    category_of = np.array(found, np.int64)
    if kept is None:
        categories = np.unique(category_of[category_of >= 0])
    else:
        categories = np.asarray(hierarchy.index(list(kept)), np.int64)
        there = set(found)
        lacking = [key for key, index in zip(kept, categories.tolist(), strict=True) if index not in there]
        if lacking:
            raise ModelError(
                f"{len(lacking)} of {len(kept)} categories are no output of the network, the first is {lacking[0]!r}"
            )
    if not len(categories):
        raise ModelError(
            f"none of the {len(classes)} classes, such as {', '.join(map(repr, classes[:3]))}, is a category of the "
            f"hierarchy, which has {', '.join(map(repr, hierarchy.keys[:3]))}: give a mapping or another class file"
        )
    column_of = np.full(len(hierarchy), -1)
    column_of[categories] = np.arange(len(categories))
    columns = np.where(category_of >= 0, column_of[category_of], -1)
    chosen = np.flatnonzero(columns >= 0)
    return Outputs(categories.astype(np.int32), chosen, columns[chosen])


def _index(hierarchy: Hierarchy, key: str) -> int:
    return hierarchy.index(key) if key in hierarchy else -1
