"""The embedded taxonomy, and the hierarchies made from it."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from functools import cache

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, load_hierarchy
from mlimages.errors import FormatError, HierarchyError, UnknownSynsetError
from mlimages.hierarchy.wordnet.synsets import (
    PUBLISHED_ROOTS,
    class_list,
    close_upwards,
    read_synset_ids,
)
from mlimages.hierarchy.wordnet.taxonomy import TAXONOMY_FILE, taxonomy, taxonomy_schema

ENTITY, PHYSICAL, ANIMAL, CANINE, DOMESTIC, DOG = (
    "n00001740",
    "n00001930",
    "n00015388",
    "n02083346",
    "n01317541",
    "n02084071",
)


# The embedded file ------------------------------------------------------------------------------------------------


def test_embedded_file_holds_the_nouns_of_wordnet_30():
    wordnet = taxonomy()
    assert len(wordnet) == 82_115
    assert (np.diff(wordnet.offsets) > 0).all()
    assert int((wordnet.hypernyms.lengths == 0).sum()) == 1
    assert wordnet.hypernyms.lengths.sum() == 75_850 + 8_577
    assert pq.read_schema(TAXONOMY_FILE).remove_metadata().equals(taxonomy_schema())
    assert TAXONOMY_FILE.stat().st_size < 2_500_000


def test_hypernyms_keep_wordnets_order_instances_last():
    wordnet = taxonomy()

    def above(key):
        return wordnet.keys(wordnet.hypernyms[int(wordnet.positions([key])[0])])

    assert above(DOG) == [CANINE, DOMESTIC]
    assert above("n11035780") == ["n09947232"]  # Haydn, an instance of composer
    assert above("n09053185") == ["n09050730", "n08655464"]  # Alabama, a kind of South and an American state
    assert above(ENTITY) == []


def test_names_have_spaces_for_underscores():
    wordnet = taxonomy()
    assert wordnet.names(wordnet.positions([DOG, "n07942152"])) == [
        ("dog", "domestic dog", "Canis familiaris"),
        ("people",),
    ]
    assert wordnet.names(np.empty(0, np.int64)) == []


def test_loading_needs_neither_pandas_nor_nltk():
    code = (
        "import sys; from mlimages.hierarchy.wordnet.synsets import from_wordnet;"
        "h = from_wordnet(['n02084071', 'n00015388']);"
        "print(len(h), sorted({'pandas', 'nltk', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


@pytest.mark.parametrize(
    ("name", "count", "some"),
    [
        ("imagenet-1k", 1000, {0: "n01440764", 207: "n02099601", 999: "n15075141"}),
        ("imagenet-11k", 11_221, {0: "n00005787", 11_220: "n15102894"}),
        ("imagenet-12k", 11_821, {0: "n00005787", 11_820: "n15102894"}),
        ("imagenet-21k", 21_841, {0: "n00004475", 21_840: "n15102894"}),
    ],
)
def test_class_list_is_in_class_order(name, count, some):
    keys = class_list(name)
    assert len(keys) == len(set(keys)) == count
    assert {at: keys[at] for at in some} == some


def test_class_list_rejects_an_unknown_name():
    with pytest.raises(HierarchyError, match="unknown class list 'imagenet-22k': expected one of imagenet-1k"):
        class_list("imagenet-22k")


# From synset ids --------------------------------------------------------------------------------------------------


def test_parent_is_the_nearest_kept_hypernym():
    h = Hierarchy.from_wordnet([ENTITY, DOG, ANIMAL])
    assert h.keys == (ENTITY, DOG, ANIMAL)
    assert [row.tolist() for row in h.parents()] == [[], [2], [0]]
    assert h["n02084071"].names == ("dog", "domestic dog", "Canis familiaris")


def test_equally_near_hypernyms_are_decided_by_wordnets_order():
    assert Hierarchy.from_wordnet([DOMESTIC, CANINE, DOG]).parents(DOG).tolist() == [1]


def test_multiple_parents_keep_every_nearest_one_first_one_first():
    h = Hierarchy.from_wordnet([ANIMAL, DOMESTIC, CANINE, DOG], multiple_parents=True)
    assert h.parents(DOG).tolist() == [2, 1]
    assert h.parents(CANINE).tolist() == [0]
    # animal is above canine, and met without it through domestic animal, which is not kept
    h = Hierarchy.from_wordnet([ANIMAL, CANINE, DOG], multiple_parents=True)
    assert h.parents(DOG).tolist() == [1, 0]


def test_inner_names_who_may_be_a_parent():
    h = Hierarchy.from_wordnet([ENTITY, CANINE, DOG, ANIMAL], inner=[ENTITY, ANIMAL])
    assert [row.tolist() for row in h.parents()] == [[], [3], [3], [0]]


def test_inner_outside_the_keys_is_an_error():
    with pytest.raises(HierarchyError, match=f"inner names '{CANINE}', which is not among the 2 keys"):
        Hierarchy.from_wordnet([DOG, ANIMAL], inner=[ANIMAL, CANINE])


def test_roots_cut_what_is_above():
    h = Hierarchy.from_wordnet([ENTITY, PHYSICAL, ANIMAL, DOG], roots=[ANIMAL])
    assert [row.tolist() for row in h.parents()] == [[], [0], [], [2]]


def test_roots_keep_a_shorter_way_around_them_out():
    # a person is an organism and a causal agent; the second is nearer to physical entity
    person, object_ = "n00007846", "n00002684"
    assert Hierarchy.from_wordnet([PHYSICAL, object_, person]).parents(person).tolist() == [0]
    assert Hierarchy.from_wordnet([PHYSICAL, object_, person], roots=[object_]).parents(person).tolist() == [1]
    h = Hierarchy.from_wordnet([PHYSICAL, object_, person], roots=[object_], multiple_parents=True)
    assert h.parents(person).tolist() == [1]


def test_empty_keys_make_an_empty_hierarchy():
    assert len(Hierarchy.from_wordnet([])) == 0


@pytest.mark.parametrize(
    "key", ["n2084071", "02084071", "v02084071", "", "n0208407\uff11", "n02084071 ", "/m/0bt9lr", 5]
)
def test_malformed_id_is_named(key):
    with pytest.raises(UnknownSynsetError) as caught:
        Hierarchy.from_wordnet([DOG, key])
    assert str(caught.value).startswith(f"unknown synset {key!r}: expected the id of a WordNet 3.0 noun")


@pytest.mark.parametrize("argument", ["inner", "roots"])
def test_id_without_synset_is_named(argument):
    message = "unknown synset 'n99999999': WordNet 3.0 has no noun synset at this offset"
    with pytest.raises(UnknownSynsetError, match=message):
        Hierarchy.from_wordnet([DOG], **{argument: ["n99999999"]})
    with pytest.raises(UnknownSynsetError, match=message):
        Hierarchy.from_wordnet(["n99999999"])


def test_duplicate_key_is_an_error():
    with pytest.raises(HierarchyError, match=f"duplicate key '{DOG}'"):
        Hierarchy.from_wordnet([DOG, ANIMAL, DOG])


# Files of synset ids -------------------------------------------------------------------------------------------


def test_synset_ids_are_read_in_order():
    assert read_synset_ids(b"n02084071\n\nn00015388\n", path="f") == ["n02084071", "n00015388"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"n02084071\nn99999999\n", "^f:2: unknown synset id 'n99999999': expected a noun of WordNet 3.0"),
        (b"dog\n", "^f:1: unknown synset id 'dog'"),
        (b"n00015388\n\nn00015388\n", "^f:3: duplicate synset id 'n00015388', first on line 1$"),
        (b"n00015388\nn00001740\n", "^f:2: 'n00001740' is not among the keys to build from"),
        (b"n00015388\n\xff\n", "^f:2: invalid UTF-8"),
    ],
)
def test_bad_synset_ids_are_refused_with_file_and_line(content, message):
    with pytest.raises(FormatError, match=message):
        read_synset_ids(content, path="f", among={"n00015388", "n02084071"})


# Against a slow reference -----------------------------------------------------------------------------------------


@cache
def reference_hypernyms():
    table = pq.read_table(TAXONOMY_FILE).to_pydict()
    rows = zip(table["offset"], table["hypernyms"], table["instance_hypernyms"], strict=True)
    return {f"n{offset:08d}": [f"n{o:08d}" for o in [*kind, *instance]] for offset, kind, instance in rows}


def reference_parents(key, kept, roots, *, every):
    hypernyms = reference_hypernyms()

    def below_a_root(node):
        return node in roots or any(below_a_root(above) for above in hypernyms[node])

    def up(node):
        if node in roots:
            return []
        inside = below_a_root(node)
        return [above for above in hypernyms[node] if below_a_root(above) or not inside]

    found, seen, queue = [], {key}, deque([key])
    while queue and (every or not found):
        for above in up(queue.popleft()):
            if above in seen:
                continue
            seen.add(above)
            if above not in kept:
                queue.append(above)
            elif every or not found:
                found.append(above)
    return found


@st.composite
def synset_subsets(draw):
    """Some synsets, and some of their ancestors so that they are related."""
    hypernyms = reference_hypernyms()
    everything = sorted(hypernyms)
    keys = draw(st.lists(st.sampled_from(everything), min_size=1, max_size=12, unique=True))
    above = set(keys)
    waiting = list(keys)
    while waiting:
        fresh = set(hypernyms[waiting.pop()]) - above
        above |= fresh
        waiting += sorted(fresh)
    related = draw(st.lists(st.sampled_from(sorted(above)), max_size=20, unique=True))
    return list(dict.fromkeys(draw(st.permutations([*keys, *related])))), sorted(above)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(synset_subsets(), st.booleans(), st.data())
def test_walk_agrees_with_a_breadth_first_search(subset, every, data):
    keys, above = subset
    inner = data.draw(st.none() | st.lists(st.sampled_from(keys), unique=True))
    roots = data.draw(st.none() | st.lists(st.sampled_from(above), max_size=3, unique=True))
    h = Hierarchy.from_wordnet(keys, inner=inner, roots=roots, multiple_parents=every)
    kept = set(keys if inner is None else inner)
    expected = [reference_parents(key, kept, set(roots or ()), every=every) for key in keys]
    assert [[keys[i] for i in row] for row in h.parents()] == expected


@settings(max_examples=25, deadline=None, derandomize=True)
@given(synset_subsets(), st.data())
def test_closing_upwards_agrees_with_a_search(subset, data):
    keys, above = subset
    assert sorted(close_upwards(keys)) == above
    roots = data.draw(st.lists(st.sampled_from(above), min_size=1, max_size=3, unique=True))
    h = Hierarchy.from_wordnet(close_upwards(keys, roots), roots=roots, multiple_parents=True)
    assert {h.keys[i] for i in h.roots} <= set(roots)
    assert [key for key in h.keys if key in keys] == [key for key in keys if key in h]


# The class lists as hierarchies -----------------------------------------------------------------------------------


def test_close_upwards_puts_the_given_first_each_once():
    assert close_upwards([DOG, CANINE, DOG], roots=["n02075296"]) == [DOG, CANINE, "n02075296"]
    assert close_upwards([ENTITY, DOG], roots=[DOMESTIC]) == [DOG, DOMESTIC]


@pytest.mark.parametrize(
    ("name", "kept", "categories", "whole"),
    [
        ("imagenet-1k", 997, 1791, 1808),
        ("imagenet-11k", 10_933, 12_502, 12_936),
        ("imagenet-12k", 11_529, 13_102, 13_540),
        ("imagenet-21k", 21_412, 22_840, 23_460),
    ],
)
def test_imagenet_hierarchy_is_cut_or_whole(name, kept, categories, whole):
    classes = class_list(name)
    h = load_hierarchy(name)
    below = [key for key in classes if key in h]
    assert (len(below), len(h)) == (kept, categories)
    assert list(h.keys[:kept]) == below
    assert list(h.keys[kept:]) == sorted(set(h.keys) - set(classes))
    assert {h.keys[i] for i in h.roots} <= set(PUBLISHED_ROOTS)

    h = load_hierarchy(name, roots=None)
    assert len(h) == whole
    assert list(h.keys[: len(classes)]) == classes
    assert [h.keys[i] for i in h.roots] == [ENTITY]


@pytest.mark.parametrize("multiple_parents", [False, True])
@pytest.mark.parametrize("roots", [None, PUBLISHED_ROOTS])
def test_imagenet_hierarchy_has_a_class_below_every_category(multiple_parents, roots):
    h = load_hierarchy("imagenet-1k", roots=roots, multiple_parents=multiple_parents)
    classes = set(class_list("imagenet-1k"))
    assert all(h.keys[i] in classes for i in h.leaves)
    parents = ["canine", "domestic animal"] if multiple_parents else ["canine"]
    assert [h[i].name for i in h.parents(DOG)] == parents


# The published file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published_inner", "multiple_parents", "agreeing"),
    [(False, False, 10_214), (True, False, 11_035), (False, True, 10_303), (True, True, 11_116)],
)
def test_nearest_kept_hypernym_gives_the_published_parent(ml_images, published_inner, multiple_parents, agreeing):
    inner = [ml_images.keys[i] for i in np.flatnonzero(ml_images.children().lengths)] if published_inner else None
    h = Hierarchy.from_wordnet(ml_images.keys, inner=inner, multiple_parents=multiple_parents)
    pairs = zip(h.parents(), ml_images.parents(), strict=True)
    assert sum(len(published) == 1 and published[0] in ours for ours, published in pairs) == agreeing


def test_published_names_are_the_lemmas(ml_images):
    assert Hierarchy.from_wordnet(ml_images.keys).names == ml_images.names
