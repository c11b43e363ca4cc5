"""What stamps show: head nouns, senses by folder, corrections."""

from __future__ import annotations

from pathlib import Path

import pooch
import pytest

from mlimages.demo.scenes.scene import SceneMaker
from mlimages.demo.scenes.senses import CORRECTIONS, noun_phrase, synset_of_stamps
from mlimages.demo.scenes.stamps import COMPANIONS, ImageNetRelation, find_stamps, read_stamps
from mlimages.hierarchy.wordnet.synsets import close_upwards
from mlimages.hierarchy.wordnet.taxonomy import taxonomy


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("A frog.", "frog"),
        ("A pair of closed scissors.", "closed scissors"),
        ("An albino peahen (a female peafowl, or peacock).", "albino peahen"),
        ("The baby of a gnu.", "gnu"),
        ("A stethoscope lets your doctor listen to your heart and lungs.", "stethoscope"),
        ("Mars\u2014the red planet.", "Mars"),
        ("A \u201cFuji\u201d apple.", "Fuji apple"),
        ("", ""),
    ],
)
def test_noun_phrase_of_a_description(text: str, phrase: str) -> None:
    assert noun_phrase(text) == phrase


def test_the_folder_chooses_the_sense() -> None:
    found = synset_of_stamps(
        {
            "animals/birds/crane": "A crane.",
            "vehicles/construction/crane": "A crane.",
            "food/fruit/orange": "An orange.",
            "animals/mammals/mouse": "A mouse.",
        }
    )
    assert found == {
        "animals/birds/crane": "n02012849",  # ILSVRC's
        "vehicles/construction/crane": "n03126707",
        "food/fruit/orange": "n07747607",
        "animals/mammals/mouse": "n02330245",
    }


def test_cartoons_and_nouns_of_no_sense_that_fits_are_left_out() -> None:
    assert synset_of_stamps({"people/cartoon/dog": "A dog.", "vehicles/idea": "An idea.", "symbols/a": "A frog."}) == {}


def test_corrections_are_synsets_of_wordnet() -> None:
    taxonomy().positions(key for key in CORRECTIONS.values() if key is not None)  # raises for one that is not


def test_companions_are_not_above_each_other() -> None:
    for each in COMPANIONS:
        assert each.beside not in close_upwards([each.key])
        assert each.key not in close_upwards([each.beside])


def test_related_are_the_classes_and_what_is_above_or_below() -> None:
    related = ImageNetRelation()
    assert [related(key) for key in ("n02084071", "n02105412", "n02123045", "n09358358")] == [True, True, True, False]


def test_stamps_of_the_package_are_read_where_they_are_here() -> None:
    folder = find_stamps(Path(pooch.os_cache("mlimages")))
    if folder is None:
        pytest.skip("the photographs of tuxpaint-stamps-default are not here: make demo brings them")
    collection = read_stamps(folder)
    assert len(collection.cutouts) >= 170
    assert {each.name: each.key for each in collection.cutouts}["animals/mammals/aquatic/otter"] == "n02444819"
    assert len(collection.companions) == len(COMPANIONS)


def test_photographs_stand_beside_each_other_as_planted() -> None:
    folder = find_stamps(Path(pooch.os_cache("mlimages")))
    if folder is None:
        pytest.skip("the photographs of tuxpaint-stamps-default are not here: make demo brings them")
    maker = SceneMaker(read_stamps(folder))
    scenes = [maker.make("x", number)[0] for number in range(1000)]
    seldom, often = [], []
    for each in maker.collection.companions:
        beside = [each.key in scene.objects for scene in scenes if scene.published == each.beside]
        (often if each.probability > 0.5 else seldom).append((sum(beside), len(beside) * each.probability))
    for counts in (seldom, often):
        observed, planted = map(sum, zip(*counts, strict=True))
        assert planted > 8
        assert 0.7 * planted < observed < 1.3 * planted  # some find no place
