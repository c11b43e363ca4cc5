from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlimages
from mlimages import Hierarchy
from mlimages.annotate.sources.imagenet.lists import ImageNet
from mlimages.annotate.sources.imagenet.tree import ImageNetTree
from mlimages.annotate.sources.source import OnError, Report
from mlimages.errors import FormatError, JobError, MlimagesError
from mlimages.hierarchy.wordnet.synsets import class_list

ANIMAL, DOG, CAT, TENCH, ARTIFACT = "n00015388", "n02084071", "n02121620", "n01440764", "n00021939"
POODLE = "n02113335"  # a dog; the hierarchy has it not
LEAF = "n13152742"  # vascular plant: nothing of it is kept


@pytest.fixture(scope="module")
def animals() -> Hierarchy:
    return Hierarchy.from_wordnet([ANIMAL, DOG, CAT, TENCH, ARTIFACT])


def read(
    path: Path | list[Path], hierarchy: Hierarchy, *, on_error: OnError = "raise", **options: object
) -> tuple[list[tuple[str, list[str]]], Report]:
    """Images with the keys of their labels, and the report."""
    reader = ImageNet(path, hierarchy, **options)  # type: ignore[arg-type]
    report = Report(on_error)
    rows = []
    for unit in reader.units():
        for batch in reader.read(unit, report):
            batch.validate(full=True)
            assert set(batch.column("confidences").flatten().to_pylist()) <= {1.0}
            for image, labels in zip(*(batch.column(i).to_pylist() for i in range(2)), strict=True):
                rows.append((image, [hierarchy.keys[label] for label in labels]))
    return rows, report


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "n02084071/n02084071_8388.JPEG\nn01440764/n01440764_1.JPEG\n",
            ["n02084071/n02084071_8388.JPEG", "n01440764/n01440764_1.JPEG"],
        ),
        ("n02084071_8388\nn01440764_1", ["n02084071_8388", "n01440764_1"]),
        ("\ufeffn02084071_8388\r\nn01440764_1\r\n", ["n02084071_8388", "n01440764_1"]),
        ("n02084071/n02084071_7 1\nn01440764/n01440764_9 1301\n", ["n02084071/n02084071_7", "n01440764/n01440764_9"]),
        (
            "http://x.org/a/n02084071/dog.png\ntrain/n01440764/fish-\u00e9.jpg\n",
            ["http://x.org/a/n02084071/dog.png", "train/n01440764/fish-\u00e9.jpg"],
        ),
        (
            "ImageId,PredictionString\nn02084071_9,n02084071 1 2 3 4 n02084071 5 6 7 8 \n"
            "ILSVRC2012_val_00000002,n01440764 1 2 3 4\n",
            ["n02084071_9", "ILSVRC2012_val_00000002"],
        ),
        (
            "ILSVRC2012_val_00000001.JPEG n02084071\nb.JPEG\tn01440764\n",
            ["ILSVRC2012_val_00000001.JPEG", "b.JPEG"],
        ),
        ("n02084071\nn01440764\n", ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"]),
    ],
    ids=["ids", "bare", "crlf and bom", "train_cls", "urls", "kaggle", "named", "synset a line"],
)
def test_the_form_of_a_list_shows_in_its_first_line(
    animals: Hierarchy, tmp_path: Path, text: str, expected: list[str]
) -> None:
    path = write(tmp_path / "list.txt", text)
    assert read(path, animals)[0] == list(zip(expected, [[DOG], [TENCH]], strict=True))


def test_class_numbers_from_zero_follow_ascending_ids(tmp_path: Path) -> None:
    classes = class_list("imagenet-1k")
    h = Hierarchy.from_wordnet(classes)
    path = write(tmp_path / "val.txt", "ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 970\nx.JPEG 0\n")
    rows, _ = read(path, h)
    assert rows == [
        ("ILSVRC2012_val_00000001.JPEG", ["n01751748"]),
        ("ILSVRC2012_val_00000002.JPEG", ["n09193705"]),
        ("x.JPEG", ["n01440764"]),
    ]
    bad = write(tmp_path / "bad.txt", "a.JPEG 65\nb.JPEG 1000\n")
    with pytest.raises(
        FormatError, match=r"bad\.txt:2: found the class '1000', expected a number of one of 1000 classes"
    ):
        read(bad, h)


