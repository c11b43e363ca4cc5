"""Scenes: the same again, as many objects as said, companions as often as planted, one label published."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlimages.demo.scenes.cutouts import Collection, Companion, Cutout
from mlimages.demo.scenes.scene import SIDE, SceneMaker
from mlimages.demo.scenes.shapes import SHAPES, draw_shapes

TREE, BIRD = "n13104059", "n01503061"


@pytest.fixture(scope="module")
def shapes() -> Collection:
    return draw_shapes()


def test_a_scene_is_the_same_again_whatever_was_made_before(shapes: Collection) -> None:
    first, second = SceneMaker(shapes), SceneMaker(shapes)
    second.make("training", 3)
    assert first.make("training", 7) == second.make("training", 7)
    assert first.make("training", 7) != first.make("held-out", 7)
    assert first.make("training", 7)[1] != SceneMaker(shapes, seed=1).make("training", 7)[1]


def test_scenes_written_by_threads_are_those_made_one_by_one(shapes: Collection, tmp_path: Path) -> None:
    maker = SceneMaker(shapes)
    told: list[tuple[int, int]] = []
    scenes = maker.write(tmp_path, "training", 12, progress=lambda done, total: told.append((done, total)))
    assert [scene.name for scene in scenes] == [f"training/{number:05d}.jpg" for number in range(12)]
    assert told == [(done, 12) for done in range(1, 13)]
    assert (tmp_path / scenes[5].name).read_bytes() == maker.make("training", 5)[1]
    assert scenes[5] == maker.make("training", 5)[0]


def test_a_scene_is_a_jpeg_of_one_to_five_different_objects(shapes: Collection) -> None:
    maker = SceneMaker(shapes)
    for number in range(60):
        scene, data = maker.make("x", number)
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (SIDE, SIDE))
        assert 1 <= len(scene.objects) <= 5
        assert len(set(scene.objects)) == len(scene.objects)
        assert set(scene.objects) <= set(SHAPES)
        assert scene.published == scene.objects[0]


def test_companions_stand_beside_as_often_as_planted(shapes: Collection) -> None:
    maker = SceneMaker(shapes)
    beside = [BIRD in scene.objects for scene, _ in (maker.make("x", n) for n in range(800)) if scene.published == TREE]
    assert len(beside) > 60
    assert np.mean(beside) == pytest.approx(0.8, abs=0.12)


def test_an_object_that_finds_no_place_is_not_said_to_be_there() -> None:
    board = Image.new("RGBA", (160, 160), "red")
    two = Collection(
        "two boards",
        (Cutout("n1", "one", board), Cutout("n2", "two", board)),
        (Companion("n2", beside="n1", probability=1.0),),
    )
    maker = SceneMaker(two)
    counts = {len(maker.make("x", number)[0].objects) for number in range(40)}
    assert counts == {1, 2}


def test_the_objects_are_where_the_scene_differs_from_its_background(shapes: Collection) -> None:
    plain = SceneMaker(Collection("one", tuple(c for c in shapes.cutouts if c.key == TREE), ()))
    _, data = plain.make("x", 0)
    with Image.open(io.BytesIO(data)) as picture:
        values = np.asarray(picture, int)
    assert values.std() > 10  # not a blank


def test_drawings_are_trimmed_and_named_by_their_synset(shapes: Collection) -> None:
    assert shapes.title == "48 drawings, 16 synsets"
    assert shapes.keys == sorted(SHAPES)
    for each in shapes.cutouts:
        box = each.picture.getchannel("A").point(lambda alpha: 255 if alpha > 24 else 0).getbbox()
        assert box == (0, 0, *each.picture.size)
