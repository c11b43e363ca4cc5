"""What the outputs of a network mean: their categories, the files and lists of keys that say so, their names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import DataNotFoundError, FormatError, ModelError, UnknownSynsetError
from mlimages.hierarchy import Hierarchy, class_list, load_hierarchy
from mlimages.hierarchy.text import read_utf8
from mlimages.hierarchy.wordnet.taxonomy import CLASS_LISTS
from mlimages.models.networks.card import ModelCard
from mlimages.storage.manifest import CATEGORIES

IMAGENET = "imagenet-1k"


class Outputs(NamedTuple):
    """The categories of a hierarchy that the outputs of a network stand for; other outputs are left out.

    `categories`, int32 [k], are indices into the hierarchy, each once; `classes`, int64 [m], the outputs that are kept;
    `columns`, int64 [m], for each of these its position in `categories`; several may share one.
    """

    categories: NDArray[np.int32]
    classes: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        hierarchy: Hierarchy,
        *,
        mapping: Mapping[str, int] | None = None,
        kept: Sequence[str] | None = None,
    ) -> Outputs:
        """Find the categories of classes.

        Parameters
        ----------
        classes : sequence of str
            The class of each output of the network.
        hierarchy : Hierarchy
        mapping : mapping of str to int, optional
            The category of each class; by default a class is the category with that key.
        kept : sequence of str, optional
            Keys of the categories to keep, which become `categories` in this order; by default all, by index.

        Raises
        ------
        ModelError
            If no class is a category, or a category to keep is not an output.
        """
        if mapping is None:
            mapping = {key: hierarchy.index(key) for key in classes if key in hierarchy}
        found = [mapping.get(key, -1) for key in classes]
        category_of = np.array(found, np.int64)
        if kept is None:
            categories = np.unique(category_of[category_of >= 0])
        else:
            categories = np.asarray(hierarchy.index(list(kept)), np.int64)
            there = set(found)
            lacking = [key for key, index in zip(kept, categories.tolist(), strict=True) if index not in there]
            if lacking:
                raise ModelError(
                    f"{len(lacking)} of {len(kept)} categories are no output of the network, "
                    f"the first is {lacking[0]!r}"
                )
        if not len(categories):
            raise ModelError(
                f"none of the {len(classes)} classes, such as {', '.join(map(repr, classes[:3]))}, is a category of "
                f"the hierarchy, which has {', '.join(map(repr, hierarchy.keys[:3]))}: give a mapping or another "
                "class file"
            )
        column_of = np.full(len(hierarchy), -1)
        column_of[categories] = np.arange(len(categories))
        columns = np.where(category_of >= 0, column_of[category_of], -1)
        chosen = np.flatnonzero(columns >= 0)
        return cls(categories.astype(np.int32), chosen, columns[chosen])


def table_hierarchy(table: str | os.PathLike[str]) -> Hierarchy:
    """The categories that a table was made with, from its ``categories.parquet``.

    Raises
    ------
    DataNotFoundError
        Where the table has none.
    FormatError
        If it differs from the one in the manifest.
    """
    path = Path(table) / CATEGORIES
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file; the table must have been made with a hierarchy")
    return load_hierarchy(path.parent)


def read_keys(name_or_path: str | os.PathLike[str]) -> list[str]:
    """Read the keys of an ImageNet class list, by its name, or of a file with one key per line.

    Parameters
    ----------
    name_or_path : str or path-like
        A class list such as ``imagenet-1k``, or a UTF-8 file; blank lines are skipped.

    Returns
    -------
    list of str
        In the order of the list or file.

    Raises
    ------
    FormatError
        For a file without keys or that is not UTF-8, a line with more than one key, and a repeated key.
    """
    if name_or_path in CLASS_LISTS:
        return class_list(str(name_or_path))
    return list(_lines_of_keys(name_or_path))


def read_category_keys(path: str | os.PathLike[str], hierarchy: Hierarchy) -> list[str]:
    """Read the keys of categories from a file, one per line.

    Raises
    ------
    FormatError
        As :func:`read_keys`, and for a key that the hierarchy does not have.
    """
    line_of = _lines_of_keys(path)
    unknown = [key for key in line_of if key not in hierarchy]
    if unknown:
        raise FormatError(
            f"found {unknown[0]!r}, expected a key of one of the {len(hierarchy)} categories"
            + (f"; {len(unknown) - 1} more are unknown" if len(unknown) > 1 else ""),
            path=path,
            line=line_of[unknown[0]],
        )
    return list(line_of)


def _lines_of_keys(path: str | os.PathLike[str]) -> dict[str, int]:
    """The keys of a file, in order, with the number of their lines, from 1."""
    line_of: dict[str, int] = {}
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        key = line.strip()
        if not key:
            continue
        if any(character in key for character in " \t,"):
            raise FormatError(
                f"found {key[:60]!r}, expected one key, such as n02084071 or /m/0bt9lr", path=path, line=number
            )
        if key in line_of:
            raise FormatError(f"found {key!r} again, first in line {line_of[key]}", path=path, line=number)
        line_of[key] = number
    if not line_of:
        raise FormatError("found no key, expected one a line, such as n02084071 or /m/0bt9lr", path=path)
    return line_of


def head_classes(outputs: int) -> list[str]:
    """The synset ids of the outputs of a network: the ImageNet class list with that number of `outputs`.

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


