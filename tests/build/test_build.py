"""The whole pipeline on generated pictures, with the example configuration that the documentation shows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate import PredictionTable
from mlimages.build import BuildConfig, build
from mlimages.cli import app
from mlimages.errors import FormatError, JobError, MlimagesError
from mlimages.images import pack

EXAMPLE = Path(__file__).parents[2] / "docs" / "build.toml"

# threads that wait for each other cost small networks more than they bring
torch.set_num_threads(1)

#: What the teacher tells by the colour of the upper half of a picture.
SEEN = {"water": (40, 60, 220), "grass": (40, 200, 60), "sand": (220, 200, 60)}
#: What a list says of a picture by the colour of its lower half, and what is planted above it, in tenths.
TOLD = {
    "seal": ((120, 120, 120), {"water": 10}),
    "cow": ((250, 250, 250), {"grass": 9, "sand": 1}),
    "ball": ((200, 30, 200), {"grass": 3, "sand": 3, "water": 4}),
}


def picture(above, below, random):
    pixels = np.zeros((40, 40, 3))
    pixels[:20], pixels[20:] = above, below
    return Image.fromarray((pixels + random.integers(-15, 15, pixels.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with what docs/build.toml names: pictures, lists, a hierarchy, and that file."""
    folder = tmp_path_factory.mktemp("world")
    random = np.random.default_rng(0)
    keys = ["thing", "nature", "water", "grass", "sand", "animal", "seal", "cow", "ball"]
    parents = [[], [0], [1], [1], [1], [0], [5], [5], [0]]
    Hierarchy(keys, parents, [[key] for key in keys]).to_dictionary(folder / "dictionary.txt")
    for name in ("open-images/images", "imagenet/images"):
        (folder / name).mkdir(parents=True)
    rows, validation = [], []
    for number in range(72):
        key = list(SEEN)[number % 3]
        below = random.integers(0, 255, 3)
        picture(SEEN[key], below, random).save(folder / f"open-images/images/{number:016x}.png")
        rows.append(f"{number:016x},human,/m/{key},1\n{number:016x},machine,/m/unknown,0.5\n")
        validation.append(f"{number:016x},human,/m/{key},1\n")
    header = "ImageID,Source,LabelName,Confidence\n"
    (folder / "open-images/labels-0.csv").write_text(header + "".join(rows))
    (folder / "open-images/validation.csv").write_text(header + "".join(validation[:9]) + f"{9:016x},human,/m/seal,1\n")
    labels = [*SEEN, "seal"]
    (folder / "open-images/mapping.csv").write_text("label,key\n" + "".join(f"/m/{key},{key}\n" for key in labels))
    lines = []
    for key, (below, planted) in TOLD.items():
        tenths = [seen for seen, count in planted.items() for _ in range(count)]
        for number in range(20):
            name = f"{key}-{number:02d}.png"
            picture(SEEN[tenths[number % 10]], below, random).save(folder / "imagenet/images" / name)
            lines.append(f"{name}\t{keys.index(key)}:1\n")
    (folder / "imagenet/list.txt").write_text("".join(lines))
    (folder / "teacher.txt").write_text("water\ngrass\nsand\n")
    shutil.copy(EXAMPLE, folder / "build.toml")
    return folder


@pytest.fixture(scope="module")
def built(world) -> Path:
    result = CliRunner().invoke(app, ["build", str(world / "build.toml")])
    assert result.exit_code == 0, result.exception
    steps = ["open-images", "imagenet", "teacher", "predictions", "cooccurrence"]
    steps += ["final-open-images", "final-imagenet", "train", "validation", "statistics"]
    assert result.stdout.splitlines() == [
        *(f"{step}: {what}" for step in steps for what in ("begun", "done")),
        str(world / "ml-images" / "build.json"),
    ]
    return world / "ml-images"


def told(table, image):
    return {(label.category.key, label.origin.name.lower()) for label in AnnotationTable.open(table).labels_of(image)}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def changed(world, path, *changes):
    text = (world / "build.toml").read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return path


def test_planted_cooccurrence_is_found_and_nothing_else(built):
    lines = (built / "cooccurrence" / "rules.csv").read_text().splitlines()
    # an animal is a seal or a cow: neither water nor grass is in more than half of the pictures of both
    assert sorted(tuple(line.split(",")[:2]) for line in lines[1:]) == [("cow", "grass"), ("seal", "water")]


def test_rules_add_what_they_say_with_its_ancestors(built):
    assert told(built / "train", "seal-00.png") == {
        ("seal", "given"), ("animal", "ancestor"), ("thing", "ancestor"), ("water", "cooccurrence"),
        ("nature", "cooccurrence"),
    }  # fmt: skip
    assert told(built / "train", "ball-00.png") == {("ball", "given"), ("thing", "ancestor")}
    assert len(AnnotationTable.open(built / "train")) == 72 + 60
    assert ("water", "cooccurrence") in told(built / "validation", f"{9:016x}")


