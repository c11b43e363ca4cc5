"""Where the demo's categories lie in the published hierarchy of ML-Images."""

from __future__ import annotations

from dataclasses import dataclass

from mlimages import Hierarchy


@dataclass(frozen=True, slots=True)
class Placed:
    """A category that is not published.

    Parameters
    ----------
    key, name : str
        The category.
    below : str or None
        The key of the nearest published category above it; None where there is none.
    """

    key: str
    name: str
    below: str | None


@dataclass(frozen=True, slots=True)
class Placement:
    """All categories of a hierarchy, held against the published ones.

    Parameters
    ----------
    published : Hierarchy
        The published ones.
    categories, objects : int
        How many of all, and of the objects, are published.
    others : tuple of Placed
        Those that are not, objects first.
    """

    published: Hierarchy
    categories: int
    objects: int
    others: tuple[Placed, ...]

    def name(self, key: str) -> str:
        """The name of a published category."""
        return self.published[key].name


def place(hierarchy: Hierarchy, objects: list[str], published: Hierarchy) -> Placement:
    """Look up each category, and for one that is not published its nearest ancestor that is.

    Parameters
    ----------
    hierarchy : Hierarchy
        The demo's: every category with all its hypernyms.
    objects : list of str
        The keys among them that scenes are made of.
    published : Hierarchy
        What they are looked up in.
    """
    first = set(objects)
    found = [key for key in hierarchy.keys if key in published]
    missing = [key for key in hierarchy.keys if key not in published]
    missing.sort(key=lambda key: (key not in first, key))
    return Placement(
        published,
        len(found),
        len(first.intersection(found)),
        tuple(Placed(key, hierarchy[key].name, _nearest(hierarchy, key, published)) for key in missing),
    )


def _nearest(hierarchy: Hierarchy, key: str, published: Hierarchy) -> str | None:
    """The published category that the fewest steps up lead to; of equally near ones, that of the first parent."""
    level, seen = [key], {key}
    while level:
        above = [hierarchy.keys[int(parent)] for each in level for parent in hierarchy.parents(each)]
        level = [each for each in dict.fromkeys(above) if each not in seen]
        seen.update(level)
        for each in level:
            if each in published:
                return each
    return None
