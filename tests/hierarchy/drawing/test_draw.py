"""The text tree, the plotly figures and what Jupyter shows."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from mlimages import Hierarchy
from mlimages.errors import MissingExtraError, MlimagesError, UnknownCategoryError

IMAGES = [5, 2, 9, 7, 3, 4, 3, 1, 1, 9]  # images of each category of the zoo


def test_tree_prints_a_diamond_under_both_parents_and_expands_it_once(zoo: Hierarchy) -> None:
    assert zoo.tree() == "\n".join([
        "stuff Stuff, a stuff [4]",
        "└── water Water, a water [6]",
        "thing Thing, a thing [9]",
        "├── animal Animal, a animal [2]",
        "│   ├── dog Dog, a dog [0]",
        "│   │   └── puppy Puppy, a puppy [1]",
        "│   └── pet Pet, a pet [3]",
        "│       ├── dog Dog, a dog [0] (above)",
        "│       └── cat Cat, a cat [5]",
        "└── plant Plant, a plant [7]",
        "    └── rose Rose, a rose [8]",
    ])  # fmt: skip


def test_tree_counts_what_is_below_the_depth(zoo: Hierarchy) -> None:
    assert zoo.tree("thing", depth=1) == (
        "thing Thing, a thing [9]\n"
        "├── animal Animal, a animal [2] (+4 below)\n"
        "└── plant Plant, a plant [7] (+1 below)"
    )  # fmt: skip
    assert zoo.tree("cat", depth=0) == "cat Cat, a cat [5]"


def test_tree_expands_later_what_the_depth_cut_off_earlier() -> None:
    # d is first met at the depth, then a level higher
    h = Hierarchy(["a", "b", "c", "d", "e"], [[], [0], [1], [2, 0], [3]])
    assert h.tree(depth=2) == "a [0]\n├── b [1]\n│   └── c [2] (+2 below)\n└── d [3]\n    └── e [4]"


def test_tree_sorts_by_images_and_prints_them_when_counts_are_given(zoo: Hierarchy) -> None:
    assert zoo.tree("animal", counts=IMAGES) == (
        "animal Animal, a animal 9\n"
        "├── pet Pet, a pet 7\n"
        "│   ├── dog Dog, a dog 5\n"
        "│   │   └── puppy Puppy, a puppy 2\n"
        "│   └── cat Cat, a cat 4\n"
        "└── dog Dog, a dog 5 (above)"
    )
    assert zoo.tree(counts=IMAGES).startswith("thing Thing, a thing 9\n")


def test_tree_counts_the_children_beyond_the_width() -> None:
    h = Hierarchy(["top", *(f"leaf{i}" for i in range(1200))], [[], *([[0]] * 1200)])
    assert h.tree(width=2) == "top [0]\n├── leaf0 [1]\n├── leaf1 [2]\n└── … 1,198 more"
    assert h.tree(width=0) == "top [0]\n└── … 1,200 more"
    assert len(h.tree().splitlines()) == 52
    assert len(h.tree(width=None).splitlines()) == 1201


def test_tree_keeps_one_line_a_category_whatever_its_name() -> None:
    h = Hierarchy(["a", "b"], [[], [0]], [["two\nlines \x1b[31mred"], ["x" * 80, "y"]])
    assert h.tree() == f"a two lines [31mred [0]\n└── b {'x' * 59}… [1]"


def test_tree_of_a_chain_deeper_than_the_recursion_limit() -> None:
    n = sys.getrecursionlimit() * 2
    h = Hierarchy([str(i) for i in range(n)], [[], *([i] for i in range(n - 1))])
    assert h.tree().splitlines()[-1] == f"{'    ' * (n - 2)}└── {n - 1} [{n - 1}]"


def test_tree_prints_each_edge_once_in_a_dag_of_many_paths() -> None:
    h = ladder(40)  # 2 ** 40 paths
    lines = h.tree().splitlines()
    assert len(lines) == 1 + 4 * 40  # the root, and one line an edge
    assert sum(line.endswith("(above)") for line in lines) == 40


def test_tree_of_an_empty_hierarchy_is_empty() -> None:
    assert Hierarchy([], []).tree() == ""


def test_tree_of_the_published_hierarchy_shows_every_category(ml_images: Hierarchy) -> None:
    lines = ml_images.tree(width=None).splitlines()
    assert len(lines) == 11_166
    assert "(+165 below)" in ml_images.tree("n02084071", depth=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": -1}, "depth is -1: expected 0 or more"),
        ({"width": -1}, "width is -1: expected 0 or more"),
        ({"counts": [1, 2]}, r"counts have the shape \(2,\): expected \(10,\)"),
        ({"counts": [0.5] * 10}, "counts are of type float64: expected whole numbers"),
        ({"counts": [0] * 9 + [-1]}, r"counts has -1 for category 9 \(thing\): expected 0 or more"),
    ],
)
def test_tree_refuses_impossible_options(zoo: Hierarchy, options: dict, message: str) -> None:
    with pytest.raises(MlimagesError, match=message):
        zoo.tree(**options)


def test_drawing_from_an_unknown_root_is_an_error(zoo: Hierarchy) -> None:
    with pytest.raises(UnknownCategoryError, match="unknown category 'unicorn'"):
        zoo.tree("unicorn")
    with pytest.raises(UnknownCategoryError, match="unknown category 'unicorn'"):
        zoo.treemap("unicorn")


# Figures -----------------------------------------------------------------------------------------------------------


def ladder(steps: int) -> Hierarchy:
    """A DAG of `steps` diamonds one below the other: ``2 ** steps`` paths from top to bottom."""
    keys, parents = ["top"], [[]]
    for step in range(steps):
        above = len(keys) - 1
        keys += [f"left{step}", f"right{step}", f"end{step}"]
        parents += [[above], [above], [above + 1, above + 2]]
    return Hierarchy(keys, parents)


def nested(figure) -> dict[str, list[str]]:
    """Labels of the boxes in each box, by label; and no box may be its own ancestor or hang in the air."""
    trace = figure.data[0]
    assert len(set(trace.ids)) == len(trace.ids)
    labels = dict(zip(trace.ids, trace.labels, strict=True))
    inside: dict[str, list[str]] = {}
    for parent, label in zip(trace.parents, trace.labels, strict=True):
        inside.setdefault(labels[parent] if parent else "", []).append(label)
    return inside


@pytest.mark.parametrize("method", ["treemap", "sunburst"])
def test_figure_holds_a_diamond_under_both_parents(zoo: Hierarchy, method: str) -> None:
    figure = getattr(zoo, method)("thing", title="Zoo")
    assert figure.data[0].type == method
    assert figure.layout.title.text == "Zoo"
    inside = nested(figure)
    assert inside["Thing"] == ["Animal", "Plant"]
    assert inside["Animal"] == ["Dog", "Pet"]
    assert inside["Pet"] == ["Dog", "Cat"]
    assert inside["Dog"] == ["Puppy", "Puppy"]


def test_figure_puts_one_box_around_several_roots(zoo: Hierarchy) -> None:
    inside = nested(zoo.treemap())
    assert inside[""] == ["all"]
    assert inside["all"] == ["Stuff", "Thing"]


def test_figure_sizes_are_leaves_without_counts(zoo: Hierarchy) -> None:
    assert drawn_sizes(zoo.sunburst("thing")) == {
        "Thing": 4, "Animal": 3, "Dog": 1, "Puppy": 1, "Pet": 2, "Cat": 1, "Plant": 1, "Rose": 1,
    }  # fmt: skip
    assert drawn_sizes(zoo.sunburst("thing", depth=1)) == {"Thing": 3, "Animal": 2, "Plant": 1}


def test_figure_sizes_are_images_where_counts_are_given(zoo: Hierarchy) -> None:
    figure = zoo.treemap("animal", counts=IMAGES)
    # pet has 7 images, but dog 5 and cat 4: its box holds both
    assert drawn_sizes(figure) == {"Animal": 14, "Pet": 9, "Dog": 5, "Puppy": 2, "Cat": 4}
    hover = dict(zip(figure.data[0].labels, figure.data[0].hovertext, strict=True))
    assert hover["Pet"] == "<b>Pet, a pet</b><br>pet · index 3<br>7 images · 3 categories below"


def drawn_sizes(figure) -> dict[str, int]:
    """What plotly draws with branchvalues="remainder": a box's own value and those in it."""
    trace = figure.data[0]
    assert trace.branchvalues == "remainder"
    total = dict(zip(trace.ids, trace.values, strict=True))
    for box, parent in reversed(list(zip(trace.ids, trace.parents, strict=True))):  # children come after parents
        if parent:
            total[parent] += total[box]
    return {label: int(total[box]) for box, label in zip(trace.ids, trace.labels, strict=True)}