def test_open_images_rows_of_other_labels_are_removed(built):
    assert "/m/unknown" in (built / "open-images" / "removed_labels.csv").read_text()


def test_statistics_count_both_tables(built):
    counted = json.loads((built / "statistics/train/statistics.json").read_text())
    assert counted["images"] == 132
    assert json.loads((built / "statistics/validation/statistics.json").read_text())["images"] == 10
    assert len(list((built / "statistics/train").glob("*.png"))) == 2


def test_manifest_records_inputs_parameters_and_hashes(built, world):
    content = json.loads((built / "build.json").read_text())
    step = content["steps"]["open-images"]
    assert [Path(each["path"]).name for each in step["inputs"]] == ["labels-0.csv", "mapping.csv"]
    assert all(re.fullmatch("[0-9a-f]{32}", each["xxh3_128"]) for each in step["inputs"] + step["outputs"])
    assert content["steps"]["predictions"]["parameters"]["threshold"] == 0.2
    assert content["config"]["teacher"]["train"]["epochs"] == 16


def run_again(config):
    said = []
    build(config, report=lambda name, what: said.append((name, what)))
    return said


def test_second_run_skips_all_and_changes_nothing(built, world):
    before = contents(built)
    assert {what for _, what in run_again(world / "build.toml")} == {"skipped"}
    assert contents(built) == before


def test_changed_setting_makes_what_depends_on_it_again(built, world):
    before = contents(built)
    config = changed(world, world / "other.toml", ("min_probability = 0.5", "min_probability = 0.95"))
    done = [name for name, what in run_again(config) if what == "done"]
    assert done == ["cooccurrence", "final-open-images", "final-imagenet", "train", "validation", "statistics"]
    assert told(built / "train", "cow-00.png") == {("cow", "given"), ("animal", "ancestor"), ("thing", "ancestor")}
    run_again(world / "build.toml")
    after = contents(built)
    assert after.keys() == before.keys()
    varying = {"build.json", "manifest.json"}  # they tell when inputs were written
    assert [path for path in before if path.name not in varying and before[path] != after[path]] == []


def test_build_that_was_moved_has_nothing_to_do(built, world, tmp_path):
    shutil.copytree(world, tmp_path / "world")
    assert {what for _, what in run_again(tmp_path / "world" / "build.toml")} == {"skipped"}


def test_interrupted_step_goes_on(built, world):
    content = json.loads((built / "build.json").read_text())
    content["steps"]["predictions"]["status"] = "begun"
    (built / "build.json").write_text(json.dumps(content))
    parts = [path.stat().st_mtime_ns for path in (built / "predictions").glob("part-*")]
    said = run_again(world / "build.toml")
    assert [pair for pair in said if pair[1] != "skipped"] == [("predictions", "resumed"), ("predictions", "done")]
    assert [path.stat().st_mtime_ns for path in (built / "predictions").glob("part-*")] == parts


def test_changed_output_is_made_again(built, world):
    before = (built / "cooccurrence/rules.csv").read_bytes()
    (built / "cooccurrence/rules.csv").write_text("source,target\n")
    said = run_again(world / "build.toml")
    assert [name for name, what in said if what == "done"] == ["cooccurrence"]
    assert (built / "cooccurrence/rules.csv").read_bytes() == before


def test_teacher_learns_from_packed_images_and_looks_at_such(built, world):
    for name, images in (("open-images", "open-images/images"), ("imagenet", "imagenet/images")):
        pack(built / name, world / images, world / f"{name}-packed", workers=1)
    config = changed(
        world,
        world / "packed.toml",
        ('images = "open-images/images"', 'images = "open-images-packed"'),
        ('images = "imagenet/images"', 'images = "imagenet-packed"'),
        ('out = "ml-images"', 'out = "from-packed"'),
        ("pictures = true", "pictures = false"),
    )
    build(config)
    made = world / "from-packed"
    inputs = json.loads((made / "build.json").read_text())["steps"]["teacher"]["inputs"]
    assert str(world / "open-images-packed/manifest.json") in [each["path"] for each in inputs]
    # packed images are what the files are: the same network, the same predictions, the same rules
    for same in ("teacher/model.safetensors", "predictions/part-00000.parquet", "cooccurrence/rules.csv"):
        assert (made / same).read_bytes() == (built / same).read_bytes(), same
    assert len(PredictionTable.open(made / "predictions")) == 60


