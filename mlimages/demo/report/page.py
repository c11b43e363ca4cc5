"""The report: one self-contained HTML page."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from mlimages import __version__
from mlimages.annotate import Origin
from mlimages.annotate.inspect.explanation import Explanation
from mlimages.demo.learning.measures import MEASURES, Trained, count_seeds, shown, summary
from mlimages.demo.report.chart import line_chart
from mlimages.demo.report.results import Results
from mlimages.demo.report.verdict import layer_verdict, network_verdict
from mlimages.demo.scenes.scene import Scene
from mlimages.hierarchy.drawing.explorer import explorer

_EXAMPLES = 24
_MOST_RULES = 25


def write_report(results: Results, path: Path) -> None:
    """Write the page of all results."""
    sections = (_facts, _pictures, _labels, _teacher, _rules, _explained, _training, _hierarchy, _times)
    parts = {
        "style": _resource("report.css"),
        "version": escape(__version__),
        "body": "\n".join(section(results) for section in sections),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _resource("report.html"))
    path.write_text(page, encoding="utf-8", newline="\n")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, chosen: int | None = None) -> str:
    """An HTML table with numeric columns aligned to the right; strings are markup already."""
    body = [list(row) for row in rows]
    numeric = [bool(body) and all(isinstance(row[i], int | float) for row in body) for i in range(len(head))]

    def cells(row: Sequence[object], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if right else ''}>{_shown(cell)}</{tag}>"
            for cell, right in zip(row, numeric, strict=True)
        )

    lines = "".join(
        f"<tr{' class=chosen' if number == chosen else ''}>{cells(row, 'td')}</tr>" for number, row in enumerate(body)
    )
    return f'<div class="scroll"><table><thead><tr>{cells(head, "th")}</tr></thead><tbody>{lines}</tbody></table></div>'


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if value == value else "none"  # NaN
    return f"{value:,}" if isinstance(value, int) else str(value)


def _facts(results: Results) -> str:
    world = results.world
    counted = results.statistics
    pairs = [
        (f"{len(world.labelled) + len(world.training) + len(world.held_out):,}", "scenes made"),
        (f"{len(world.collection.keys):,}", "kinds of objects"),
        (f"{len(world.hierarchy):,}", "categories with their ancestors"),
        (f"{counted['published labels'].mean_labels_per_image:.2f}", "labels a scene, as published"),
        (f"{counted['with ancestors and rules'].mean_labels_per_image:.2f}", "labels a scene, regenerated"),
        (f"{counted['truth'].mean_labels_per_image:.2f}", "labels a scene, in truth"),
    ]
    return '<div class="facts">' + "".join(f"<div><b>{number}</b>{what}</div>" for number, what in pairs) + "</div>"


def _pictures(results: Results) -> str:
    world = results.world
    added = _added_objects(results)
    figures = "".join(
        f'<figure><img src="{_picture(world.images / scene.name)}" alt=""><figcaption>'
        f"{', '.join(_labelled(results, scene, added.get(scene.name, [])))}</figcaption></figure>"
        for scene in world.training[:_EXAMPLES]
    )
    return (
        f'<h2 id="pictures">The pictures</h2><p>{escape(world.collection.title)}, placed on generated backgrounds: one '
        "to five in a scene. What is truly in each is known. Published is, as in ImageNet, one label only: that of the "
        f'largest object, <b class="given">bold</b>. What a rule added is <b class="cooccurrence">orange</b>, and '
        '<s class="cooccurrence">struck out</s> where it is not there. Plain objects are there, and no label says so.'
        f'</p><div class="grid">{figures}</div>'
    )


def _added_objects(results: Results) -> dict[str, list[str]]:
    """By image: keys of the objects that rules added, for the images shown."""
    objects = set(results.world.collection.keys)
    found = {}
    for row in range(min(_EXAMPLES, len(results.regenerated))):
        image = results.world.training[row].name
        labels = results.regenerated.labels_of(image)
        found[image] = [
            each.category.key for each in labels if each.origin == Origin.COOCCURRENCE and each.category.key in objects
        ]
    return found


def _labelled(results: Results, scene: Scene, added: Sequence[str]) -> list[str]:
    """Names of the objects in a scene or added to it, marked by the origin of their labels."""
    there = [f'<b class="given">{_name(results, scene.published)}</b>']
    for key in scene.objects[1:]:
        name = _name(results, key)
        there.append(f'<b class="cooccurrence">{name}</b>' if key in added else name)
    wrong = (key for key in added if key not in scene.objects)
    return there + [f'<s class="cooccurrence">{_name(results, key)}</s>' for key in wrong]


def _labels(results: Results) -> str:
    rows = [
        (title, counted.images, counted.labels, counted.mean_labels_per_image, counted.categories)
        for title, counted in results.statistics.items()
    ]
    return (
        '<h2 id="labels">The labels</h2><p>The training scenes, label by label: first what is published, then with '
        "what the hierarchy says must be there too (a violin is a musical instrument), then with what co-occurrence "
        "adds, and in the end what is truly there.</p>"
        + table(("labels", "images", "labels in all", "labels an image", "categories present"), rows)
    )


def _teacher(results: Results) -> str:
    rows = [tuple(row.values()) for row in results.teacher_scores]
    return (
        f'<h2 id="teacher">The teacher</h2><p>{escape(results.teacher)}</p><p>Of the objects that it says are in a '
        "training scene, precision is the part that truly is; recall is the part of all objects that it finds.</p>"
        + table(tuple(results.teacher_scores[0]) if results.teacher_scores else (), rows)
    )


def _rules(results: Results) -> str:
    assert results.chosen is not None
    assert results.rules is not None
    chosen = results.chosen
    rows = [
        (
            escape(row["source_name"]),
            escape(row["target_name"]),
            row["p"],
            row["support"],
            row["images"],
            _why(results, row["source"], row["target"]),
        )
        for row in results.rules.head(_MOST_RULES).to_dict("records")
    ]
    thresholds = sorted({each.teacher_threshold for each in results.judgements})
    charts = [
        line_chart(
            {
                f"teacher above {threshold:g}": [
                    (each.min_probability, getattr(each, measure))
                    for each in results.judgements
                    if each.teacher_threshold == threshold
                ]
                for threshold in thresholds
            },
            x="least p(target | source) of a rule",
            y=f"{measure} of added labels",
            top=1.0,
        )
        for measure in ("precision", "recall")
    ]
    sweep = [
        (j.teacher_threshold, j.min_probability, j.rules, j.added, j.precision, j.recall) for j in results.judgements
    ]
    return (
        '<h2 id="rules">The rules</h2><p>Where the teacher sees a category on a large enough part of the images that '
        "carry another, a rule adds the one to the other's images, with its ancestors. Thresholds decide: the "
        "published ones are 0.95 for the teacher and 0.5 for the part. Precision: added labels that are true. Recall: "
        "true labels that were missing after the ancestors and were added. Most of what is missing stands in scenes by "
        f'chance, which no rule can know.</p><div class="charts">{"".join(charts)}</div>'
        f"<p>Taken: teacher above {chosen.teacher_threshold:g}, part above {chosen.min_probability:g}: "
        f"{chosen.rules} rules add {chosen.added:,} labels, {chosen.right:,} of them true.</p>"
        + table(("source", "target", "p", "images with both", "images of the source", "why"), rows)
        + "<details><summary>All thresholds</summary>"
        + table(
            ("teacher above", "part above", "rules", "labels added", "precision", "recall"),
            sweep,
            chosen=results.judgements.index(chosen),
        )
        + "</details>"
    )


def _why(results: Results, source: str, target: str) -> str:
    """Whether a rule is planted, follows from one planted for a descendant of its source, or is chance."""
    h = results.world.hierarchy
    for each in results.world.collection.companions:
        if target == each.key and source == each.beside:
            return f"planted in {each.probability:.0%} of scenes"
        if target == each.key and h.is_ancestor(source, each.beside):
            return f"planted beside the {escape(h[each.beside].name)} below it"
    return "chance"


def _explained(results: Results) -> str:
    true_objects = {scene.name: scene for scene in results.world.training}
    parts = []
    for kind, image, explanation in results.explanations:
        scene = true_objects[image]
        parts.append(
            f'<div class="explained"><figure><img src="{_picture(results.world.images / image)}" alt="">'
            f"<figcaption>{escape(image)}, {escape(kind)}; truly in it: {_objects(results, scene)}</figcaption>"
            f"</figure><div>{_by_origin(results, scene, explanation)}</div></div>"
        )
    return (
        '<h2 id="explained">Three pictures explained</h2><p>Every label of a table says where it came from: '
        f"{_mark(Origin.GIVEN)} in the list, an {_mark(Origin.ANCESTOR)} of another label, or brought by a rule of "
        f'{_mark(Origin.COOCCURRENCE)}. Labels that are <s class="wrong">struck out</s> are not true. '
        "<code>mlimages explain TABLE IMAGE</code> tells the same of any image.</p>" + "".join(parts)
    )


def _by_origin(results: Results, scene: Scene, explanation: Explanation) -> str:
    """The labels of an image by origin, and the reason of each."""
    h = results.world.hierarchy
    true = {index for key in scene.objects for index in (h.index(key), *h.ancestors(key).tolist())}
    lines = []
    for origin in dict.fromkeys(row.origin for row in explanation.rows):
        names = [
            f'<span class="right">{escape(row.category.name)}</span>'
            if row.category.index in true
            else f'<s class="wrong">{escape(row.category.name)}</s>'
            for row in explanation.rows
            if row.origin == origin
        ]
        lines.append(f"<p>{_mark(origin)} {', '.join(names)}</p>")
    rows = [(escape(row.category.name), _mark(row.origin), escape(row.because)) for row in explanation.rows]
    return (
        "".join(lines)
        + "<details><summary>What brought each</summary>"
        + table(("label", "origin", "because"), rows)
        + "</details>"
    )


def _mark(origin: Origin) -> str:
    name = origin.name.lower()
    return f'<span class="origin {name}">{name}</span>'


def _training(results: Results) -> str:
    kinds = list(dict.fromkeys(run.labels for run in results.runs))
    curves = "".join(
        f"<figure>{_curves(results, kind)}<figcaption>{escape(kind)}</figcaption></figure>" for kind in kinds
    )
    seeds = count_seeds(results.runs)
    return (
        f'<h2 id="training">Does it help?</h2><p>{escape(results.network)}. It is trained from the Parquet tables with '
        "<code>mlimages.models.train</code>, once on single labels and once on the regenerated ones, and judged on "
        f"{len(results.world.held_out):,} held-out scenes by what is truly in them. Each kind of labels has the "
        "learning rate that ranked objects best of five, tried once each for both beforehand and judged on the "
        "teacher's scenes, not on these. Mean and spread (standard "
        f"deviation) over {seeds} {'seed' if seeds == 1 else 'seeds'}; from 0 to 1, more is better.</p>"
        + _scores(results.runs)
        + "".join(f"<p>{escape(line)}</p>" for line in network_verdict(results))
        + f'<div class="charts">{curves}</div>'
        '<p class="soft">The loss is the sum of the binary cross-entropies of all categories, the mean over scenes: '
        "more labels give greater losses, so the heights of the two charts can not be compared.</p>"
        "<h3>What would help more</h3><p>A last layer over the teacher's network, which itself is not trained any "
        "more, learns each kind of labels in seconds. So two more kinds can be tried: ancestors without rules, and all "
        "that is truly there.</p>"
        + _scores(results.layers)
        + "".join(f"<p>{escape(line)}</p>" for line in layer_verdict(results))
    )


def _scores(runs: Sequence[Trained]) -> str:
    kinds = list(dict.fromkeys(run.labels for run in runs))
    summaries = {kind: summary(runs, kind) for kind in kinds}
    rows = [
        (
            escape(text),
            *(shown(summaries[kind][name], seeds=count_seeds(runs)).replace(" ", "&nbsp;") for kind in kinds),
        )
        for name, text in MEASURES.items()
    ]
    return table(("on held-out scenes", *map(escape, kinds)), rows)


def _curves(results: Results, kind: str) -> str:
    return line_chart(
        {f"seed {run.seed}": run.curve for run in results.runs if run.labels == kind}, x="epoch", y="loss"
    )


def _hierarchy(results: Results) -> str:
    page = explorer(
        results.world.hierarchy, counts=results.regenerated.category_counts(), title="Categories of the demo"
    )
    return (
        '<h2 id="hierarchy">The hierarchy</h2><p>The objects and all that WordNet has above them. Counts are images of '
        "the regenerated training table.</p>"
        f'<iframe title="Hierarchy explorer" srcdoc="{escape(page)}"></iframe>' + _placement(results)
    )


def _placement(results: Results) -> str:
    placement = results.placement
    if placement is None:
        return "<p>The published dictionary is not at hand, so these are not looked up in it.</p>"
    rows = [
        (
            f"{escape(each.name)} ({each.key})",
            "none" if each.below is None else f"{escape(placement.name(each.below))} ({each.below})",
        )
        for each in placement.others
    ]
    return (
        f"<p>In the published hierarchy of {len(placement.published):,} categories are {placement.categories:,} of "
        f"these {len(results.world.hierarchy):,}, and {placement.objects:,} of the "
        f"{len(results.world.collection.keys):,} objects.</p><details><summary>The others, and the nearest published "
        "category above each</summary>" + table(("category", "nearest published"), rows) + "</details>"
    )


def _times(results: Results) -> str:
    rows = [(escape(title), f"{seconds:.1f} s") for title, seconds in results.steps]
    return "<h2>How long it took</h2>" + table(("step", "time"), rows)


def _objects(results: Results, scene: Scene) -> str:
    return ", ".join(_name(results, key) for key in scene.objects)


def _name(results: Results, key: str) -> str:
    return escape(results.world.hierarchy[key].name)


def _picture(path: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def _resource(name: str) -> str:
    return (files("mlimages.demo.report") / "data" / name).read_text(encoding="utf-8")
