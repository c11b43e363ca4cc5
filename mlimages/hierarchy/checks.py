"""What must hold of the keys, the names and the parents that make a hierarchy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from mlimages.errors import HierarchyError
from mlimages.hierarchy.csr import CSR

_SEPARATOR = re.compile("[\t\n\r]")


def checked_names(names: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Names as tuples, a plain string being a single name; an error where one is no text."""
    checked = tuple((each,) if isinstance(each, str) else tuple(each) for each in names)
    if not _is_text(chain.from_iterable(checked)):
        i, wrong = next((i, each) for i, each in enumerate(checked) if not _is_text(each))
        raise HierarchyError(f"category {i} has the names {wrong!r}: expected Unicode text")
    return checked


def index_of(keys: tuple[str, ...]) -> dict[str, int]:
    """Index of each key; an error where one is no key or stands twice."""
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
    """Whether all are strings that UTF-8 can hold."""
    try:
        "".join(strings).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def check_parents(keys: tuple[str, ...], parents: CSR) -> None:
    """An error where a parent is no index of a category, or stands twice in a row; cycles are found elsewhere."""
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
