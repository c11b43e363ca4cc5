"""Where categories lie in another hierarchy."""

from __future__ import annotations

from mlimages import Hierarchy
from mlimages.demo.annotations.placement import Placed, place


def test_others_lie_below_their_nearest_published_ancestor(zoo: Hierarchy) -> None:
    published = Hierarchy(["thing", "animal", "cat"], [[], [0], [1]], [["Thing"], ["Animal"], ["Cat"]])
    placement = place(zoo, ["puppy", "cat", "rose", "water"], published)
    assert (placement.categories, placement.objects) == (3, 1)
    assert placement.others == (
        Placed("puppy", "Puppy", "animal"),
        Placed("rose", "Rose", "thing"),
        Placed("water", "Water", None),
        Placed("dog", "Dog", "animal"),
        Placed("pet", "Pet", "animal"),
        Placed("plant", "Plant", "thing"),
        Placed("stuff", "Stuff", None),
    )
    assert placement.name("animal") == "Animal"