def outputs_of(card: ModelCard, hierarchy: Hierarchy) -> list[int]:
    """The category of each output of a network, an index into the hierarchy.

    Where the card names no categories, the number of outputs decides: they are all categories of the hierarchy, or
    ImageNet's classes for a softmax over 1,000.

    Raises
    ------
    ModelError
        For a category that the hierarchy does not have, and for a number of outputs that fits neither.
    """
    if card.categories:
        return indices_of(card.categories, hierarchy, what=f"{card.name} tells")
    if card.num_classes == len(hierarchy):
        return list(range(len(hierarchy)))
    if _tells_imagenet(card):
        return indices_of(class_list(IMAGENET), hierarchy, what=f"{card.name} tells")
    raise ModelError(
        f"{card.name} has {card.num_classes} outputs and does not say which categories they are, and the table has "
        f"{len(hierarchy)}: convert it with its hierarchy, as mlimages checkpoint convert --hierarchy does"
    )


def indices_of(keys: tuple[str, ...] | list[str], hierarchy: Hierarchy, *, what: str) -> list[int]:
    """The index of each key in the hierarchy.

    Raises
    ------
    ModelError
        For keys that the hierarchy does not have; the message begins with `what`.
    """
    missing = [key for key in keys if key not in hierarchy]
    if missing:
        raise ModelError(
            f"{what} {len(keys)} categories, and {len(missing)} of them are not among the {len(hierarchy)} of the "
            f"hierarchy: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
        )
    return [int(index) for index in hierarchy.index(list(keys))]


def output_hierarchy(card: ModelCard, hierarchy: Hierarchy) -> Hierarchy:
    """The hierarchy restricted to the outputs of a network, in their order."""
    outputs = outputs_of(card, hierarchy)
    return hierarchy if outputs == list(range(len(hierarchy))) else hierarchy.restrict(outputs)


def output_names(
    card: ModelCard, *, hierarchy: Hierarchy | None = None, dictionary: str | os.PathLike[str] | None = None
) -> list[str]:
    """A name for each output of a network.

    Parameters
    ----------
    card : ModelCard
    hierarchy : Hierarchy, optional
        Its first names are taken; without it, WordNet's where the keys are synset ids, the keys where they are not,
        and numbers where the card has no keys.
    dictionary : path-like, optional
        The published classifier's dictionary, which takes precedence: see :func:`read_dictionary_names`.

    Raises
    ------
    FormatError, ModelError
        For a dictionary of another format or number of names, and as :func:`outputs_of` for the hierarchy.
    """
    if dictionary is not None:
        names = read_dictionary_names(dictionary)
        if len(names) != card.num_classes:
            raise ModelError(
                f"{os.fspath(dictionary)}: names {len(names)} classes, and the model has {card.num_classes}"
            )
        return names
    if hierarchy is not None:
        return [hierarchy[index].name for index in outputs_of(card, hierarchy)]
    keys = list(card.categories) or (class_list(IMAGENET) if _tells_imagenet(card) else [])
    if not keys:
        return [str(index) for index in range(card.num_classes)]
    try:
        wordnet = Hierarchy.from_wordnet(keys)
    except UnknownSynsetError:  # categories of another kind
        return keys
    return [wordnet[key].name for key in keys]


def read_dictionary_names(path: str | os.PathLike[str]) -> list[str]:
    """Read the names in the dictionary of the published classifier, ``imagenet2012_dictionary.txt``.

    Each line holds an index, from 0, and the words of all names of that class, all separated by tabs. The file does not
    say where one name ends, so all words are joined into one.

    Raises
    ------
    FormatError
        For a line of another format.
    """
    names = []
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        index, *words = line.split("\t")
        if index != str(number - 1) or not any(words):
            raise FormatError(
                f"found {line[:60]!r}, expected the index {number - 1}, a tab and a name", path=path, line=number
            )
        names.append(" ".join(words).strip('" '))
    return names


def _tells_imagenet(card: ModelCard) -> bool:
    return card.activation == "softmax" and card.num_classes == 1000