def test_figure_stays_bounded_in_a_dag_of_many_paths() -> None:
    trace = ladder(40).treemap(max_boxes=1000).data[0]
    assert 500 < len(trace.ids) <= 1000
    assert set(trace.labels) >= {"top", "left0", "right5"}


def test_figure_of_the_published_hierarchy_draws_few_levels_at_a_time(ml_images: Hierarchy) -> None:
    trace = ml_images.treemap().data[0]
    assert len(trace.ids) == 11_167  # and the box around the four roots
    assert trace.maxdepth == 4  # of which one is that box
    assert ml_images.sunburst("n02084071", maxdepth=2).data[0].maxdepth == 2


def test_figure_escapes_names() -> None:
    h = Hierarchy(["k<b>"], [[]], [["<a href='x'>n</a> & m"]])
    trace = h.treemap().data[0]
    assert trace.labels == ("&lt;a href='x'&gt;n&lt;/a&gt; &amp; m",)
    assert "k&lt;b&gt;" in trace.hovertext[0]


def test_figure_refuses_impossible_options(zoo: Hierarchy) -> None:
    with pytest.raises(MlimagesError, match="maxdepth is 0: expected 1 or more"):
        zoo.treemap(maxdepth=0)
    with pytest.raises(MlimagesError, match="depth is -2"):
        zoo.sunburst(depth=-2)
    with pytest.raises(MlimagesError, match="counts have the shape"):
        zoo.sunburst(counts=np.zeros((10, 2), int))


