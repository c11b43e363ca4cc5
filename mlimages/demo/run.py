"""The steps of the demo, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate import Origin, explain, statistics
from mlimages.annotate.cooccurrence.counts import Cooccurrence
from mlimages.annotate.pipeline import annotate
from mlimages.annotate.propagation.rules import write_rules
from mlimages.demo.account import Account
from mlimages.demo.annotations.judgement import MIN_PROBABILITIES, TEACHER_THRESHOLDS, Judgement, judge
from mlimages.demo.annotations.placement import Placement, place
from mlimages.demo.annotations.publishedlist import LIST_FILE, published_folder, regenerate_published
from mlimages.demo.annotations.tables import objects_hierarchy, predictions, true_table, write_list
from mlimages.demo.outfolder import prepare_folder
from mlimages.demo.report.results import Results
from mlimages.demo.scenes.world import Size, World, choose_cutouts, make_world
from mlimages.hierarchy.drawing.explorer import write_explorer

if TYPE_CHECKING:
    from mlimages.demo.learning.measures import HeldOut, Trained
    from mlimages.demo.learning.teacher import Opinion

#: Names of everything that the demo writes into its folder.
OWN = frozenset(
    [
        "explorer.html",
        "images",
        "index.html",
        "list.txt",
        "published",
        "published.html",
        "network",
        "rules.csv",
        "tables",
    ]
)
#: Thresholds of the rules, lower than the published ones since the scenes are few.
TEACHER_THRESHOLD, MIN_PROBABILITY, MIN_IMAGES = 0.5, 0.4, 8
#: The kinds of images that are explained.
RIGHT, WRONG, UNREACHED = "where a rule was right", "where a rule was wrong", "where no rule applied"
_BY_RULE = Origin.COOCCURRENCE.value
_PLACED_SHOWN = 5  # on the terminal; the report lists all
_WIDTH = 116  # characters per line of an explanation on the terminal


def run(out: Path, *, cache: Path, size: Size, pictures: str = "auto") -> Results:
    """Run the demo.

    Parameters
    ----------
    out : pathlib.Path
        Folder for all outputs.
    cache : pathlib.Path
        Folder where the photographs are unpacked if they are not installed.
    size : Size
        Numbers of scenes, seeds and epochs.
    pictures : {"auto", "stamps", "shapes"}
        See :func:`mlimages.demo.scenes.world.choose_cutouts`.
    """
    account = Account()
    prepare_folder(out, own=OWN)
    with account.step("The published list of ML-Images"):
        published = _published(out, account)
    with account.step("The hierarchy, from the embedded WordNet"):
        collection = choose_cutouts(cache, account, pictures=pictures)
        hierarchy = objects_hierarchy(collection.keys)
        shape = hierarchy.statistics()
        account.say(
            f"{collection.title}; with all their hypernyms {shape['categories']:,} categories, longest path "
            f"{shape['max_depth']}"
        )
        placement = None if published is None else place(hierarchy, collection.keys, published)
        if placement is not None:
            _say_placement(placement, len(hierarchy), len(collection.keys), account)
    with account.step("Scenes of one to five objects"):
        world = make_world(collection, hierarchy, out / "images", size, account)
        objects = [len(scene.objects) for scene in world.training]
        account.say(
            f"{len(world.labelled):,} for the teacher, {len(world.training):,} to annotate and train on, "
            f"{len(world.held_out):,} to judge; {np.mean(objects):.2f} objects a scene, one of them published"
        )
    with account.step("Annotations: single labels and their ancestors"):
        results = _annotate(world, out, account)
        results.placement = placement
    with account.step("The teacher, co-occurrence and rules"):
        opinion = _teach(results, out, account)
    with account.step("Why three pictures have their labels"):
        _explain(results, account)
    with account.step(f"A small network trained on single and on regenerated labels, {_counted(size.seeds, 'seed')}"):
        held_out = _train(results, out, size, account)
    with account.step(f"The teacher's last layer learned from four kinds of labels, {_counted(size.seeds, 'seed')}"):
        _learn_layers(results, opinion, held_out, size, account)
    results.steps = account.steps
    with account.step("A page to look at"):
        _report(results, out, account)
    return results


def _published(out: Path, account: Account) -> Hierarchy | None:
    """Regenerate the published list; return its hierarchy, or None if the list is not available."""
    folder = published_folder()
    if folder is None:
        account.say(f"{LIST_FILE} is not at hand: set MLIMAGES_DATA to the folder with it and its dictionary")
        return None
    published = regenerate_published(folder, out / "published", account)
    title = "ML-Images, with the counts of the published list"
    write_explorer(published.hierarchy, out / "published.html", counts=published.category_counts(), title=title)
    return published.hierarchy


def _say_placement(placement: Placement, categories: int, objects: int, account: Account) -> None:
    account.say(
        f"{placement.categories} of these {categories}, and {placement.objects} of the {objects} objects, are among "
        f"the {len(placement.published):,} of ML-Images"
    )
    if placement.others:
        account.say("the nearest published category above each of the others, such as:")
    for each in placement.others[:_PLACED_SHOWN]:
        above = "none" if each.below is None else f"{placement.name(each.below)} ({each.below})"
        account.say(f"  {each.name} ({each.key}): {above}")


def _annotate(world: World, out: Path, account: Account) -> Results:
    tables = out / "tables"
    path = out / "list.txt"
    write_list(world.training, world.hierarchy, path)
    single: AnnotationTable = annotate(path, world.hierarchy, out=tables / "single", propagation="none")
    ancestors: AnnotationTable = annotate(path, world.hierarchy, out=tables / "ancestors")
    true_table(world.held_out, world.hierarchy, tables / "held-out")
    truth = true_table(world.training, world.hierarchy, tables / "truth")
    results = Results(world=world, single=single, regenerated=ancestors)
    results.statistics = {
        "published labels": statistics(single),
        "with ancestors": statistics(ancestors),
        "truth": statistics(truth),
    }
    for title, counted in results.statistics.items():
        account.say(f"{title}: {counted.labels:,} labels, {counted.mean_labels_per_image:.2f} an image")
    return results


def _teach(results: Results, out: Path, account: Account) -> Opinion:
    from mlimages.demo.learning.teacher import take_teacher

    world = results.world
    opinion = take_teacher(world, out / "network", account)
    results.teacher, results.teacher_scores = opinion.title, opinion.measured
    rows = np.arange(len(world.training))
    annotated = results.regenerated.multi_hot(rows) > 0
    truth = AnnotationTable.open(out / "tables" / "truth").multi_hot(rows) > 0
    predicted = predictions(world.training, opinion.scores, world.hierarchy.index(world.collection.keys))
    for threshold in TEACHER_THRESHOLDS:
        counted = Cooccurrence.count(
            results.regenerated,
            predicted,
            hierarchy=world.hierarchy,
            teacher_threshold=threshold,
            targets=world.collection.keys,
        )
        for least in MIN_PROBABILITIES:
            rules = counted.rules(min_probability=least, min_images=MIN_IMAGES)
            judged = judge(annotated, truth, rules, world.hierarchy, teacher_threshold=threshold, min_probability=least)
            results.judgements.append(judged)
            if (threshold, least) == (TEACHER_THRESHOLD, MIN_PROBABILITY):
                results.rules, results.chosen = rules, judged
    assert results.rules is not None
    assert results.chosen is not None
    _say_judgements(results.judgements, results.chosen, account)
    path = out / "rules.csv"
    write_rules(results.rules, path)
    account.say(f"{path}: {len(results.rules)} rules, the strongest first:")
    for row in results.rules.head(5).itertuples():
        account.say(f"  {row.source_name} -> {row.target_name}, p {row.p:.2f} over {row.images} images")
    results.regenerated = annotate(
        out / "list.txt", world.hierarchy, out=out / "tables" / "regenerated", rules=results.rules
    )
    regenerated = statistics(results.regenerated)
    results.statistics = {
        title: regenerated if title == "with ancestors and rules" else results.statistics[title]
        for title in ("published labels", "with ancestors", "with ancestors and rules", "truth")
    }
    account.say(repr(regenerated))
    return opinion


def _say_judgements(judgements: list[Judgement], chosen: Judgement, account: Account) -> None:
    account.say("teacher above  part above  rules  labels added  precision  recall")
    for each in judgements:
        if each.min_probability in (0.3, 0.4, 0.5):
            mark = "  <- taken" if each is chosen else ""
            account.say(
                f"{each.teacher_threshold:>13g}  {each.min_probability:>10g}  {each.rules:>5}  {each.added:>12,}  "
                f"{each.precision:>9.3f}  {each.recall:>6.3f}{mark}"
            )


def _explain(results: Results, account: Account) -> None:
    """Explain one image where a rule was right, one where a rule was wrong, and one without a rule."""
    true_objects = {scene.name: scene.objects for scene in results.world.training}
    found: dict[str, str] = {}
    for batch in results.regenerated.batches(columns=["image", "labels", "origins"]):
        columns = (batch.column(name).to_pylist() for name in ("image", "labels", "origins"))
        for image, labels, origins in zip(*columns, strict=True):
            true = {int(i) for key in true_objects[image] for i in results.world.hierarchy.ancestors(key)}
            true.update(results.world.hierarchy.index(true_objects[image]).tolist())
            added = [label in true for label, origin in zip(labels, origins, strict=True) if origin == _BY_RULE]
            found.setdefault(WRONG if not all(added) else RIGHT if added else UNREACHED, image)
    for kind in (RIGHT, WRONG, UNREACHED):
        if kind not in found:
            continue
        explanation = explain(results.regenerated, found[kind])
        results.explanations.append((kind, found[kind], explanation))
        account.say(f"{kind}; truly there: {', '.join(_names(results, true_objects[found[kind]]))}")
        for line in repr(explanation).splitlines():
            account.say(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}...")


def _names(results: Results, keys: Sequence[str]) -> list[str]:
    return [results.world.hierarchy[key].name for key in keys]


def _train(results: Results, out: Path, size: Size, account: Account) -> HeldOut:
    from mlimages.demo.learning.comparison import compare_networks, make_held_out
    from mlimages.demo.report.verdict import network_verdict

    held_out = make_held_out(results.world, out / "tables")
    results.network, results.runs = compare_networks(results.world, out, held_out, size, account)
    account.say(f"{results.network}:")
    _say_scores(results.runs, account)
    for line in network_verdict(results):
        account.say(line)
    return held_out


def _learn_layers(results: Results, opinion: Opinion, held_out: HeldOut, size: Size, account: Account) -> None:
    from mlimages.demo.learning.comparison import compare_layers
    from mlimages.demo.report.verdict import layer_verdict

    results.layers = compare_layers(results.world, opinion, held_out, size, account)
    _say_scores(results.layers, account)
    for line in layer_verdict(results):
        account.say(line)


def _say_scores(runs: list[Trained], account: Account) -> None:
    from mlimages.demo.learning.measures import MEASURES, count_seeds, shown, summary

    kinds = list(dict.fromkeys(run.labels for run in runs))
    account.say(f"{'held-out scenes':<16}" + "".join(f"{kind:>20}" for kind in kinds))
    summaries = [summary(runs, kind) for kind in kinds]
    for name in MEASURES:
        cells = (shown(each[name], seeds=count_seeds(runs)) for each in summaries)
        account.say(f"{name.replace('_', ' '):<16}" + "".join(f"{each:>20}" for each in cells))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _report(results: Results, out: Path, account: Account) -> None:
    from mlimages.demo.report.page import write_report

    counts = results.regenerated.category_counts()
    write_explorer(results.world.hierarchy, out / "explorer.html", counts=counts, title="The demo's categories")
    write_report(results, out / "index.html")
    account.say(f"open {out / 'index.html'} in a browser")
