"""Definitions of hierarchies from WordNet 3.0: from synset ids, or from the ImageNet class lists.

The parent of a kept category is its nearest kept hypernym: the first that a breadth-first search up WordNet reaches,
with the hypernyms of a synset in the order of ``data.noun`` and instance hypernyms after hypernyms. That order decides
between two kept hypernyms at the same distance. The published hierarchy of ML-Images was linked by hand instead: of its
11,162 categories with a parent, this rule gives the published one for 10,214; for 11,035 if only the published parents
may be parents (`inner`); and then, with `multiple_parents`, the published parent is among the parents of 11,116. Other
orders of the hypernyms (ascending offset, alphabetical, reversed) change the first two counts by at most 31, so no such
rule explains the remaining ties. NLTK keeps hypernyms in sets, so a search with it depends on the run.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError, HierarchyError
from mlimages.hierarchy.csr import CSR, Int64Array
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.edit import restrict
from mlimages.hierarchy.relations import Relations
from mlimages.hierarchy.text import read_lines
from mlimages.hierarchy.wordnet.taxonomy import CLASS_LISTS, Taxonomy, taxonomy

#: The roots of the published hierarchy: thing, matter, object, atmospheric phenomenon.
PUBLISHED_ROOTS = ("n00002452", "n00020827", "n00002684", "n11425580")


def from_wordnet(
    keys: Iterable[str],
    *,
    inner: Iterable[str] | None = None,
    roots: Iterable[str] | None = None,
    multiple_parents: bool = False,
) -> Definition:
    """The definition of a hierarchy over WordNet synsets: the parent of a category is its nearest kept hypernym.

    Parameters
    ----------
    keys : iterable of str
        The ids of the synsets to keep, ``n`` and eight digits, in index order. Names are the lemmas.
    inner : iterable of str, optional
        Those of `keys` that may be parents. Default: all.
    roots : iterable of str, optional
        Synsets, kept or not, above which WordNet is cut off: a root has no hypernyms, and a synset below a root has
        only hypernyms that are roots or below one. A synset that is not below any root keeps all its hypernyms.
    multiple_parents : bool
        Keep every kept hypernym that some path up reaches before any other kept one, nearest first, instead of only
        the first. One of them may be above another along a longer path.

    Raises
    ------
    UnknownSynsetError
        For an id that is not in WordNet 3.0.
    HierarchyError
        For a repeated key, or an `inner` that is not among `keys`.

    Examples
    --------
    >>> from mlimages import Hierarchy
    >>> keys = ["n02084071", "n02083346", "n00015388", "n01317541"]  # dog, canine, animal, domestic animal
    >>> h = Hierarchy.from_wordnet(keys)
    >>> [h[i].name for i in h.ancestors("n02084071")]
    ['canine', 'animal']
    >>> h = Hierarchy.from_wordnet(keys, multiple_parents=True)
    >>> [h[i].name for i in h.parents("n02084071")]
    ['canine', 'domestic animal']
    """
    wordnet = taxonomy()
    keys = list(keys)
    kept = wordnet.positions(keys)
    nearer = kept
    if inner is not None:
        inner = list(inner)
        nearer = wordnet.positions(inner)
        outside = np.flatnonzero(~np.isin(nearer, kept))
        if len(outside):
            raise HierarchyError(f"inner names {inner[outside[0]]!r}, which is not among the {len(keys)} keys")
    hypernyms = wordnet.hypernyms if roots is None else _cut(wordnet, wordnet.positions(roots))
    parents = nearest_hypernyms(hypernyms, kept, nearer, every=multiple_parents)
    place = np.full(len(wordnet), -1, np.int64)
    place[kept] = np.arange(len(kept))
    rows = CSR(parents.indptr, place[parents.indices].astype(np.int32))
    return Definition.checked(keys, rows, wordnet.names(kept))


def nearest_hypernyms(hypernyms: CSR, starts: NDArray[Any], kept: NDArray[Any], *, every: bool) -> CSR:
    """The kept nodes that a breadth-first search up `hypernyms` reaches first, nearest first, from all starts at once.

    The search goes level by level, with the pairs (start, node) of a level in the order in which a queue would hold
    them; a path ends at the first of the nodes `kept`. The CSR [m] of m starts holds all nodes at which some path ends
    if `every`, otherwise only the first.
    """
    n = len(hypernyms)
    is_kept = np.zeros(n, bool)
    is_kept[kept] = True
    row, node = np.arange(len(starts), dtype=np.int64), np.asarray(starts, np.int64)
    rows, nodes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while len(row):
        positions, indptr = hypernyms.positions(node)
        row = np.repeat(row, np.diff(indptr))
        node = hypernyms.indices[positions].astype(np.int64)
        first = np.sort(np.unique(row * n + node, return_index=True)[1])  # where two paths meet, the first one counts
        row, node = row[first], node[first]
        ends = is_kept[node]
        rows.append(row[ends])
        nodes.append(node[ends])
        going = ~ends if every else ~np.isin(row, rows[-1])
        row, node = row[going], node[going]
    row, node = np.concatenate(rows), np.concatenate(nodes)
    first = np.sort(np.unique(row * n + node if every else row, return_index=True)[1])
    return CSR.from_pairs(row[first], node[first], length=len(starts))


def class_list(name: str) -> list[str]:
    """The synset ids of a class list, in class order: entry ``c`` is output ``c`` of a classifier trained on it.

    Parameters
    ----------
    name : str
        ``"imagenet-1k"`` (1,000 classes), ``"imagenet-11k"`` (11,221, the "21k-P" of Ridnik et al. 2021),
        ``"imagenet-12k"`` (11,821) or ``"imagenet-21k"`` (21,841), as timm numbers them.

    Raises
    ------
    HierarchyError
        For another name.

    Examples
    --------
    >>> class_list("imagenet-1k")[:2]
    ['n01440764', 'n01443537']
    """
    if name not in CLASS_LISTS:
        raise HierarchyError(f"unknown class list {name!r}: expected one of {', '.join(CLASS_LISTS)}")
    wordnet = taxonomy()
    return wordnet.keys(wordnet.classes[name])


def close_upwards(keys: Iterable[str], roots: Iterable[str] | None = None) -> list[str]:
    """Synset ids and all their hypernyms, instance hypernyms included.

    Parameters
    ----------
    keys : iterable of str
        Synset ids.
    roots : iterable of str, optional
        Keep only these synsets and what is below them, also of `keys`. Default: keep all.

    Returns
    -------
    list of str
        First `keys` in their order, without repetition; then the hypernyms that were added, by ascending id.

    Examples
    --------
    >>> close_upwards(["n02084071"], roots=["n01471682"])  # dog up to vertebrate
    ['n02084071', 'n01471682', 'n01861778', 'n01886756', 'n02075296', 'n02083346']
    """
    wordnet = taxonomy()
    given = wordnet.positions(keys)
    hypernyms, inside = wordnet.hypernyms, np.ones(len(wordnet), bool)
    if roots is not None:
        tops = wordnet.positions(roots)
        hypernyms, inside = _cut(wordnet, tops), _reach(wordnet.hypernyms.transposed(len(wordnet)), tops)
    given = given[inside[given]]
    given = given[np.sort(np.unique(given, return_index=True)[1])]
    above = _reach(hypernyms, given)
    above[given] = False
    return wordnet.keys(given) + wordnet.keys(np.flatnonzero(above))


def from_class_list(
    name: str, *, roots: Collection[str] | None = PUBLISHED_ROOTS, multiple_parents: bool = False
) -> Definition:
    """The definition of the hierarchy of an ImageNet class list: its classes and their ancestors.

    ``load_hierarchy(name)`` makes the hierarchy. Classes come first, in class order, then the inner categories by
    ascending id. With ``roots=None`` every class is kept, category ``c`` is class ``c``, and the root is entity. With
    roots, classes that are not below any of them are left out; :func:`class_list` then maps the outputs of a
    classifier: ``keys = class_list(name)``, ``kept = [c for c, key in enumerate(keys) if key in h]``, and output
    ``kept[j]`` is category ``j``.

    ============  =======  ===================  ==========  ===================
    name          classes  below the 4 roots    categories  with ``roots=None``
    ============  =======  ===================  ==========  ===================
    imagenet-1k     1,000  997                  1,791       1,808
    imagenet-11k   11,221  10,933               12,502      12,936
    imagenet-12k   11,821  11,529               13,102      13,540
    imagenet-21k   21,841  21,412               22,840      23,460
    ============  =======  ===================  ==========  ===================

    A root without any class below it is left out: of the four, imagenet-1k has only matter and object.

    With one parent per category, hypernyms that are above classes only along other paths (domestic animal, above the
    dogs) are left out, since no image could be labelled with them. With `multiple_parents` all hypernyms are included.

    Parameters
    ----------
    name : str
        See :func:`class_list`.
    roots : collection of str, optional
        Synsets without a parent; all other categories are below one of them. Default: the published four.
    multiple_parents : bool
        All hypernyms of a synset are its parents, instead of only the first.
    """
    keys = close_upwards(class_list(name), roots)
    definition = from_wordnet(keys, roots=roots, multiple_parents=multiple_parents)
    whole = Relations(definition)
    classes = whole.index([key for key in class_list(name) if key in whole])
    used = np.union1d(classes, whole.ancestors(classes).indices)
    return definition if len(used) == len(definition) else restrict(whole, used)


def _cut(wordnet: Taxonomy, roots: Int64Array) -> CSR:
    """The hypernyms, without those of a root and without edges from below a root to a synset that is not."""
    below = _reach(wordnet.hypernyms.transposed(len(wordnet)), roots)
    rows, above = wordnet.hypernyms.row_numbers, wordnet.hypernyms.indices
    keep = ~np.isin(rows, roots) & (~below[rows] | below[above])
    return CSR.from_pairs(rows[keep], above[keep], length=len(wordnet))


def _reach(edges: CSR, starts: NDArray[Any]) -> NDArray[np.bool_]:
    """Which nodes are among `starts` or reachable from them, bool [n]."""
    reached = np.zeros(len(edges), bool)
    layer = np.asarray(starts)
    while len(layer):
        reached[layer] = True
        layer = np.unique(edges.indices[edges.positions(layer)[0]])
        layer = layer[~reached[layer]]
    return reached


def read_synset_ids(data: bytes, *, path: str | os.PathLike[str], among: Collection[str] | None = None) -> list[str]:
    """Parse a text file of unique WordNet ids, one per line.

    Parameters
    ----------
    data : bytes
        The content of the file.
    path : path-like
        Its name, for error messages.
    among : collection of str, optional
        The allowed ids. Default: all.

    Raises
    ------
    FormatError
        For an id that is repeated, not in WordNet 3.0, or not in `among`; the message names the line.
    """
    lines = read_lines(data, path=path)
    known = taxonomy().find([key for _, key in lines]) >= 0
    line_of: dict[str, int] = {}
    for (line, key), is_known in zip(lines, known, strict=True):
        if not is_known:
            raise FormatError(
                f"unknown synset id {key[:40]!r}: expected a noun of WordNet 3.0 such as n02084071, one id a line",
                path=path,
                line=line,
            )
        if line_of.setdefault(key, line) != line:
            raise FormatError(f"duplicate synset id {key!r}, first on line {line_of[key]}", path=path, line=line)
        if among is not None and key not in among:
            raise FormatError(f"{key!r} is not among the keys to build from: add it there", path=path, line=line)
    return list(line_of)