def test_rules_edited_by_hand_are_applied_instead(built, world):
    (world / "edited.csv").write_text("source,target\nball,sand\n")
    config = changed(world, world / "other.toml", ('# rules = "edited.csv"', 'rules = "edited.csv"'))
    assert "cooccurrence" not in [name for name, what in run_again(config) if what == "done"]
    assert ("sand", "cooccurrence") in told(built / "train", "ball-00.png")
    assert ("water", "cooccurrence") not in told(built / "train", "seal-00.png")
    run_again(world / "build.toml")
    assert ("water", "cooccurrence") in told(built / "train", "seal-00.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[predict]\n", "[predict]\ntreshold = 1\n"), r"found the key predict\.treshold, expected one of thres"),
        (("on_error", "on_eror"), r"found the key on_eror, expected one of out, hierarchy, imagenet"),
        (('labels = ["imagenet/list.txt"]', ""), r"found no imagenet\.labels, which must be given"),
        (("trainable_over = 100", "trainable_over = 1.5"), r"statistics\.trainable_over is 1\.5: expected int"),
        (('engine = "local"', 'engine = "spark"'), r"engine is 'spark': expected one of local, ray"),
        (("epochs = 16", "epoch = 16"), r"teacher\.train: unknown settings epoch"),
        (("epochs = 16", 'out = "x"'), r"found the key teacher\.train\.out, which the build itself decides"),
        (("threshold = 0.2", "threshold = 0.9"), r"teacher_threshold is 0\.5 and predict\.threshold 0\.9"),
        (("[teacher]\n", '[teacher]\nclass_file = "x"\n'), r"found teacher\.class_file, which is for a teacher"),
        (('images = "imagenet/images"', ""), r"found no imagenet\.images, which the teacher looks at"),
        (('labels = ["imagenet/list.txt"]', "labels = 3"), r"imagenet\.labels is 3: expected a string or a list"),
        (
            ('# unmapped = "ancestor"', 'unmapped = "nearest"'),
            r"imagenet\.unmapped is 'nearest': expected one of drop, anc",
        ),
        (('crop = "classifier"', 'crop = "middle"'), r"teacher\.crop is 'middle': expected one of classifier, central"),
        (('out = "ml-images"', "out = "), "not TOML"),
    ],
)
def test_configuration_that_makes_no_sense_names_the_key(world, tmp_path, change, message):
    path = changed(world, tmp_path / "bad.toml", change)
    with pytest.raises(FormatError, match=rf"bad\.toml: .*{message}"):
        BuildConfig.from_toml(path)


def test_settings_that_the_example_leaves_out_are_known(world, tmp_path):
    left_out = re.findall(r"^(# \w+ = .*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(left_out) == 8
    for line in left_out:
        path = changed(world, tmp_path / "more.toml", (line, line.removeprefix("# ")))
        if line.startswith(("# source", "# class_file")):  # for a teacher that is loaded, not one that is trained
            with pytest.raises(
                FormatError, match=r"found both teacher\.source and|teacher\.class_file, which is for a"
            ):
                BuildConfig.from_toml(path)
        else:
            BuildConfig.from_toml(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("imagenet/list.txt", "imagenet/lists.txt"), "lists.txt"),
        (('images = "imagenet/images"', 'images = "nowhere"'), "nowhere: no such folder: expected images"),
        (("dictionary.txt", "nowhere.txt"), "nowhere.txt: no such file, and no hierarchy of that name"),
        (('labels = ["open-images/validation.csv"]', 'labels = ["v*.csv"]'), "no file matches this pattern"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_made(world, change, message):
    path = changed(world, world / "lacking.toml", change, ('out = "ml-images"', 'out = "lacking"'))
    with pytest.raises((MlimagesError, OSError), match=message):
        build(path)
    assert not (world / "lacking").exists()


def test_folder_of_something_else_is_refused(world, tmp_path):
    path = changed(world, world / "taken.toml", ('out = "ml-images"', 'out = "imagenet"'))
    with pytest.raises(JobError, match="exists and holds no build: choose a new folder as out"):
        build(path)


def test_second_build_in_the_same_folder_is_refused_while_the_first_goes_on(built, world):
    before = contents(built)

    def again(step, state):
        with pytest.raises(JobError, match="ml-images: another process is writing here: wait for it, or choose"):
            build(world / "build.toml")

    build(world / "build.toml", report=again)
    assert contents(built) == before


def test_folder_of_a_build_that_was_killed_at_once_is_used(world):
    (world / "killed").mkdir()
    (world / "killed/.lock").touch()
    path = changed(world, world / "killed.toml", ('out = "ml-images"', 'out = "killed"'))

    def stop(step, state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(path, report=stop)
    assert [each.name for each in (world / "killed").iterdir()] == ["build.json"]
