"""Hierarchies out of WordNet 3.0: from synset ids, from the ImageNet class lists; and the bridge to NLTK.

A kept category's parent is its nearest kept hypernym: the first that a walk up WordNet meets, breadth first, the
hypernyms of a synset in the order of ``data.noun``, instance hypernyms after hypernyms. Where two kept hypernyms are
equally near, WordNet's order decides. The published hierarchy of ML-Images was tied by hand instead: of its 11,162
categories with a parent this rule gives the published one for 10,214; for 11,035 where only the published parents may
be parents (`inner`); and then, with `multiple_parents`, the published parent is among the parents of 11,116. Other
orders of the hypernyms (ascending offset, alphabetical, reversed) move the first two counts by 31 at most, so the ties
that are left follow no such rule. NLTK keeps hypernyms in sets: a walk through it counts otherwise from run to run.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import DataNotFoundError, FormatError, HierarchyError, MlimagesError
from mlimages.hierarchy.csr import CSR, Int64Array
from mlimages.hierarchy.hierarchy import Hierarchy
from mlimages.hierarchy.text import read_lines
from mlimages.hierarchy.wordnet.taxonomy import CLASS_LISTS, Taxonomy, taxonomy

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import Synset

#: The roots of the published hierarchy: thing, matter, object, atmospheric phenomenon.
PUBLISHED_ROOTS = ("n00002452", "n00020827", "n00002684", "n11425580")


def from_wordnet(
    keys: Iterable[str],
    *,
    inner: Iterable[str] | None = None,
    roots: Iterable[str] | None = None,
    multiple_parents: bool = False,
) -> Hierarchy:
    """Build a hierarchy over WordNet synsets; a category's parent is its nearest kept hypernym.

    Parameters
    ----------
    keys : iterable of str
        The ids of the synsets to keep, ``n`` and eight digits; index order is their order. Names are the lemmas.
    inner : iterable of str, optional
        Those of `keys` that may be parents; all where not given.
    roots : iterable of str, optional
        Synsets, kept or not, above which WordNet is cut off: a root has no hypernyms, and a synset below a root has
        only those that are below a root or one themselves. What is not below any root keeps all its hypernyms.
    multiple_parents : bool
        Keep every kept hypernym that some way up meets before any other kept one, nearest first, instead of the
        first only. One of them may be above another, by a longer way.

    Raises
    ------
    UnknownSynsetError
        For an id that WordNet 3.0 has not.
    HierarchyError
        For a key given twice, or an `inner` that is not among `keys`.

    Examples
    --------
    >>> h = from_wordnet(["n02084071", "n02083346", "n00015388", "n01317541"])  # dog, canine, animal, domestic animal
    >>> [h[i].name for i in h.ancestors("n02084071")]
    ['canine', 'animal']
    >>> h = from_wordnet(h.keys, multiple_parents=True)
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
    return Hierarchy(keys, CSR(parents.indptr, place[parents.indices].astype(np.int32)), wordnet.names(kept))


def nearest_hypernyms(hypernyms: CSR, starts: NDArray[Any], kept: NDArray[Any], *, every: bool) -> CSR:
    """The kept nodes that a walk up meets first, nearest first, from all starts at once.

    Breadth first, level by level: the pairs (start, node) of a level stand in the order in which a queue would
    hold them, and a way up ends where it meets a kept node.

    Parameters
    ----------
    hypernyms : CSR [n]
        The graph, upwards.
    starts : int array [m]
        Where the walks begin.
    kept : int array
        Nodes at which a way up ends.
    every : bool
        All that some way up ends at; else the first only, and the walk with it.

    Returns
    -------
    CSR [m]
        Nodes.
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
        first = np.sort(np.unique(row * n + node, return_index=True)[1])  # two ways may meet: the first counts
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
    """The synset ids of a class list, in class order: entry ``c`` is class ``c`` of a head trained on it.

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
        Where given, only what is one of these or below one is kept, of `keys` too.

    Returns
    -------
    list of str
        `keys` first, in their order, each once; then what was added, by ascending id.

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


