"""The published hierarchy of ML-Images, in figures."""

from __future__ import annotations

from mlimages import Hierarchy


def test_published_file_has_the_known_figures(ml_images):
    assert len(ml_images) == 11_166
    statistics = ml_images.statistics()
    assert statistics["leaves"] == len(ml_images.leaves) == 9_219
    assert statistics["max_depth"] == ml_images.depth(longest=True).max() == 16
    assert round(statistics["mean_depth"], 2) == 7.47
    assert statistics["surplus_names"] == 293
    assert statistics["categories_with_several_parents"] == 0


def test_published_roots_are_four(ml_images):
    assert {ml_images[int(i)].key: ", ".join(ml_images[int(i)].names) for i in ml_images.roots} == {
        "n00002452": "thing",
        "n00020827": "matter",
        "n00002684": "object, physical object",
        "n11425580": "atmospheric phenomenon",
    }


def test_published_index_order_is_not_topological(ml_images):
    assert ml_images.parents(9741).tolist() == [10348]
    order = ml_images.topological_order.tolist()
    assert order.index(10348) < order.index(9741)


def test_published_file_comes_back_byte_for_byte(ml_images, official, tmp_path):
    ml_images.to_dictionary(tmp_path / "again.txt")
    original = official / "dictionary_and_semantic_hierarchy.txt"
    assert (tmp_path / "again.txt").read_bytes() == original.read_bytes()


def test_published_hierarchy_survives_every_conversion(ml_images, tmp_path):
    ml_images.to_parquet(tmp_path / "h.parquet")
    assert Hierarchy.from_parquet(tmp_path / "h.parquet") == ml_images
    assert Hierarchy.from_networkx(ml_images.to_networkx()) == ml_images


def test_restricting_the_published_hierarchy_keeps_ancestry(ml_images):
    leaves_and_roots = [*ml_images.leaves.tolist(), *ml_images.roots.tolist()]
    flat = ml_images.restrict(leaves_and_roots)
    assert flat.statistics()["max_depth"] == 1
    top = {ml_images.path_to_root(int(i))[-1] for i in ml_images.leaves}
    assert {flat.keys[i] for row in flat.parents() for i in row} == {ml_images.keys[i] for i in top}


def test_ship_is_found_before_what_only_contains_it(ml_images):
    found = ml_images.find("ship")
    assert found[0].key == "n04194289"
    assert all("ship" in " ".join((each.key, *each.names)).lower() for each in found)
