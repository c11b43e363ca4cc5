"""The steps of the demo, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlimages import AnnotationTable
from mlimages.annotate import Origin, explain, statistics
from mlimages.annotate.cooccurrence import Cooccurrence
from mlimages.annotate.pipeline import annotate
from mlimages.annotate.rules import write_rules
from mlimages.demo.account import Account
from mlimages.demo.judging import MIN_PROBABILITIES, TEACHER_THRESHOLDS, Judgement, judge
from mlimages.demo.outfolder import prepare_folder
from mlimages.demo.publishedlist import LIST_FILE, published_folder, regenerate_published
from mlimages.demo.results import Results
from mlimages.demo.tables import objects_hierarchy, predictions, true_table, write_list
from mlimages.demo.world import Size, World, choose_cutouts, make_world
from mlimages.hierarchy.explorer import write_explorer

if TYPE_CHECKING:
    from mlimages.demo.teacher import Opinion

#: All that the demo writes into its folder.
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
#: What the rules are made with: the teacher of the demo is surer than it is often, and support is small.
TEACHER_THRESHOLD, MIN_PROBABILITY, MIN_IMAGES = 0.5, 0.4, 8
_WIDTH = 116  # characters of a line of an explanation; the report has them whole


def run(out: Path, *, cache: Path, size: Size, pictures: str = "auto") -> Results:
    """Run the demo.

    Parameters
    ----------
    out : pathlib.Path
        Folder for all that it makes.
    cache : pathlib.Path
        Folder for the photographs, where they have to be unpacked.
    size : Size
        How much it makes.
    pictures : {"auto", "stamps", "shapes"}
        See :func:`mlimages.demo.world.choose_cutouts`.
    """
    account = Account()
    prepare_folder(out, own=OWN)
    with account.step("The published list of ML-Images"):
        _published(out, account)
    with account.step("The hierarchy, from the embedded WordNet"):
        collection = choose_cutouts(cache, account, pictures=pictures)
        hierarchy = objects_hierarchy(collection.keys)
        shape = hierarchy.statistics()
        account.say(
            f"{collection.title}; with all their hypernyms {shape['categories']:,} categories, longest path "
            f"{shape['max_depth']}"
        )
    with account.step("Scenes of one to five objects"):
        world = make_world(collection, hierarchy, out / "images", size, account)
        objects = [len(scene.objects) for scene in world.training]
        account.say(
            f"{len(world.labelled):,} for the teacher, {len(world.training):,} to annotate and train on, "
            f"{len(world.held_out):,} to judge; {np.mean(objects):.2f} objects a scene, one of them published"
        )
    with account.step("Annotations: single labels and their ancestors"):
        results = _annotate(world, out, account)
    with account.step("The teacher, co-occurrence and rules"):
        opinion = _teach(results, out, account)
    with account.step("Why three pictures have their labels"):
        _explain(results, account)
    with account.step(f"The same network trained on each kind of labels, {size.seeds} seeds"):
        _train(results, opinion, out, size, account)
    results.steps = account.steps
    with account.step("A page to look at"):
        _report(results, out, account)
    return results


def _published(out: Path, account: Account) -> None:
    folder = published_folder()
    if folder is None:
        account.say(f"{LIST_FILE} is not at hand: set MLIMAGES_DATA to the folder with it and its dictionary")
        return
    published = regenerate_published(folder, out / "published", account)
    title = "ML-Images, with the counts of the published list"
    write_explorer(published.hierarchy, out / "published.html", counts=published.category_counts(), title=title)


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
    from mlimages.demo.teacher import take_teacher

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
    """Explain two pictures that a rule reached, where there are as many, and one that none did."""
    reached: list[str] = []
    plain: list[str] = []
    for batch in results.regenerated.batches(columns=["image", "origins"]):
        for image, origins in zip(batch.column("image").to_pylist(), batch.column("origins").to_pylist(), strict=True):
            (reached if Origin.COOCCURRENCE in origins else plain).append(image)
    for image in (reached[:2] + plain)[:3]:
        explanation = explain(results.regenerated, image)
        results.explanations.append((image, explanation))
        for line in repr(explanation).splitlines():
            account.say(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}...")


def _train(results: Results, opinion: Opinion, out: Path, size: Size, account: Account) -> None:
    from mlimages.demo.looking import look
    from mlimages.demo.training import MEASURES, HeldOut, summary, train_and_judge
    from mlimages.demo.verdict import ANCESTORS, COMPLETE, REGENERATED, SINGLE, verdict

    world = results.world
    place = {key: column for column, key in enumerate(world.collection.keys)}
    held_out = HeldOut(
        seen=look(opinion.network, world.images, world.held_out, progress=account.progress("held-out scenes")),
        table=AnnotationTable.open(out / "tables" / "held-out"),
        objects=world.hierarchy.index(world.collection.keys),
        main=np.array([place[scene.published] for scene in world.held_out]),
    )
    folders = {SINGLE: "single", ANCESTORS: "ancestors", REGENERATED: "regenerated", COMPLETE: "truth"}
    progress = account.progress("trainings")
    for seed in range(size.seeds):
        for labels, folder in folders.items():
            table = AnnotationTable.open(out / "tables" / folder)
            results.runs.append(
                train_and_judge(opinion.seen, table, held_out, labels=labels, seed=seed, epochs=size.epochs)
            )
            progress(len(results.runs), size.seeds * len(folders))
    account.say(f"{'held-out scenes':<16}" + "".join(f"{labels:>20}" for labels in folders))
    summaries = [summary(results.runs, labels) for labels in folders]
    for name in MEASURES:
        shown = (f"{each[name][0]:.3f} ± {each[name][1]:.3f}" for each in summaries)
        account.say(f"{name.replace('_', ' '):<16}" + "".join(f"{each:>20}" for each in shown))
    for line in verdict(results):
        account.say(line)


def _report(results: Results, out: Path, account: Account) -> None:
    from mlimages.demo.report import write_report

    counts = results.regenerated.category_counts()
    write_explorer(results.world.hierarchy, out / "explorer.html", counts=counts, title="The demo's categories")
    write_report(results, out / "index.html")
    account.say(f"open {out / 'index.html'} in a browser")
