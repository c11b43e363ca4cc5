"""The checked parts of a hierarchy, which readers return and hierarchies are built from: keys, parents, names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from mlimages.errors import CycleError, HierarchyError
from mlimages.hierarchy.csr import CSR, Int32Array, find_cycle, frozen, longest_depth

_SEPARATOR = re.compile("[\t\n\r]")


@dataclass(frozen=True, eq=False, repr=False)
class Definition:
    """The keys, parents and names of n categories that form a directed acyclic graph; use :meth:`checked` to make one.

    Parameters
    ----------
    keys : tuple of str
        The unique key of each category, in index order.
    parents : CSR [n]
        The parents of each category, as indices.
    names : tuple of tuples of str
        The names of each category.
    index : dict of str to int
        The index of each key.
    children : CSR [n]
        The children of each category, ascending.
    longest : int32 array [n]
        Edges on the longest path from a root.
    """

    keys: tuple[str, ...]
    parents: CSR
    names: tuple[tuple[str, ...], ...]
    index: dict[str, int]
    children: CSR
    longest: Int32Array

    @classmethod
    def checked(
        cls,
        keys: Sequence[str],
        parents: CSR | Sequence[Sequence[int]],
        names: Sequence[Sequence[str]] | None = None,
    ) -> Definition:
        """Check the parts of a hierarchy; parameters and errors are those of :class:`mlimages.Hierarchy`."""
        n = len(keys)
        keys = tuple(keys)
        parents = CSR.copied(parents) if isinstance(parents, CSR) else CSR.from_rows(parents)
        names = _checked_names(names) if names is not None else ((),) * n
        if len(parents) != n or len(names) != n:
            raise HierarchyError(f"{n} keys, {len(parents)} rows of parents and {len(names)} of names: must agree")
        index = _index_of(keys)
        _check_parents(keys, parents)
        children = parents.transposed(n)
        longest = frozen(longest_depth(parents, children))
        if n and longest.min() < 0:
            cycle = find_cycle(parents, longest)
            shown = [keys[i] for i in cycle[:20]] + ["..."] * (len(cycle) > 20) + [keys[cycle[0]]]
            size = "1 category" if len(cycle) == 1 else f"{len(cycle)} categories"
            raise CycleError(f"cycle of {size}: {' -> '.join(shown)} (parent -> child)", cycle)
        return cls(keys, parents, names, index, children, longest)

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over one line per category in index order: key, tab, indices of the parents."""
        bounds, above = self.parents.indptr.tolist(), list(map(str, self.parents.indices.tolist()))
        rows = zip(self.keys, bounds[:-1], bounds[1:], strict=True)
        text = "".join(f"{key}\t{','.join(above[start:stop])}\n" for key, start, stop in rows)
        return hashlib.sha256(text.encode()).hexdigest()


def _checked_names(names: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Names as tuples, where a plain string is a single name."""
    checked = tuple((each,) if isinstance(each, str) else tuple(each) for each in names)
    if not _is_text(chain.from_iterable(checked)):
        i, wrong = next((i, each) for i, each in enumerate(checked) if not _is_text(each))
        raise HierarchyError(f"category {i} has the names {wrong!r}: expected Unicode text")
    return checked


def _index_of(keys: tuple[str, ...]) -> dict[str, int]:
    """Index of each key, after checking that keys are valid and unique."""
    index = {key: i for i, key in enumerate(keys) if isinstance(key, str)}
    if len(index) != len(keys) or "" in index or not _is_text(keys) or _SEPARATOR.search("".join(keys)):
        _explain_keys(keys)
    return index


def _explain_keys(keys: tuple[str, ...]) -> None:
    seen: dict[str, int] = {}
    for i, key in enumerate(keys):
        if not isinstance(key, str) or not key:
            raise HierarchyError(f"category {i} has the key {key!r}: expected a non-empty string")
        if _SEPARATOR.search(key) or not _is_text((key,)):  # files write keys in UTF-8 between tabs and line ends
            raise HierarchyError(f"category {i} has the key {key!r}: no tab, line end or lone surrogate is allowed")
        if seen.setdefault(key, i) != i:
            raise HierarchyError(
                f"duplicate key {key!r}: categories {seen[key]} and {i}; a key identifies one category"
            )


def _is_text(strings: Iterable[str]) -> bool:
    """Whether all are strings that UTF-8 can encode."""
    try:
        "".join(strings).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _check_parents(keys: tuple[str, ...], parents: CSR) -> None:
    """Raise where a parent is not the index of a category, or is repeated in a row."""
    n = len(keys)
    rows = parents.row_numbers
    outside = np.flatnonzero((parents.indices < 0) | (parents.indices >= n))
    if len(outside):
        child, parent = int(rows[outside[0]]), int(parents.indices[outside[0]])
        raise HierarchyError(f"category {child} ({keys[child]}) has the unknown parent {parent}: expected 0 to {n - 1}")
    repeated = np.unique(rows * n + parents.indices, return_counts=True)
    if (repeated[1] > 1).any():
        child, parent = divmod(int(repeated[0][repeated[1] > 1][0]), n)
        raise HierarchyError(f"category {child} ({keys[child]}) names its parent {parent} ({keys[parent]}) twice")
