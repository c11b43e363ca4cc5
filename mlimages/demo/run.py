"""The steps of the demo, one after the other."""

from __future__ import annotations

from pathlib import Path

from mlimages import AnnotationTable, Hierarchy, load_hierarchy
from mlimages.annotate import explain, statistics
from mlimages.annotate.pipeline import annotate
from mlimages.demo.account import Account
from mlimages.demo.outfolder import prepare_folder
from mlimages.demo.publishedlist import LIST_FILE, published_folder, regenerate_published
from mlimages.hierarchy.explorer import write_explorer

#: All that the demo writes into its folder.
OWN = frozenset(["explorer.html", "list.txt", "annotations", "published", "published.html"])

_OWN_LIST = {  # what an annotator may have said of ten pictures; a label by its synset id
    "beach.jpg": {"n09428293": 1.0, "n02088364": 0.9},
    "harbour.jpg": {"n04273569": 0.8, "n02951358": 0.7},
    "kitchen.jpg": {"n04507155": 1.0, "n07930864": 0.9, "n03775546": 0.6},
    "meadow.jpg": {"n02389026": 1.0, "n02403003": 0.8},
    "orchard.jpg": {"n07742313": 1.0, "n07747607": 0.7},
    "park.jpg": {"n02099601": 1.0, "n02099712": 0.4},
    "pond.jpg": {"n01641577": 0.9, "n01847000": 1.0},
    "street.jpg": {"n02930766": 1.0, "n02835271": 0.8},
    "table.jpg": {"n07873807": 1.0, "n07695742": 0.5},
    "zoo.jpg": {"n02129165": 1.0, "n02130308": 0.3, "n02391049": 0.9},
}


def run(out: Path) -> None:
    """Run the demo.

    Parameters
    ----------
    out : pathlib.Path
        Folder for all that it makes.
    """
    account = Account()
    prepare_folder(out, own=OWN)
    with account.step("The hierarchy, from the embedded WordNet"):
        hierarchy = load_hierarchy("imagenet-1k")
        shape = hierarchy.statistics()
        account.say(
            f"{shape['categories']:,} categories: the 1,000 classes of ImageNet-1k and their hypernyms; "
            f"{shape['leaves']:,} leaves, longest path {shape['max_depth']}"
        )
        account.say(hierarchy.tree("n02131653", depth=1))
    with account.step("Annotations of the demo's own list, regenerated"):
        table = _own_list(hierarchy, out, account)
    with account.step("Why one image has its labels"):
        account.say(repr(explain(table, "zoo.jpg")))
    folder = published_folder()
    with account.step(f"The published list {LIST_FILE}"):
        if folder is None:
            account.say("not at hand: set MLIMAGES_DATA to the folder that holds it and its dictionary")
        else:
            published = regenerate_published(folder, out / "published", account)
            write_explorer(
                published.hierarchy,
                out / "published.html",
                counts=published.category_counts(),
                title="ML-Images, with the counts of the published list",
            )
    with account.step("A page to look at"):
        write_explorer(hierarchy, out / "explorer.html", counts=table.category_counts(), title="The demo's categories")
        account.say(f"open {out / 'explorer.html'} in a browser")


def _own_list(hierarchy: Hierarchy, out: Path, account: Account) -> AnnotationTable:
    lines = (
        "\t".join([image, *(f"{hierarchy.index(key)}:{confidence}" for key, confidence in labels.items())])
        for image, labels in _OWN_LIST.items()
    )
    path = out / "list.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    table: AnnotationTable = annotate(path, hierarchy, out=out / "annotations")
    account.say(f"{path}: {len(table)} images, {sum(map(len, _OWN_LIST.values()))} labels given")
    account.say(repr(statistics(table)))
    return table
