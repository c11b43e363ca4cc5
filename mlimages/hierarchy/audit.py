"""Comparison of a hierarchy with WordNet, and of two hierarchies with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.hierarchy.hierarchy import Hierarchy
from mlimages.hierarchy.wordnet.taxonomy import taxonomy

if TYPE_CHECKING:
    import pandas as pd

#: The status of a category and its parent in an audit.
AGREES = "agrees"
SKIPS = "skips"
OTHER_PARENT = "other-parent"
CONTRADICTS = "contradicts"
ROOT = "root"
UNKNOWN_SYNSET = "unknown synset"
STATUSES = (AGREES, SKIPS, OTHER_PARENT, CONTRADICTS, ROOT, UNKNOWN_SYNSET)

#: The kinds of change that a comparison finds.
CHANGES = ("removed", "added", "renamed", "re-parented", "moved")


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The result of :func:`audit` or :func:`compare`.

    Parameters
    ----------
    title : str
        One line that says what was compared.
    table : pandas.DataFrame
        The findings, one per row.
    summary : dict of str to int
        The number of findings of each kind; zeros included.
    """

    title: str
    table: pd.DataFrame = field(repr=False)
    summary: dict[str, int]

    def __repr__(self) -> str:
        width = max(len(f"{count:,}") for count in self.summary.values())
        lines = [f"  {count:>{width},}  {kind}" for kind, count in self.summary.items()]
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(repr(self))}</pre>{self.table.head(20).to_html()}"


def audit(hierarchy: Hierarchy) -> Report:
    """Compare the parents of a hierarchy with WordNet's hypernyms.

    The nearest kept hypernyms of a category are those that :meth:`Hierarchy.from_wordnet` finds among the categories of
    this hierarchy. Each pair of a category and a parent gets a status:

    ``agrees``
        The parent is the first of the nearest kept hypernyms; or another one of them, if the first is a parent too.
    ``skips``
        It is a hypernym ancestor, but another category is between them on every path: ``nearest`` is one of these.
    ``other-parent``
        It is one of the nearest kept hypernyms, but the first one, given as ``nearest``, is not a parent.
    ``contradicts``
        It is not a hypernym ancestor; ``nearest`` is the first nearest kept hypernym, if there is one.
    ``root``
        There is no parent; ``nearest`` is the first nearest kept hypernym, if there is one.
    ``unknown synset``
        The key of the category or of the parent is not a noun of WordNet 3.0.

    Parameters
    ----------
    hierarchy : Hierarchy
        A hierarchy whose keys are synset ids.

    Returns
    -------
    Report
        ``table`` has a row for each category without a parent and for each category and parent, by index: ``index``,
        ``key``, ``name``, ``parent``, ``parent_key``, ``parent_name``, ``status``, ``nearest``, ``nearest_key``,
        ``nearest_name``. If there is no parent or nearest, its index is null and its texts are empty. ``summary``
        counts the rows by status.

    Examples
    --------
    >>> h = Hierarchy.from_edges([("n02075296", "n02083346"), ("n02075296", "n02114100")])  # carnivore: canine, wolf
    >>> audit(h).table[["key", "status", "nearest_key"]].values.tolist()
    [['n02075296', 'root', ''], ['n02083346', 'agrees', ''], ['n02114100', 'skips', 'n02083346']]
    """
    import pandas as pd

    lengths = hierarchy.parents().lengths
    child = np.repeat(np.arange(len(hierarchy)), np.maximum(lengths, 1))
    parent = np.full(len(child), -1, np.int64)
    parent[lengths[child] > 0] = hierarchy.parents().indices
    status, nearest = _statuses(hierarchy, child, parent)
    names = [each.name for each in hierarchy]
    columns = {
        "index": child,
        "key": _texts(hierarchy.keys, child),
        "name": _texts(names, child),
        "parent": _nullable(parent),
        "parent_key": _texts(hierarchy.keys, parent),
        "parent_name": _texts(names, parent),
        "status": status,
        "nearest": _nullable(nearest),
        "nearest_key": _texts(hierarchy.keys, nearest),
        "nearest_name": _texts(names, nearest),
    }
    counts = Counter(status)
    return Report(
        f"Against WordNet 3.0, {len(hierarchy):,} in all:",
        pd.DataFrame(columns),
        {each: counts[each] for each in STATUSES},
    )


