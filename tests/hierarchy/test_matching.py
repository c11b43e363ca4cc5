"""Display names to proposed synsets."""

from __future__ import annotations

import pytest

from mlimages import Hierarchy
from mlimages.errors import HierarchyError
from mlimages.hierarchy.matching import match_names, singulars

COLUMNS = ["name", "rank", "key", "synset", "lemma", "how", "candidates"]


def proposals(name, hierarchy=None):
    table = match_names([name], hierarchy)
    return table[["key", "how"]].values.tolist()


def test_a_lemma_matches_exactly_whatever_its_case():
    table = match_names(["FEDORA"])
    assert table.columns.tolist() == COLUMNS
    assert table.values.tolist() == [
        ["FEDORA", 1, "n03325941", "fedora, felt hat, homburg, Stetson, trilby", "fedora", "exact lemma", 1]
    ]


def test_senses_are_ranked_by_frequency_and_the_ambiguity_shown():
    table = match_names(["Dog", "Crane"])
    assert table.key.tolist()[:3] == ["n02084071", "n10114209", "n10023039"]
    assert table[table.name == "Dog"]["rank"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert dict(zip(table.name, table.candidates, strict=True)) == {"Dog": 7, "Crane": 5}


@pytest.mark.parametrize(
    ("name", "key", "how"),
    [
        ("Fedoras", "n03325941", "plural folded"),
        ("Mice", "n02330245", "plural folded"),
        ("Polar bears", "n02134084", "plural folded"),
        ("Attorneys general", "n09822830", "plural folded"),
        ("Ferris_wheels", "n03329302", "plural folded"),
        ("  Motor   vehicle ", "n03791235", "exact lemma"),
        ("Huge old castle", "n03878066", "head noun"),
        ("Grizzly brown bears", "n02132136", "head noun, plural folded"),
        ("Salt and pepper shakers", "n03914438", "head noun, plural folded"),
        ("Bottles of red wine", "n02876657", "head noun, plural folded"),
        ("Glasses", "n04272054", "exact lemma"),
    ],
)
def test_best_proposal(name, key, how):
    assert proposals(name)[0] == [key, how]


def test_plural_comes_after_the_exact_lemma():
    hows = [how for _, how in proposals("Glasses")]
    assert hows == ["exact lemma"] + ["plural folded"] * (len(hows) - 1)
    assert len(hows) > 1


def test_head_noun_is_left_out_where_the_whole_is_known():
    assert proposals("Human face") == [["n05600637", "exact lemma"]]


def test_qualifier_in_parentheses_puts_what_it_names_first():
    assert proposals("Bat (Animal)")[0] == ["n02139199", "exact lemma"]
    assert proposals("Bat (Clubs)")[0][0] == "n02806379"
    assert sorted(proposals("Bat (Clubs)")) == sorted(proposals("Bat"))
    assert proposals("Bat (no such thing)") == proposals("Bat")


@pytest.mark.parametrize("name", ["xyzzy", "", "()", "of"])
def test_unmatched_name_has_one_row_of_rank_zero(name):
    assert match_names([name]).values.tolist() == [[name, 0, "", "", "", "no match", 0]]


def test_names_keep_their_order_and_repeat():
    table = match_names(["xyzzy", "Fedora", "xyzzy", "Fedora"])
    assert table.name.tolist() == ["xyzzy", "Fedora", "xyzzy", "Fedora"]
    assert match_names([]).columns.tolist() == COLUMNS


def test_hierarchy_restricts_the_proposals():
    h = Hierarchy.from_wordnet(["n02084071", "n02710044", "n02806379"])  # dog, andiron, bat (the club)
    assert [key for key, _ in proposals("Dogs", h)] == ["n02084071", "n02710044"]
    assert proposals("Human face", h) == [["", "no match"]]
    assert proposals("Guide dog", h) == [["n02084071", "head noun"], ["n02710044", "head noun"]]


def test_hierarchy_of_another_vocabulary_matches_nothing(zoo):
    assert proposals("Dog", zoo) == [["", "no match"]]


def test_single_string_is_an_error():
    with pytest.raises(HierarchyError, match="found the single name 'Dog', expected a list of names"):
        match_names("Dog")
    with pytest.raises(HierarchyError, match="found the name 5, expected a string"):
        match_names(["Dog", 5])


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("boxes", ["boxe", "box"]),
        ("churches", ["churche", "church"]),
        ("firemen", ["fireman"]),
        ("ponies", ["ponie", "pony"]),
        ("geese", ["goose"]),
        ("glass", []),
        ("is", []),
        ("", []),
        ("cups of tea", ["cup of tea"]),
    ],
)
def test_singulars_follow_wordnets_rules(plural, expected):
    assert singulars(plural) == expected


def test_published_first_names_come_back(ml_images):
    first = [names[0] for names in ml_images.names]
    table = match_names(first, ml_images)
    assert not (table["rank"] == 0).any()
    best = table[table["rank"] == 1]
    assert sum(key == own for key, own in zip(best.key, ml_images.keys, strict=True)) == 9979
