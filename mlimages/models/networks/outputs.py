"""Which categories the outputs of a network are, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

from mlimages.errors import DataNotFoundError, FormatError, ModelError, UnknownSynsetError
from mlimages.hierarchy import Hierarchy
from mlimages.hierarchy.text import read_utf8
from mlimages.hierarchy.wordnet.synsets import class_list
from mlimages.hierarchy.wordnet.taxonomy import CLASS_LISTS
from mlimages.models.networks import classes
from mlimages.models.networks.card import ModelCard
from mlimages.storage.manifest import CATEGORIES

IMAGENET = "imagenet-1k"


def table_hierarchy(table: str | os.PathLike[str]) -> Hierarchy:
    """The categories that a table carries along.

    Raises
    ------
    DataNotFoundError
        Where it has none.
    """
    path = Path(table) / CATEGORIES
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file; the table must have been made with a hierarchy")
    return Hierarchy.from_parquet(path)


def read_keys(name_or_path: str) -> list[str]:
    """The keys of a class list of ImageNet, by name, or of a file with one a line; in the order of the outputs.

    Raises
    ------
    FormatError
        For a file without any, one that is no text, and a key that stands twice.
    """
    if name_or_path in CLASS_LISTS:
        return class_list(name_or_path)
    return classes.read_keys(name_or_path)


def outputs_of(card: ModelCard, hierarchy: Hierarchy) -> list[int]:
    """The category of each output of a network.

    A network that does not know its categories is taken at its number of outputs: all categories of the hierarchy, or
    the 1,000 classes of ImageNet where it tells one of so many.

    Raises
    ------
    ModelError
        Where a category is missing in the hierarchy, or the number is another.
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
    """The indices of all keys, or a ModelError that says which are missing."""
    missing = [key for key in keys if key not in hierarchy]
    if missing:
        raise ModelError(
            f"{what} {len(keys)} categories, and {len(missing)} of them are not among the {len(hierarchy)} of the "
            f"hierarchy: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
        )
    return [int(index) for index in hierarchy.index(list(keys))]


def output_hierarchy(card: ModelCard, hierarchy: Hierarchy) -> Hierarchy:
    """The hierarchy of the outputs alone, in their order."""
    outputs = outputs_of(card, hierarchy)
    return hierarchy if outputs == list(range(len(hierarchy))) else hierarchy.restrict(outputs)


def output_names(
    card: ModelCard, *, hierarchy: Hierarchy | None = None, dictionary: str | os.PathLike[str] | None = None
) -> list[str]:
    """A name for each output.

    Parameters
    ----------
    card : ModelCard
    hierarchy : Hierarchy, optional
        Whose first names are taken; otherwise WordNet's where the keys are synset ids, else the keys.
    dictionary : path-like, optional
        The published classifier's, which wins: see :func:`read_dictionary_names`.

    Raises
    ------
    ModelError
        For another number of names, or where nothing is known of the outputs.
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
    """Names from the dictionary of the published classifier, ``imagenet2012_dictionary.txt``.

    Each line is an index, from 0, and the words of all names of that class, everything separated by tabs; where a name
    ends is not told, so that the words come joined.

    Raises
    ------
    FormatError
        For a line of another form.
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
