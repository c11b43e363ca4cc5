"""The position of the demo's categories in the published hierarchy of ML-Images."""

from __future__ import annotations

from dataclasses import dataclass

from mlimages import Hierarchy


@dataclass(frozen=True, slots=True)
class Placed:
    """A category that is not published, and the key of its nearest published ancestor, None if it has none."""

    key: str
    name: str
    below: str | None


@dataclass(frozen=True, slots=True)
class Placement:
    """The categories of a hierarchy, compared with the published ones.

    `categories` and `objects` are how many of all categories, and of the objects, are published; `others` the
    categories that are not, objects first.
    """

    published: Hierarchy
    categories: int
    objects: int
    others: tuple[Placed, ...]

    def name(self, key: str) -> str:
        """The name of a published category."""
        return self.published[key].name


def place(hierarchy: Hierarchy, objects: list[str], published: Hierarchy) -> Placement:
    """Look up each category of the demo or, if it is not published, its nearest published ancestor.

    `objects` are the keys of what scenes contain.
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
    """The published ancestor with the shortest path; of equally near ones, that through the first parent."""
    level, seen = [key], {key}
    while level:
        above = [hierarchy.keys[int(parent)] for each in level for parent in hierarchy.parents(each)]
        level = [each for each in dict.fromkeys(above) if each not in seen]
        seen.update(level)
        for each in level:
            if each in published:
                return each
    return None