def test_figure_names_the_extra_when_plotly_is_missing(zoo: Hierarchy, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtraError, match=r'plotly is not installed: run pip install "mlimages\[plot\]"'):
        zoo.sunburst()


def missing(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


# Jupyter -----------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Which elements a page opens, and its text; fails where one is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_repr_html_shows_statistics_and_the_top_levels(zoo: Hierarchy) -> None:
    page = Elements(zoo._repr_html_())
    assert page.tags.count("details") == 4  # stuff, thing; animal, plant
    assert "animal Animal, a animal +4" in page.text
    assert "puppy" not in page.text  # three levels down
    assert "10" in page.text


def test_repr_html_escapes_names() -> None:
    h = Hierarchy(['"k"'], [[]], [["</details><script>alert(1)</script>"]])
    page = Elements(h._repr_html_())
    assert "script" not in page.tags
    assert "</details><script>alert(1)</script>" in page.text


def test_repr_html_stays_small_for_wide_hierarchies(ml_images: Hierarchy) -> None:
    assert len(ml_images._repr_html_()) < 50_000
    assert "… 49,988 more" in Elements(Hierarchy([str(i) for i in range(50_000)], [[]] * 50_000)._repr_html_()).text
    assert Elements(Hierarchy([], [])._repr_html_()).tags.count("details") == 0