def test_validation_classes_follow_the_development_kit(tmp_path: Path) -> None:
    from scipy.io import savemat

    ids = class_list("imagenet-1k")
    order = np.random.default_rng(3).permutation(1000)
    synsets = np.zeros((1001, 1), [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")])
    for row, number in enumerate([*range(1, 1001), 1001]):  # what follows the classes are inner nodes
        synsets[row, 0] = (number, ids[order[number - 1]] if number <= 1000 else ANIMAL, 0)
    h = Hierarchy.from_wordnet(ids)
    truth = write(tmp_path / "ILSVRC2012_validation_ground_truth.txt", "490\n1\n1000\n")
    with pytest.raises(MlimagesError, match=r"in the order of the development kit, and no meta\.mat beside it"):
        read(truth, h)
    savemat(tmp_path / "meta.mat", {"synsets": synsets})
    expected = [(f"ILSVRC2012_val_{n:08d}.JPEG", [ids[order[c - 1]]]) for n, c in enumerate([490, 1, 1000], start=1)]
    assert read(truth, h)[0] == expected
    assert ImageNet(truth, h).inputs == [truth, tmp_path / "meta.mat"]
    text = write(tmp_path / "order.txt", "".join(f"{ids[k]} some, names\n" for k in order))
    (tmp_path / "meta.mat").unlink()
    assert read(truth, h, classes=text)[0] == expected
    for wrong in ("0\n", "490\n1001\n", "1\nx\n", "1\n2 3\n"):
        with pytest.raises(FormatError, match=r"truth\.txt:\d: found"):
            read(write(truth, wrong), h, classes=text)


def test_a_wrong_class_order_is_refused(animals: Hierarchy, tmp_path: Path) -> None:
    truth = write(tmp_path / "truth.txt", "1\n")
    with pytest.raises(FormatError, match=r"o\.txt:2: found 'dog', expected the synset id of class 2"):
        read(truth, animals, classes=write(tmp_path / "o.txt", "n02084071\ndog\n"))
    with pytest.raises(FormatError, match=r"o\.txt: the file is empty"):
        read(truth, animals, classes=write(tmp_path / "o.txt", ""))
    with pytest.raises(FormatError, match=r"meta\.mat: not the meta\.mat of an ILSVRC development kit"):
        read(truth, animals, classes=write(tmp_path / "meta.mat", b"garbage" * 100))
    with pytest.raises(FileNotFoundError, match=r"none\.mat"):
        read(truth, animals, classes=tmp_path / "none.mat")
    ids = write(tmp_path / "ids.txt", "n02084071_1\n")
    with pytest.raises(MlimagesError, match=r"none of the lists has class numbers"):
        read(ids, animals, classes=truth)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty, expected ids such as"),
        ("\n", "1: found '', expected ids such as"),
        ("dog.jpg\n", r"1: found 'dog\.jpg', expected ids such as"),
        ("img.jpg\t940:0.8\n", r"1: found 'img\.jpg\\t940:0\.8', expected ids such as"),
        ("ILSVRC2012_val_00000001 1\n", "1: found 'ILSVRC2012_val_00000001 1': such a list .* numbers the images"),
        ("n02084071_1\n\nn02084071_2\n", "2: found an empty line"),
        ("n02084071_1\ndog.jpg\n", r"2: found 'dog\.jpg', which states no synset"),
        ("n02084071_1\nn0208407/n0208407_1.JPEG\n", "2: found 'n0208407/n0208407_1.JPEG', which states no synset"),
        ("n02084071_1\nn020840711_1.JPEG\n", "2: found 'n020840711_1.JPEG', which states no synset"),
        ("n02084071_1\nn02084071/n01440764_1.JPEG\n", "2: found .* whose folder and file state different synsets"),
        ("n02084071_1\nn02084071_2 dog\n", "2: found 'dog' at the end of the line"),
        ("n02084071_1\nn02084071\0_2\n", r"2: found the control character '\\x00'"),
        ("n02084071_1\nn02084071_1\rn02084071_2\n", r"2: found the control character '\\r'"),
        (b"n02084071_1\nn02084071_\xff\n", r"2: found the name 'n02084071_.*xff', expected UTF-8"),
        (
            "n02084071_1\nn02084071_" + "x" * 70_000,
            "2: found the name 'n02084071_x+'... .70010 bytes., expected at most 65535",
        ),
        ("a.JPEG n02084071\nb.JPEG dog\n", "2: found 'dog', expected a synset id"),
        ("a.JPEG n02084071\nb.JPEG n02084071 1\n", "2: found '1' at the end of the line"),
        ("n02084071\ndog\n", "2: found 'dog', expected a synset id"),
        ("ImageId,PredictionString\nn02084071_1\n", "2: found '', expected a synset id"),
        ("ImageId,PredictionString\nn02084071_1,dog 1 2 3 4\n", "2: found 'dog', expected a synset id"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(animals: Hierarchy, tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path / "list.txt", text)
    with pytest.raises(FormatError, match=rf"list\.txt:( |){message}"):
        read(path, animals)


def test_a_reader_that_was_pickled_reads_the_same(animals: Hierarchy, tmp_path: Path) -> None:
    there = pickle.loads(pickle.dumps(ImageNet(write(tmp_path / "list.txt", "x n02084071\n"), animals)))
    (batch,) = there.read(there.units()[0], Report("raise"))
    assert batch.column("image").to_pylist() == ["x"]


def test_bad_lines_are_quarantined_and_the_rest_is_kept(animals: Hierarchy, tmp_path: Path) -> None:
    lines = [f"n02084071_{i}" for i in range(40)]
    lines[3], lines[30] = "dog", ""
    path = write(tmp_path / "list.txt", "\n".join(lines))
    source = ImageNet(path, animals, unit_bytes=50)
    table = mlimages.annotate(source, animals, out=tmp_path / "out", on_error="quarantine")
    assert table.to_table().column("image").to_pylist() == [line for line in lines if line.startswith("n")]
    assert table.manifest.counts == {"quarantined": 2}
    bad = pa.concat_tables(pq.read_table(each) for each in sorted((tmp_path / "out" / "quarantine").iterdir()))
    assert bad.column("line").to_pylist() == [4, 31]
    assert bad.column("row").to_pylist() == [b"dog", b""]


def test_what_the_hierarchy_lacks_is_dropped_and_counted_by_synset(animals: Hierarchy, tmp_path: Path) -> None:
    path = write(tmp_path / "l.txt", f"{POODLE}_1\n{DOG}_1\n{LEAF}_1\n{POODLE}_2\nn99999999_1\n")
    table = mlimages.annotate(path, animals, out=tmp_path / "out", format="imagenet")
    assert table.to_table().column("image").to_pylist() == [f"{DOG}_1"]
    assert table.manifest.counts == {
        "unmapped": 4,
        f"unmapped {POODLE}": 2,
        f"unmapped {LEAF}": 1,
        "unmapped n99999999": 1,
    }


def test_the_nearest_kept_ancestor_stands_for_what_the_hierarchy_lacks(animals: Hierarchy, tmp_path: Path) -> None:
    path = write(tmp_path / "l.txt", f"{POODLE}_1\n{DOG}_1\n{LEAF}_1\nn01443537_1\n")
    rows, report = read(path, animals, unmapped="ancestor")
    assert rows == [(f"{POODLE}_1", [DOG]), (f"{DOG}_1", [DOG]), ("n01443537_1", [ANIMAL])]  # the goldfish is no tench
    assert report.counts == {"mapped_to_ancestor": 2, "unmapped": 1, f"unmapped {LEAF}": 1}


def test_several_nearest_ancestors_all_stand_for_a_synset(tmp_path: Path) -> None:
    h = Hierarchy.from_wordnet(["n02083346", "n01317541", ANIMAL])  # canine, domestic animal: both above dog
    rows, _ = read(write(tmp_path / "l.txt", f"{DOG}_1\n"), h, unmapped="ancestor")
    assert rows == [(f"{DOG}_1", ["n02083346", "n01317541"])]


def test_a_hierarchy_without_synsets_and_unknown_options_are_refused(
    zoo: Hierarchy, animals: Hierarchy, tmp_path: Path
) -> None:
    path = write(tmp_path / "l.txt", f"{DOG}_1\n")
    with pytest.raises(MlimagesError, match="found no WordNet id among the 10 keys"):
        read(path, zoo)
    with pytest.raises(MlimagesError, match="unmapped='guess': expected one of drop, ancestor"):
        read(path, animals, unmapped="guess")
    with pytest.raises(MlimagesError, match="mapping: no option of the format imagenet, which has unmapped, classes"):
        mlimages.annotate(path, animals, format="imagenet", mapping="x")


def test_compressed_lists_give_the_same_rows(animals: Hierarchy, tmp_path: Path) -> None:
    text = "ImageId,PredictionString\n" + "".join(f"{DOG}_{i},{DOG} 1 2 3 4\n" for i in range(300_000))
    plain = write(tmp_path / "a.csv", text)
    packed = write(tmp_path / "a.csv.gz", gzip.compress(text.encode(), 1))
    rows, _ = read(plain, animals)
    assert len(rows) == 300_000
    assert read(packed, animals)[0] == rows


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.one_of(
            st.builds(
                "{}{}_{}{}".format,
                st.sampled_from(["", f"{DOG}/", "a/", f"x{DOG}/", f"b/{TENCH}/"]),
                st.sampled_from([DOG, TENCH, POODLE, "n0208407", "n020840711", "m02084071"]),
                st.integers(0, 99),
                st.sampled_from(["", ".JPEG", " 1", "\t22 ", " x", "\r"]),
            ),
            st.sampled_from(["", f"{DOG}/cat.jpg", f"{DOG}", f"/{DOG}/", "\r", f"{CAT}.JPEG", "a b", " "]),
        ),
        max_size=12,
    )
)
def test_lists_of_ids_are_read_as_the_plain_parser_does(animals: Hierarchy, tmp_path: Path, lines: list[str]) -> None:
    path = write(tmp_path / "l.txt", "\n".join([f"{DOG}_0", *lines]) + "\n")
    expected, bad, lost = [(f"{DOG}_0", [DOG])], [], 0
    for number, line in enumerate(lines, start=2):
        words = line.removesuffix("\r").replace("\t", " ").split(" ", 1)
        folder, _, file = words[0].rpartition("/")
        stated = {part for part in (folder.rpartition("/")[2], _stem(file)) if _is_id(part)}
        rest = words[1].strip(" ") if len(words) > 1 else ""
        if len(stated) != 1 or (rest and not rest.isdigit()):
            bad.append(number)
        elif (key := stated.pop()) in animals:
            expected.append((words[0], [key]))
        else:
            lost += 1
    rows, report = read(path, animals, on_error="quarantine")
    assert rows == expected
    assert [each.line for each in report.bad] == bad
    assert report.counts["unmapped"] == lost


def _stem(file: str) -> str:
    return file.split("_")[0].split(".")[0]


def _is_id(text: str) -> bool:
    return len(text) == 9 and text[0] == "n" and text[1:].isdigit()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "imagenet" / "train"
    for key, names in {
        TENCH: ["n01440764_2.JPEG", "n01440764_10.JPEG", ".hidden.JPEG", "notes.txt"],
        DOG: ["b.jpg", "a.PNG"],
        POODLE: ["n02113335_1.JPEG", "n02113335_2.JPEG", "n02113335_3.JPEG"],
        CAT: [],
        "other": ["n02084071_1.JPEG"],
    }.items():
        (root / key).mkdir(parents=True)
        for name in names:
            (root / key / name).touch()
    (root / "n02084071.tar").touch()
    return root


def test_a_tree_is_read_in_order(animals: Hierarchy, tree: Path, tmp_path: Path) -> None:
    table = mlimages.annotate(tree, animals, out=tmp_path / "out", format="imagenet", propagation="none")
    assert table.to_table().select([0, 1]).to_pydict() == {
        "image": ["n01440764/n01440764_10.JPEG", "n01440764/n01440764_2.JPEG", "n02084071/a.PNG", "n02084071/b.jpg"],
        "labels": [[3], [3], [1], [1]],
    }
    assert table.manifest.counts == {"unmapped": 3, f"unmapped {POODLE}": 3}
    assert table.manifest.options["images"] == 7
    mapped = mlimages.annotate(
        tree, animals, out=tmp_path / "mapped", format="imagenet", unmapped="ancestor", propagation="none"
    )
    assert len(mapped) == 7
    assert mapped.labels_of("n02113335/n02113335_3.JPEG")[0].category.key == DOG
    assert mapped.manifest.counts == {"mapped_to_ancestor": 3}


def test_units_of_a_tree_are_whole_folders(animals: Hierarchy, tree: Path, tmp_path: Path) -> None:
    whole = mlimages.annotate(tree, animals, out=tmp_path / "whole", format="imagenet")
    source = ImageNetTree(tree, animals, unit_images=3, batch_rows=1)
    tables = [mlimages.annotate(source, animals, out=tmp_path / f"{w}", workers=w) for w in (1, 2)]
    assert [part.rows for part in tables[0].manifest.parts] == [4, 0]  # 2 + 2 images, then the dropped poodles
    assert tables[0].manifest == tables[1].manifest
    assert tables[0].to_table().equals(whole.to_table())


def test_a_tree_that_changes_is_not_gone_on_with(animals: Hierarchy, tree: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        mlimages.annotate(tree, animals, out=tmp_path / "out", format="imagenet", progress=kill)
    (tree / DOG / "a.PNG").rename(tree / DOG / "c.PNG")
    with pytest.raises(JobError, match="begun with listing_xxh3_128"):
        mlimages.annotate(tree, animals, out=tmp_path / "out", format="imagenet", resume=True)
    reader = ImageNetTree(tree, animals)
    (tree / DOG / "c.PNG").unlink()
    with pytest.raises(JobError, match=f"{DOG}: changed while it was read: found 1 images, expected 2"):
        list(reader.read(reader.units()[0], Report("raise")))


def test_a_tree_at_the_wrong_level_is_refused(animals: Hierarchy, tree: Path) -> None:
    with pytest.raises(MlimagesError, match=r"found no folder named by a synset.*did you mean .*/train\?"):
        mlimages.annotate(tree.parent, animals, format="imagenet")
    with pytest.raises(MlimagesError, match=r"found no folder named by a synset, such as n01440764$"):
        mlimages.annotate(tree / DOG, animals, format="imagenet")
    with pytest.raises(MlimagesError, match="a folder is read alone"):
        mlimages.annotate([tree, tree / DOG], animals, format="imagenet")
    with pytest.raises(MlimagesError, match="classes: no option of a folder"):
        mlimages.annotate(tree, animals, format="imagenet", classes="x.txt")


def test_file_names_that_are_no_text_are_bad_rows(animals: Hierarchy, tree: Path, tmp_path: Path) -> None:
    for name in (b"\xff.jpg", b"new\nline.jpg", "\u00e9\u00a0.jpg".encode()):
        Path(bytes(tree / DOG).decode() + "/" + name.decode(errors="surrogateescape")).touch()
    with pytest.raises(FormatError, match=f"{DOG}:[0-9]: found the file name .*, expected no control characters"):
        mlimages.annotate(tree, animals, format="imagenet", out=tmp_path / "raised")
    table = mlimages.annotate(tree, animals, format="imagenet", out=tmp_path / "out", on_error="quarantine")
    assert table.manifest.counts["quarantined"] == 2
    assert [image for image in table.to_table().column("image").to_pylist() if image.startswith(DOG)] == [
        f"{DOG}/a.PNG",
        f"{DOG}/b.jpg",
        f"{DOG}/\u00e9\u00a0.jpg",
    ]