def imagenet_hierarchy(
    name: str, *, roots: Collection[str] | None = PUBLISHED_ROOTS, multiple_parents: bool = False
) -> Hierarchy:
    """The hierarchy of an ImageNet class list: its classes and their ancestors.

    Classes come first, in class order, then the inner categories by ascending id. With ``roots=None`` every class is
    kept, category ``c`` is class ``c``, and everything ends at entity. With roots, the classes that are not below any
    are left out; :func:`class_list` maps a head's outputs then: ``keys = class_list(name)``,
    ``kept = [c for c, key in enumerate(keys) if key in h]``, and output ``kept[j]`` is category ``j``.

    ============  =======  ===================  ==========  ===================
    name          classes  below the 4 roots    categories  with ``roots=None``
    ============  =======  ===================  ==========  ===================
    imagenet-1k     1,000  997                  1,791       1,808
    imagenet-11k   11,221  10,933               12,502      12,936
    imagenet-12k   11,821  11,529               13,102      13,540
    imagenet-21k   21,841  21,412               22,840      23,460
    ============  =======  ===================  ==========  ===================

    A root below which no class lies is left out: of the four, imagenet-1k has matter and object only.

    With one parent each, hypernyms that lie above classes only by a second way (domestic animal, above the dogs) are
    left out: no image could ever carry them. With `multiple_parents` all hypernyms are there.

    Parameters
    ----------
    name : str
        See :func:`class_list`.
    roots : collection of str, optional
        Synsets that shall have no parent; all else is below one of them. By default the published four.
    multiple_parents : bool
        All hypernyms of a synset are its parents, not the first only.
    """
    keys = close_upwards(class_list(name), roots)
    hierarchy = from_wordnet(keys, roots=roots, multiple_parents=multiple_parents)
    classes = hierarchy.index([key for key in class_list(name) if key in hierarchy])
    used = np.union1d(classes, hierarchy.ancestors(classes).indices)
    return hierarchy if len(used) == len(hierarchy) else hierarchy.restrict(used)


def _cut(wordnet: Taxonomy, roots: Int64Array) -> CSR:
    """The hypernyms without those of a root, and without those that lead from below a root elsewhere."""
    below = _reach(wordnet.hypernyms.transposed(len(wordnet)), roots)
    rows, above = wordnet.hypernyms.row_numbers, wordnet.hypernyms.indices
    keep = ~np.isin(rows, roots) & (~below[rows] | below[above])
    return CSR.from_pairs(rows[keep], above[keep], length=len(wordnet))


def _reach(edges: CSR, starts: NDArray[Any]) -> NDArray[np.bool_]:
    """Which nodes, bool [n], are among `starts` or can be reached from them."""
    reached = np.zeros(len(edges), bool)
    layer = np.asarray(starts)
    while len(layer):
        reached[layer] = True
        layer = np.unique(edges.indices[edges.positions(layer)[0]])
        layer = layer[~reached[layer]]
    return reached


def nltk_synset(key: str) -> Synset:
    """NLTK's ``Synset`` of a synset id, from the user's WordNet corpus.

    Raises
    ------
    UnknownSynsetError
        For an id that WordNet 3.0 has not.
    DataNotFoundError
        Where NLTK finds no WordNet corpus, or an incomplete one.
    MlimagesError
        Where the corpus is not WordNet 3.0, or damaged, so that the id means another synset there or none.
    """
    embedded = taxonomy()
    names = embedded.names(embedded.positions([key]))[0]
    from nltk.corpus import wordnet as corpus
    from nltk.corpus.reader.wordnet import WordNetError

    install = "run python -m nltk.downloader wordnet"
    try:
        corpus.ensure_loaded()
        version = corpus.get_version()
    except LookupError:
        raise DataNotFoundError(f"NLTK finds no WordNet corpus, which holds the glosses: {install}") from None
    except (OSError, WordNetError) as error:
        raise DataNotFoundError(f"NLTK's WordNet corpus is incomplete ({error}): {install}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NLTK warns and returns None where an offset leads nowhere
            synset = corpus.synset_from_pos_and_offset("n", int(key[1:]))
    except (LookupError, ValueError, WordNetError):  # or fails on what stands there
        synset = None
    found = synset and tuple(name.replace("_", " ") for name in synset.lemma_names())
    if found != names:
        there = ", ".join(found) if found else "no synset"
        raise MlimagesError(
            f"NLTK's WordNet corpus (version {version}) has {there} at {key}, expected {', '.join(names)}: "
            f"it is not WordNet 3.0, or its line ends are not LF; {install}"
        )
    return synset


def read_synset_ids(data: bytes, *, path: str | os.PathLike[str], among: Collection[str] | None = None) -> list[str]:
    """WordNet ids, one a line, each once.

    Parameters
    ----------
    data : bytes
        The content of the file.
    path : path-like
        Its name, for errors.
    among : collection of str, optional
        What the ids must be among.

    Raises
    ------
    FormatError
        With the line, for an id that stands twice, that WordNet 3.0 has not, or that is not in `among`.
    """
    from mlimages.hierarchy.wordnet.taxonomy import taxonomy

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