def _statuses(hierarchy: Hierarchy, child: NDArray[Any], parent: NDArray[Any]) -> tuple[list[str], NDArray[Any]]:
    """The status of each pair, [m], and the index of the category ``nearest``, int64 [m], -1 for none."""
    known = np.flatnonzero(taxonomy().find(hierarchy.keys) >= 0)
    wordnet = Hierarchy.from_wordnet([hierarchy.keys[i] for i in known], multiple_parents=True)
    place = np.full(len(hierarchy) + 1, -1, np.int64)  # a last entry for the parent -1 of a root
    place[known] = np.arange(len(known))
    n, rows = len(known), wordnet.parents()
    first = np.full(n + 1, -1, np.int64)
    first[:-1][rows.lengths > 0] = rows.indices[rows.indptr[:-1][rows.lengths > 0]]

    below, above = place[child], place[parent]
    both = (below >= 0) & (above >= 0)
    pair = below * n + above
    near = both & np.isin(pair, rows.row_numbers * n + rows.indices)
    with_first = np.isin(below * n + first[below], pair[both])
    ancestor = both.copy()
    ancestor[both] = wordnet.is_ancestor(above[both], below[both])

    status = np.full(len(child), UNKNOWN_SYNSET, dtype=object)
    status[(below >= 0) & (parent < 0)] = ROOT
    status[both] = CONTRADICTS
    status[ancestor] = SKIPS
    status[near] = OTHER_PARENT
    status[near & with_first] = AGREES

    named = np.isin(status, [OTHER_PARENT, CONTRADICTS, ROOT])
    nearest = np.where(named, first[below], -1)
    for row in np.flatnonzero(status == SKIPS):
        between = wordnet.parents(int(below[row]))
        nearest[row] = between[wordnet.is_ancestor(int(above[row]), between)][0]
    return status.tolist(), np.where(nearest >= 0, known[nearest] if n else -1, -1)


def _texts(texts: Sequence[str], index: NDArray[Any]) -> list[str]:
    """The text of each category index, empty for -1."""
    return [texts[i] if i >= 0 else "" for i in index.tolist()]


def _nullable(index: NDArray[Any]) -> pd.api.extensions.ExtensionArray:
    """Category indices as a nullable pandas column, with null for -1."""
    import pandas as pd

    return pd.arrays.IntegerArray(index.astype(np.int64), mask=index < 0)


def compare(before: Hierarchy, after: Hierarchy) -> Report:
    """List the changes between two hierarchies, whose categories are matched by key.

    Parameters
    ----------
    before, after : Hierarchy
        The hierarchies to compare.

    Returns
    -------
    Report
        ``table`` has a row for each change: ``change``, ``key``, ``name`` (in `after` if it has the key), and the
        values ``before`` and ``after`` as text. Removed categories come first, then the others by their index in
        `after`. The changes are ``removed`` and ``added`` (the value is the index), ``renamed`` (the names or their
        order), ``re-parented`` (the keys of the parents or their order) and ``moved`` (the index). ``summary`` counts
        them, and the keys without a change as ``unchanged``.

    Examples
    --------
    >>> old = Hierarchy(["thing", "dog"], [[], [0]])
    >>> new = Hierarchy(["thing", "animal", "dog"], [[], [0], [1]])
    >>> compare(old, new).table.values.tolist()
    [['added', 'animal', 'animal', '', '1'],
     ['re-parented', 'dog', 'dog', 'thing', 'animal'],
     ['moved', 'dog', 'dog', '1', '2']]
    """
    import pandas as pd

    rows = [("removed", each.key, each.name, str(each.index), "") for each in before if each.key not in after]
    unchanged = 0
    for category in after:
        key, name = category.key, category.name
        if key not in before:
            rows.append(("added", key, name, "", str(category.index)))
            continue
        old = before[key]
        was, now = _parent_keys(before, key), _parent_keys(after, key)
        found = []
        if old.names != category.names:
            found.append(("renamed", key, name, ", ".join(old.names), ", ".join(category.names)))
        if was != now:
            found.append(("re-parented", key, name, " ".join(was), " ".join(now)))
        if old.index != category.index:
            found.append(("moved", key, name, str(old.index), str(category.index)))
        unchanged += not found
        rows.extend(found)
    counts = Counter(row[0] for row in rows)
    return Report(
        f"Categories before {len(before):,}, after {len(after):,}:",
        pd.DataFrame(rows, columns=["change", "key", "name", "before", "after"]),
        {"unchanged": unchanged, **{change: counts[change] for change in CHANGES}},
    )


def _parent_keys(hierarchy: Hierarchy, key: str) -> list[str]:
    return [hierarchy.keys[i] for i in hierarchy.parents(key)]
