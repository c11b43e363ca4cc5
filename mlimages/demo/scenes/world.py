"""The data of the demo: the cut-outs, the scenes made of them, and the hierarchy of their synsets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlimages import Hierarchy
from mlimages.demo.account import Account
from mlimages.demo.scenes.cutouts import Collection
from mlimages.demo.scenes.scene import Scene, SceneMaker
from mlimages.demo.scenes.shapes import draw_shapes
from mlimages.demo.scenes.stamps import APT_LINE, can_fetch, fetch_stamps, find_stamps, read_stamps


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Numbers of scenes: to train the teacher (`labelled`), to annotate and train on (`training`), to evaluate on.

    `seeds` is the number of training runs per kind of labels, and `epochs` that of the small network in each.
    """

    labelled: int = 900
    training: int = 2000
    held_out: int = 600
    seeds: int = 3
    epochs: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The scenes, as in :class:`Size`, below the folder `images`; their cut-outs, and the synsets of these with all
    ancestors.
    """

    collection: Collection
    hierarchy: Hierarchy
    images: Path
    labelled: list[Scene]
    training: list[Scene]
    held_out: list[Scene]


def choose_cutouts(cache: Path, account: Account, *, pictures: str) -> Collection:
    """Photographs if available, else drawings.

    `pictures` is ``auto`` to fetch the photographs into the cache with apt if they are missing, ``stamps`` to only look
    for them, or ``shapes`` for drawings.
    """
    if pictures == "shapes":
        return draw_shapes()
    found = find_stamps(cache)
    if found is None and pictures == "auto" and can_fetch():
        account.say("no photographs here yet: unpacking Debian's package of them (154 MB) into the cache, without root")
        fetched = fetch_stamps(cache)
        if isinstance(fetched, Path):
            found = fetched
        else:
            account.say(f"that failed: {fetched}")
    if found is None:
        account.say(f"no photographs: simple shapes are drawn instead. For photographs run: {APT_LINE}")
        return draw_shapes()
    account.say(f"photographs from {found}")
    return read_stamps(found)


def make_world(collection: Collection, hierarchy: Hierarchy, images: Path, size: Size, account: Account) -> World:
    """Write all scenes below `images`."""
    maker = SceneMaker(collection)
    parts = {
        name: maker.write(images, name, count, progress=account.progress(f"{name} scenes"))
        for name, count in (("labelled", size.labelled), ("training", size.training), ("held-out", size.held_out))
    }
    return World(
        collection=collection,
        hierarchy=hierarchy,
        images=images,
        labelled=parts["labelled"],
        training=parts["training"],
        held_out=parts["held-out"],
    )
