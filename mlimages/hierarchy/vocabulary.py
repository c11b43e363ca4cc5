"""Keys and names of categories, and how a category is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import UnknownCategoryError
from mlimages.hierarchy.category import Category, CategoryLike
from mlimages.hierarchy.csr import Int32Array

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import Synset


class Vocabulary:
    """The categories of a hierarchy by index, key and name.

    Attributes
    ----------
    keys : tuple of str
        The key of each category, in index order.
    names : tuple of tuples of str
        The names of each category, the usual one first.
    """

    keys: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    _index: dict[str, int]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Category]:
        return (self._category(i) for i in range(len(self)))

    def __contains__(self, category: object) -> bool:
        if isinstance(category, Category):
            category = category.key
        if isinstance(category, str):
            return category in self._index
        return (
            isinstance(category, int | np.integer) and not isinstance(category, bool) and 0 <= int(category) < len(self)
        )

    def __getitem__(self, category: CategoryLike) -> Category:
        return self._category(self.index(category))

    def _category(self, index: int) -> Category:
        return Category(index, self.keys[index], self.names[index])

    @overload
    def index(self, categories: CategoryLike) -> int: ...
    @overload
    def index(self, categories: Iterable[CategoryLike] | NDArray[Any]) -> Int32Array: ...
    def index(self, categories: Any) -> Any:
        """Index of a category, or int32 array [m] of `categories` in their order (ascending for a set).

        A :class:`Category` is looked up by its key, so it may be one of another hierarchy.

        Raises
        ------
        UnknownCategoryError
            For a key or an index that is not in the hierarchy, and for other objects.
        """
        if isinstance(categories, str):
            try:
                return self._index[categories]
            except KeyError:
                raise UnknownCategoryError(
                    f"unknown category {categories!r}: not a key of this hierarchy ({len(self)} categories"
                    f"{', such as ' if self.keys else ''}{', '.join(self.keys[:3])}); "
                    f"find({categories!r}) searches names"
                ) from None
        if isinstance(categories, Category):
            return self.index(categories.key)
        if isinstance(categories, int | np.integer) and not isinstance(categories, bool):
            if not 0 <= categories < len(self):
                raise UnknownCategoryError(f"unknown category {categories}: expected an index {self._bounds}")
            return int(categories)
        if isinstance(categories, np.ndarray):
            return self._index_array(categories)
        if not isinstance(categories, Iterable) or isinstance(categories, bytes | bytearray):
            raise UnknownCategoryError(
                f"unknown category {categories!r}: expected an index, a key, a Category or a sequence of them"
            )
        indices = np.fromiter((self._index_one(each) for each in categories), np.int32)
        return np.sort(indices) if isinstance(categories, Set) else indices

    def _index_array(self, categories: NDArray[Any]) -> int | Int32Array:
        if categories.ndim == 0:
            return self._index_one(categories.item())
        if categories.ndim > 1:
            raise UnknownCategoryError(
                f"found an array of {categories.ndim} dimensions, expected a flat one of indices or keys"
            )
        if categories.dtype.kind not in "iu":
            return np.fromiter((self._index_one(each) for each in categories.tolist()), np.int32)
        wrong = (categories < 0) | (categories >= len(self))
        if wrong.any():
            raise UnknownCategoryError(
                f"unknown category {categories[wrong][0]}, one of {wrong.sum()} such: expected an index {self._bounds}"
            )
        return categories.astype(np.int32, copy=False)

    def _index_one(self, category: Any) -> int:
        """Index of an object that must be a single category."""
        index = self.index(category)
        if not isinstance(index, int):
            raise UnknownCategoryError(f"unknown category {category!r}: expected an index, a key or a Category")
        return index

    @property
    def _bounds(self) -> str:
        return f"from 0 to {len(self) - 1}" if len(self) else "of a hierarchy that is not empty"

    def find(self, text: str, *, limit: int | None = None) -> list[Category]:
        """Categories by name or key, ignoring case: exact matches first, then prefixes, then substrings.

        Names are not unique: all matches, or the first `limit`, are returned, by index within each group. All names of
        a category joined by ``", "``, as in the published dictionary, match too. An empty `text` matches nothing.
        """
        wanted = text.strip().casefold()
        if not wanted:
            return []
        groups: tuple[list[int], list[int], list[int]] = ([], [], [])
        for index, names in enumerate(self._folded_names):
            if wanted in names:
                groups[0].append(index)
            elif any(name.startswith(wanted) for name in names):
                groups[1].append(index)
            elif any(wanted in name for name in names):
                groups[2].append(index)
        found = [self._category(index) for group in groups for index in group]
        return found if limit is None else found[:limit]

    @cached_property
    def _folded_names(self) -> list[tuple[str, ...]]:
        """The key, each name and, if there are several, all names joined, in folded case."""
        return [
            tuple(each.casefold() for each in ((key, *names, ", ".join(names)) if len(names) > 1 else (key, *names)))
            for key, names in zip(self.keys, self.names, strict=True)
        ]

    def synset(self, category: CategoryLike) -> Synset:
        """NLTK's ``Synset`` of a category whose key is a WordNet id."""
        return self[category].synset
