"""Categories that images do not list: absent, left out, or left out below what the images do list."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import annotate
from mlimages.errors import DataNotFoundError, ModelError
from mlimages.models import Preprocessing, TrainConfig, build_model, evaluate_multi_label, load_model, save_model, train
from mlimages.models.data.dataset import MultiHot, ParquetImages
from mlimages.models.data.order import Ticket
from mlimages.models.data.preprocess import evaluation
from mlimages.models.data.unlisted import Below, background
from mlimages.models.inference.inference import Inference

EVALUATION = evaluation(Preprocessing(size=16))


def expected_below(hierarchy, rows):
    """Row by row, label by label."""
    found = set()
    for number, row in enumerate(rows):
        present = [label for label, value in row.items() if value > 0]
        for label in present:
            below = set(hierarchy.descendants(label).tolist())
            if not below.intersection(present):
                found.update((number, each) for each in below - set(row))
    return sorted(found)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.integers(0, 9), st.sampled_from([0.0, 0.25, 1.0]), max_size=5), min_size=1, max_size=5
    ),
    random=st.randoms(use_true_random=False),
)
def test_below_equals_a_plain_reference(zoo, rows, random):
    entries = [(number, label, value) for number, row in enumerate(rows) for label, value in row.items()]
    random.shuffle(entries)
    columns = [np.array([entry[at] for entry in entries], kind) for at, kind in enumerate((np.int64, np.int16, float))]
    found = Below(zoo)(*columns)
    assert list(zip(*(each.tolist() for each in found), strict=True)) == expected_below(zoo, rows)


def test_below_lies_beneath_both_parents_of_a_diamond(zoo):
    pet, animal, dog, puppy, cat = zoo.index(["pet", "animal", "dog", "puppy", "cat"])
    below = Below(zoo)
    assert sorted(below(np.array([0]), np.array([pet]), np.ones(1))[1]) == sorted([dog, puppy, cat])
    # a dog is said to be there: it may be a puppy, and no cat is left open below the pet
    assert below(np.zeros(3, int), np.array([pet, dog, animal]), np.ones(3))[1].tolist() == [puppy]


@pytest.fixture
def broad(pictures, zoo, tmp_path):
    """A table of three pictures: a pet, a puppy that no cat is beside, and water."""
    (tmp_path / "list.txt").write_text("000.png\tpet:1\n001.png\tpuppy:1\tcat:0\n002.png\twater:1\n")
    annotate(tmp_path / "list.txt", zoo, out=tmp_path / "broad")
    return tmp_path / "broad"


def targets_of(images, columns):
    return MultiHot(columns)(images[Ticket(0, 0, np.arange(3))])


def test_batch_lists_what_is_below_as_unknown(broad, pictures, zoo):
    images = ParquetImages(broad, pictures.images, preprocess=EVALUATION, below=True)
    targets = targets_of(images, 10)
    unknown = [[zoo.keys[column] for column in np.flatnonzero(row < 0)] for row in targets.numpy()]
    assert unknown == [["dog", "puppy", "cat"], [], []]
    plain = ParquetImages(broad, pictures.images, preprocess=EVALUATION)
    assert torch.equal(targets.clamp(min=0), targets_of(plain, 10))


def test_label_that_is_no_output_leaves_those_below_it_open(broad, pictures, zoo):
    chosen = zoo.index(["cat", "puppy"]).tolist()
    images = ParquetImages(broad, pictures.images, preprocess=EVALUATION, below=True, categories=chosen)
    assert targets_of(images, 2).tolist() == [[-1, -1], [0, 1], [0, 0]]


def test_broken_picture_has_no_unknown_labels_of_its_own(broad, pictures, tmp_path):
    images = ParquetImages(broad, tmp_path, preprocess=EVALUATION, below=True)
    batch = images[Ticket(0, 0, np.arange(3))]
    assert len(batch.broken) == 3
    assert not len(batch.values)


def test_table_without_categories_cannot_tell_what_is_below(broad, pictures):
    (broad / "categories.parquet").unlink()
    with pytest.raises(DataNotFoundError, match=r"categories.parquet: no such file"):
        ParquetImages(broad, pictures.images, preprocess=EVALUATION, below=True)


def test_training_leaves_alone_what_is_below(pictures, zoo, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{number:03d}.png\tdog:1\n" for number in range(8)))
    annotate(tmp_path / "list.txt", zoo, out=tmp_path / "dogs")
    start = build_model("test_resnet", num_classes=10)
    save_model(start, tmp_path / "start.safetensors", hierarchy=zoo)

    def change_of_the_last_layer(unknown):
        out = tmp_path / unknown
        config = TrainConfig(
            table=str(tmp_path / "dogs"),
            images=str(pictures.images),
            out=str(out),
            model="test_resnet",
            start=str(tmp_path / "start.safetensors"),
            unknown=unknown,
            loss="bce",
            epochs=1,
            batch=8,
            size=32,
            workers=0,
            weight_decay=0.0,
            device="cpu",
            valid_table=str(tmp_path / "dogs"),
            valid_images=str(pictures.images),
        )
        after = load_model(train(config)).backbone.get_classifier().bias
        return (after - start.backbone.get_classifier().bias).abs() > 0

    puppy, others = zoo.index("puppy"), np.delete(np.arange(10), zoo.index("puppy"))
    assert change_of_the_last_layer("absent").all()
    changed = change_of_the_last_layer("below")
    assert not changed[puppy]
    assert changed[others].all()


def test_evaluation_leaves_out_what_is_below(broad, pictures, zoo, pretrained):
    model, how = load_model(pretrained), Inference(batch=3, workers=0, size=32, device="cpu")
    counted = {
        unknown: evaluate_multi_label(model, broad, pictures.images, unknown=unknown, ks=(10,), how=how)
        for unknown in ("absent", "below", "left-out")
    }
    # of three pictures and ten classes, three places are open below the pet; listed are 3 + 6 + 2
    known = {"absent": 30, "below": 27, "left-out": 11}
    present = 3 + 5 + 2
    for unknown, result in counted.items():
        assert result.metrics["precision@10"] == pytest.approx(present / known[unknown]), unknown


def test_other_word_is_refused(broad, pictures, pretrained):
    with pytest.raises(ModelError, match="unknown is 'perhaps': expected one of absent, left-out, below"):
        background("perhaps")
    with pytest.raises(ModelError, match="unknown is 'perhaps'"):
        evaluate_multi_label(load_model(pretrained), broad, pictures.images, unknown="perhaps")
