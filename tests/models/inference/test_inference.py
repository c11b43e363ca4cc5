"""What a trained model says: evaluation, classes of pictures, features; and fine-tuning by the published recipe."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.errors import DataNotFoundError, FormatError, ModelError, TableError
from mlimages.images import pack
from mlimages.models import (
    Architecture,
    Inference,
    ModelCard,
    Preprocessing,
    PublishedResNet,
    classify,
    evaluate_multi_label,
    evaluate_top_k,
    results_table,
    trainable_categories,
    write_features,
)
from mlimages.models.evaluation.evaluate import TopK
from mlimages.models.networks.outputs import output_names, outputs_of, read_dictionary_names, read_keys

SHOWN = ("puppy", "cat", "rose", "water")
HUES = {"puppy": (220, 40, 40), "cat": (40, 220, 40), "rose": (40, 40, 220), "water": (220, 220, 40)}
HOW = Inference(batch=7, workers=0, size=32)


class Painted(PublishedResNet):
    """A small published network whose logits are the similarity of the mean colour to that of each shown category."""

    def forward(self, x):
        mean = x.mean(dim=(2, 3))  # [B, 3], in [-1, 1]
        logits = torch.full((len(x), self.card.num_classes), -4.0)
        for key, colour in HUES.items():
            if key in self.card.categories:
                wanted = torch.tensor(colour) / 127.5 - 1
                logits[:, self.card.categories.index(key)] = 4 - 6 * (mean - wanted).abs().sum(dim=1)
        return logits

    def forward_features(self, x):
        return x.mean(dim=(2, 3)).repeat(1, self.num_features // 3 + 1)[:, : self.num_features]


def painted(categories, activation="sigmoid"):
    card = ModelCard(
        name="resnet-test",
        num_classes=len(categories),
        preprocessing=Preprocessing(size=32),
        architecture=Architecture(blocks=(1, 1, 1, 1), widths=(8, 8, 16, 16), stem=4),
        categories=tuple(categories),
        activation=activation,
    )
    return Painted(card).eval()


@pytest.fixture
def model(zoo):
    return painted(zoo.keys)


@pytest.fixture
def one_of_four():
    return painted(SHOWN, "softmax")


def spoiled(pictures, tmp_path, *names):
    """A copy of the folder of pictures with some that are none."""
    folder = tmp_path / "spoiled"
    folder.mkdir()
    for path in pictures.images.iterdir():
        (folder / path.name).write_bytes(b"no picture" if path.name in names else path.read_bytes())
    return folder


# top-k ----------------------------------------------------------------------------------------------------------------


def test_top_k_counts_every_image_with_one_class_at_each_size(one_of_four, pictures):
    small, large = evaluate_top_k(one_of_four, pictures.table, pictures.images, sizes=(16, 24), how=HOW)
    assert (small.size, large.size) == (16, 24)
    assert (small.images, small.left_out, small.broken) == (60, 0, 0)
    assert small.accuracy == {"top1": 1.0, "top5": 1.0}


def test_top_k_leaves_out_images_with_none_or_several_classes_and_broken_ones(pictures, tmp_path):
    model = painted(("dog", "puppy", "rose"), "softmax")  # a puppy is both dog and puppy; cat and water are neither
    (result,) = evaluate_top_k(
        model, pictures.table, spoiled(pictures, tmp_path, "002.png"), sizes=[16], how=HOW
    )  # 002 is a rose
    assert (result.images, result.left_out, result.broken) == (14, 45, 1)
    assert result.accuracy["top1"] == 1.0


def test_results_have_the_published_layout():
    results = [
        TopK(224, 50_000, 0, 0, {"top1": 0.788, "top5": 0.945}),
        TopK(299, 0, 0, 0, {"top1": math.nan, "top5": 1}),
    ]
    lines = results_table([("ours", "", results)]).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "Checkpoints",
        "Train and finetune setting",
        "Top-1 acc on Val 224",
        "Top-5 acc on Val 224",
        "Top-1 acc on Val 299",
        "Top-5 acc on Val 299",
    ]
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["ours", "--", "78.80", "94.50", "--", "--"]


# multi-label ----------------------------------------------------------------------------------------------------------


def test_multi_label_metrics_of_a_model_that_knows_leaves_only(model, pictures, zoo):
    result = evaluate_multi_label(model, pictures.table, pictures.images, unknown="absent", how=HOW)
    assert result.metrics["images"] == 60
    assert result.keys == zoo.keys
    assert result.images_of_class[zoo.index("puppy")] == 15
    assert result.average_precision[zoo.index(list(SHOWN))].tolist() == [1.0] * 4
    assert result.metrics["precision@1"] == 1.0
    assert result.metrics["hierarchical_precision@1"] == 1.0
    assert result.average_precision[zoo.index("dog")] == pytest.approx(0.25)  # says the same of all pictures
    better = evaluate_multi_label(
        model, pictures.table, pictures.images, unknown="absent", make_consistent=True, how=HOW
    )
    assert better.average_precision[zoo.index("dog")] == 1.0
    assert better.metrics["map"] > result.metrics["map"]


def test_unlisted_labels_are_left_out_of_multi_label_metrics(model, pictures, zoo):
    result = evaluate_multi_label(model, pictures.table, pictures.images, how=HOW)
    # cats are listed as no stuff, water is stuff; all else is listed as present or not at all
    assert result.average_precision[zoo.index("puppy")] == 1.0
    assert (
        result.metrics["precision@5"]
        > evaluate_multi_label(model, pictures.table, pictures.images, unknown="absent", how=HOW).metrics["precision@5"]
    )


def test_left_out_labels_without_any_absence_are_refused(model, pictures, zoo, tmp_path):
    (tmp_path / "list.txt").write_text("000.png\tpuppy:1\n")
    annotate(tmp_path / "list.txt", zoo, out=tmp_path / "table")
    with pytest.raises(ModelError, match=r"lists no class as absent.*--unknown absent"):
        evaluate_multi_label(model, tmp_path / "table", pictures.images, how=HOW)


def test_trainable_classes_are_those_of_enough_images(model, pictures, zoo):
    trainable = trainable_categories(pictures.table, more_than=15)
    assert [zoo.keys[index] for index in np.flatnonzero(trainable)] == ["animal", "pet", "thing"]
    result = evaluate_multi_label(
        model, pictures.table, pictures.images, unknown="absent", trainable=trainable, make_consistent=True, how=HOW
    )
    assert result.metrics["classes"] == 3


def test_packed_images_are_evaluated_and_tell_trainable_classes_as_their_table(model, pictures, tmp_path):
    packed = tmp_path / "packed"
    pack(pictures.table, pictures.images, packed)
    for trainable in (None, trainable_categories(packed, more_than=15)):
        one, other = (
            evaluate_multi_label(model, *where, trainable=trainable, how=HOW).metrics
            for where in ((packed,), (pictures.table, pictures.images))
        )
        assert one == {name: pytest.approx(value, nan_ok=True) for name, value in other.items()}
    assert (trainable_categories(packed) == trainable_categories(pictures.table)).all()


def test_training_table_of_another_hierarchy_is_refused(pictures, zoo, tmp_path):
    (tmp_path / "list.txt").write_text("000.png\tpuppy:1\n")
    annotate(tmp_path / "list.txt", Hierarchy(["puppy", "cat"], [[], []]), out=tmp_path / "other")
    with pytest.raises(TableError, match="its 2 categories are not the 10 of the table that is evaluated"):
        trainable_categories(tmp_path / "other", hierarchy=zoo)


def test_images_that_are_not_there_are_told_before_each_is_a_broken_one(model, pictures, tmp_path):
    with pytest.raises(TableError, match=r"nowhere: no such folder: expected the images that .*table names"):
        evaluate_multi_label(model, pictures.table, tmp_path / "nowhere", unknown="absent", how=HOW)


def test_broken_pictures_are_in_no_metric(model, pictures, tmp_path):
    result = evaluate_multi_label(
        model, pictures.table, spoiled(pictures, tmp_path, "000.png", "031.png"), unknown="absent", how=HOW
    )
    assert (result.metrics["images"], result.broken) == (58, 2)
    assert result.images_of_class.max() <= 58


def test_model_of_other_categories_is_refused(pictures):
    with pytest.raises(ModelError, match=r"tells 2 categories, and 1 of them are not among the 10 .*: unicorn"):
        evaluate_top_k(painted(("cat", "unicorn"), "softmax"), pictures.table, pictures.images, how=HOW)
    nameless = painted(SHOWN)
    nameless.card = replace(nameless.card, categories=())
    with pytest.raises(ModelError, match="has 4 outputs and does not say which categories they are"):
        evaluate_top_k(nameless, pictures.table, pictures.images, how=HOW)


# classes of pictures --------------------------------------------------------------------------------------------------


def test_classify_gives_the_best_classes_in_order(one_of_four, pictures):
    found = list(classify(one_of_four, [pictures.images], top=2, how=HOW))
    assert len(found) == 60
    assert [Path(each.image).name for each in found[:3]] == ["000.png", "001.png", "002.png"]
    assert [each.classes[0] for each in found] == [0, 1, 2, 3] * 15
    assert all(1 >= each.probabilities[0] > each.probabilities[1] >= 0 for each in found)


def test_classify_makes_ancestors_at_least_as_probable(model, pictures, zoo):
    (plain,) = classify(model, [pictures.images / "000.png"], top=10, how=HOW)
    (made,) = classify(model, [pictures.images / "000.png"], top=10, hierarchy=zoo, how=HOW)
    chance = dict(zip(made.classes, made.probabilities, strict=True))
    assert plain.classes[0] == zoo.index("puppy")
    assert plain.classes[1] != zoo.index("dog") or plain.probabilities[1] < 0.1
    for above in ("dog", "animal", "pet", "thing"):
        assert chance[zoo.index(above)] == chance[zoo.index("puppy")] > 0.5


def test_classify_reads_the_published_list_and_names_broken_pictures(one_of_four, pictures, tmp_path):
    (tmp_path / "list.txt").write_text(f"{pictures.images}/003.png\textra\n\n{tmp_path}/missing.jpg\n")
    water, missing = classify(one_of_four, [tmp_path / "list.txt"], how=HOW)
    assert (water.classes[0], water.reason) == (3, None)
    assert (missing.classes, "No such file" in str(missing.reason)) == ([], True)


def test_classify_refuses_what_is_not_there(one_of_four, tmp_path):
    with pytest.raises(DataNotFoundError, match=r"nowhere\.jpg: no such file; expected a picture, a folder"):
        list(classify(one_of_four, [tmp_path / "nowhere.jpg"], how=HOW))
    with pytest.raises(ModelError, match="no picture there"):
        list(classify(one_of_four, [tmp_path], how=HOW))
    (tmp_path / "latin.txt").write_bytes(b"a.jpg\ncaf\xe9.jpg\n")
    with pytest.raises(FormatError, match=r"latin\.txt:2: invalid UTF-8"):
        list(classify(one_of_four, [tmp_path / "latin.txt"], how=HOW))


def test_packed_images_beside_others_are_refused_rather_than_passed_over(one_of_four, pictures, tmp_path):
    pack(pictures.table, pictures.images, tmp_path / "packed")
    with pytest.raises(ModelError, match="packed: holds packed images, which are taken alone"):
        list(classify(one_of_four, [tmp_path / "packed", pictures.images], how=HOW))


def test_folder_that_a_download_filled_is_a_folder_of_pictures(one_of_four, pictures, tmp_path):
    shutil.copy(pictures.images / "003.png", tmp_path / "003.png")
    (tmp_path / "manifest.json").write_text('{"format": "mlimages-download"}')
    assert [each.classes[0] for each in classify(one_of_four, [tmp_path], how=HOW)] == [3]


def test_names_come_from_the_dictionary_the_hierarchy_or_wordnet(zoo, tmp_path):
    card = painted(SHOWN).card
    (tmp_path / "names.txt").write_text('0\tlittle\tdog\n1\tcat\n2\t"rose"\n3\twater\n')
    assert output_names(card, dictionary=tmp_path / "names.txt") == ["little dog", "cat", "rose", "water"]
    assert output_names(card, hierarchy=zoo) == ["Puppy", "Cat", "Rose", "Water"]
    assert output_names(card) == list(SHOWN)
    assert output_names(replace(card, categories=("n02084071", "n02121808", "n00015388", "n00017222")))[:2] == [
        "dog",
        "domestic cat",
    ]
    (tmp_path / "names.txt").write_text("0\tdog\n2\tcat\n")
    with pytest.raises(FormatError, match=r"names.txt:2: found '2\\tcat', expected the index 1"):
        output_names(card, dictionary=tmp_path / "names.txt")
    (tmp_path / "names.txt").write_text("0\tdog\n")
    with pytest.raises(ModelError, match="names 1 classes, and the model has 4"):
        output_names(card, dictionary=tmp_path / "names.txt")


def test_published_dictionary_has_the_order_of_our_imagenet_classes(official):
    names = read_dictionary_names(official / "imagenet2012_dictionary.txt")
    card = ModelCard(name="x", num_classes=1000, preprocessing=Preprocessing(), activation="softmax")
    ours = output_names(card)
    assert len(names) == len(ours) == 1000
    plain = [(a.replace("'", ""), b.replace("'", "")) for a, b in zip(ours, names, strict=True)]
    assert [pair for pair in plain if not pair[1].startswith(pair[0].replace(" o-", "-o-"))] == []


def test_model_of_a_thousand_exclusive_outputs_is_taken_for_imagenet():
    keys = read_keys("imagenet-1k")
    hierarchy = Hierarchy([*reversed(keys), "more"], [[]] * 1001)
    card = ModelCard(name="x", num_classes=1000, preprocessing=Preprocessing(), activation="softmax")
    assert outputs_of(card, hierarchy) == list(range(999, -1, -1))


def test_files_of_keys_and_names_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "binary").write_bytes(b"n02084071\n\xff")
    for read in (read_keys, read_dictionary_names):
        with pytest.raises(FormatError, match=r"binary:2: invalid UTF-8"):
            read(tmp_path / "binary")


# features -------------------------------------------------------------------------------------------------------------


def test_features_go_to_parquet_in_order_without_broken_pictures(model, pictures, tmp_path):
    folder = spoiled(pictures, tmp_path, "004.png")
    assert write_features(model, [folder], tmp_path / "f.parquet", how=HOW) == (59, 1)
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["image", "features"]
    names = [Path(name).name for name in table.column("image").to_pylist()]
    assert names == sorted(path.name for path in folder.iterdir() if path.name != "004.png")
    features = np.array(table.column("features").to_pylist())
    assert features.shape == (59, 16)
    red = np.asarray(Image.open(folder / "000.png").convert("RGB"))[4:36, 5:45, 0].mean() / 127.5 - 1
    assert features[0, 0] == pytest.approx(red, abs=0.02)
    assert table.schema.metadata[b"model"] == b"resnet-test"


def test_features_leave_out_names_that_cannot_be_written(model, pictures, tmp_path, caplog):
    shutil.copy(pictures.images / "000.png", tmp_path / "000.png")
    shutil.copy(pictures.images / "001.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    assert write_features(model, [tmp_path], tmp_path / "f.parquet", how=HOW) == (1, 1)
    assert r"/caf\udce9.png: the name is not UTF-8: rename the file" in caplog.text


def test_features_of_nothing_and_into_a_folder_are_refused(model, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(ModelError, match="none of 1 pictures could be read"):
        write_features(model, [tmp_path / "broken.png"], tmp_path / "f.parquet", how=HOW)
    assert [each.name for each in tmp_path.iterdir()] == ["broken.png"]
    with pytest.raises(ModelError, match="is a folder, expected the name of a Parquet file"):
        write_features(model, [tmp_path / "broken.png"], tmp_path, how=HOW)


def test_features_take_packed_images(model, pictures, tmp_path):
    pack(pictures.table, pictures.images, tmp_path / "packed")
    assert write_features(model, [tmp_path / "packed"], tmp_path / "f.parquet", how=HOW) == (60, 0)
