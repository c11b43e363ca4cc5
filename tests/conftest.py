"""Shared fixtures: the ten-node hierarchy, and where the official files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlimages import Hierarchy

OFFICIAL = Path(os.environ.get("MLIMAGES_DATA", Path(__file__).parents[2] / "shared" / "ml-images"))


@pytest.fixture(scope="session")
def official() -> Path:
    """Folder of the official ML-Images files; the test skips where it is missing."""
    if not (OFFICIAL / "dictionary_and_semantic_hierarchy.txt").is_file():
        pytest.skip(f"the official ML-Images files are not in {OFFICIAL}")
    return OFFICIAL


@pytest.fixture(scope="session")
def ml_images(official: Path) -> Hierarchy:
    """The published hierarchy of 11,166 categories."""
    return Hierarchy.from_dictionary(official / "dictionary_and_semantic_hierarchy.txt")


@pytest.fixture(scope="session")
def zoo() -> Hierarchy:
    """Ten categories, two roots, one diamond, an index order that is not topological.

    ::

        thing(9)                     stuff(4)
        +- animal(2)                 +- water(6)
        |  +- dog(0) ----+
        |  |  +- puppy(1)|
        |  +- pet(3) ----+ (dog's second parent)
        |  |  +- cat(5)
        +- plant(7)
           +- rose(8)
    """
    keys = ["dog", "puppy", "animal", "pet", "stuff", "cat", "water", "plant", "rose", "thing"]
    parents = [[2, 3], [0], [9], [2], [], [3], [4], [9], [7], []]
    names = [[key.title(), f"a {key}"] for key in keys]
    return Hierarchy(keys, parents, names)
