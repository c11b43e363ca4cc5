"""A hierarchy against WordNet, and against another."""

from __future__ import annotations

import pytest

from mlimages import Hierarchy, load_hierarchy
from mlimages.hierarchy.audit import STATUSES, audit, compare

ANIMAL, CARNIVORE, CANINE, DOMESTIC, DOG, WOLF, TABLE = (
    "n00015388",
    "n02075296",
    "n02083346",
    "n01317541",
    "n02084071",
    "n02114100",
    "n04379243",
)


def rows(report, *columns):
    return report.table[list(columns)].values.tolist()


# Against WordNet --------------------------------------------------------------------------------------------------


def test_audit_tells_every_status_apart():
    h = Hierarchy.from_edges(
        [
            (ANIMAL, CARNIVORE),  # agrees
            (CARNIVORE, CANINE),  # agrees
            (CARNIVORE, WOLF),  # skips canine
            (ANIMAL, DOMESTIC),  # agrees
            (DOMESTIC, DOG),  # canine comes first
            (DOG, TABLE),  # nonsense
            (ANIMAL, "unicorn"),
            ("unicorn", "n02124075"),
        ]
    )
    report = audit(h)
    assert rows(report, "key", "status", "nearest_key") == [
        [ANIMAL, "root", ""],
        [CARNIVORE, "agrees", ""],
        [CANINE, "agrees", ""],
        [WOLF, "skips", CANINE],
        [DOMESTIC, "agrees", ""],
        [DOG, "other-parent", CANINE],
        [TABLE, "contradicts", ""],
        ["unicorn", "unknown synset", ""],
        ["n02124075", "unknown synset", ""],
    ]
    assert report.summary == {
        "agrees": 3,
        "skips": 1,
        "other-parent": 1,
        "contradicts": 1,
        "root": 1,
        "unknown synset": 2,
    }


def test_audit_table_names_parent_and_nearest():
    h = Hierarchy([CARNIVORE, CANINE, WOLF], [[], [0], [0]], [["carnivore"], ["canine", "canid"], ["wolf"]])
    table = audit(h).table
    assert table.fillna({"nearest": -1}).to_dict("records")[1:] == [
        {
            "index": 1,
            "key": CANINE,
            "name": "canine",
            "parent": 0,
            "parent_key": CARNIVORE,
            "parent_name": "carnivore",
            "status": "agrees",
            "nearest": -1,
            "nearest_key": "",
            "nearest_name": "",
        },
        {
            "index": 2,
            "key": WOLF,
            "name": "wolf",
            "parent": 0,
            "parent_key": CARNIVORE,
            "parent_name": "carnivore",
            "status": "skips",
            "nearest": 1,
            "nearest_key": CANINE,
            "nearest_name": "canine",
        },
    ]
    assert table.parent.isna().tolist() == [True, False, False]


def test_audit_names_what_a_root_could_hang_from_and_what_should_replace_a_contradiction():
    h = Hierarchy([CANINE, DOG, WOLF, TABLE], [[], [], [3], []])
    assert rows(audit(h), "key", "status", "nearest_key") == [
        [CANINE, "root", ""],
        [DOG, "root", CANINE],
        [WOLF, "contradicts", CANINE],
        [TABLE, "root", ""],
    ]


def test_audit_of_several_parents_has_a_row_for_each():
    h = Hierarchy([ANIMAL, CANINE, DOMESTIC, DOG, WOLF], [[], [0], [0], [2, 1], [1, 0]])
    assert rows(audit(h), "key", "parent_key", "status", "nearest_key")[3:] == [
        [DOG, DOMESTIC, "agrees", ""],
        [DOG, CANINE, "agrees", ""],
        [WOLF, CANINE, "agrees", ""],
        [WOLF, ANIMAL, "skips", CANINE],
    ]


def test_audit_of_another_vocabulary_knows_no_synset(zoo):
    report = audit(zoo)
    assert report.summary == dict.fromkeys(STATUSES, 0) | {"unknown synset": 11}
    assert len(audit(Hierarchy([], [])).table) == 0


@pytest.mark.parametrize("multiple_parents", [False, True])
def test_audit_agrees_with_what_wordnet_made(multiple_parents):
    h = load_hierarchy("imagenet-1k", multiple_parents=multiple_parents)
    assert set(audit(h).table.status) == {"agrees", "root"}


def test_audit_of_the_published_hierarchy(ml_images):
    report = audit(ml_images)
    assert report.summary == {
        "agrees": 10_214,
        "skips": 853,
        "other-parent": 89,
        "contradicts": 6,
        "root": 4,
        "unknown synset": 0,
    }
    wrong = report.table[report.table.status == "contradicts"]
    assert wrong["index"].tolist() == [1129, 2563, 2643, 2644, 9741, 11050]
    assert repr(report) == (
        "Against WordNet 3.0, 11,166 in all:\n"
        "  10,214  agrees\n     853  skips\n      89  other-parent\n"
        "       6  contradicts\n       4  root\n       0  unknown synset"
    )


def test_report_in_a_notebook_is_escaped():
    shown = audit(Hierarchy([CANINE], [[]], [["<b>dog</b>"]]))._repr_html_()
    assert "Against WordNet 3.0, 1 in all:" in shown
    assert "&lt;b&gt;dog" in shown
    assert "<b>" not in shown


# Against another hierarchy ----------------------------------------------------------------------------------------


def test_compare_finds_every_change():
    before = Hierarchy(
        ["thing", "gone", "dog", "cat", "same"], [[], [0], [0], [0], []], [["thing"], ["gone"], ["dog"], [], []]
    )
    after = Hierarchy(
        ["thing", "animal", "cat", "dog", "same"], [[], [0], [1], [0], []], [["Thing"], [], [], ["dog"], []]
    )
    report = compare(before, after)
    assert rows(report, "change", "key", "name", "before", "after") == [
        ["removed", "gone", "gone", "1", ""],
        ["renamed", "thing", "Thing", "thing", "Thing"],
        ["added", "animal", "animal", "", "1"],
        ["re-parented", "cat", "cat", "thing", "animal"],
        ["moved", "cat", "cat", "3", "2"],
        ["moved", "dog", "dog", "2", "3"],
    ]
    assert report.summary == {"unchanged": 1, "removed": 1, "added": 1, "renamed": 1, "re-parented": 1, "moved": 2}


def test_compare_tells_names_apart_that_read_alike():
    assert compare(Hierarchy(["a"], [[]], [["x, y"]]), Hierarchy(["a"], [[]], [["x", "y"]])).summary["renamed"] == 1


def test_compare_counts_another_main_parent_as_re_parented(zoo):
    other = Hierarchy(zoo.keys, [row.tolist()[::-1] for row in zoo.parents()], zoo.names)
    report = compare(zoo, other)
    assert rows(report, "change", "key", "before", "after") == [["re-parented", "dog", "animal pet", "pet animal"]]


def test_compare_of_equal_hierarchies_finds_nothing(zoo):
    report = compare(zoo, zoo)
    assert len(report.table) == 0
    assert report.summary == {"unchanged": 10, "removed": 0, "added": 0, "renamed": 0, "re-parented": 0, "moved": 0}
    assert report.table.columns.tolist() == ["change", "key", "name", "before", "after"]


def test_compare_of_the_published_hierarchy_with_wordnet(ml_images):
    assert compare(ml_images, Hierarchy.from_wordnet(ml_images.keys)).summary == {
        "unchanged": 10_218,
        "removed": 0,
        "added": 0,
        "renamed": 0,
        "re-parented": 948,
        "moved": 0,
    }
