from __future__ import annotations

import errno
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlimages
from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate import Propagation
from mlimages.annotate.sources.openimages import partition
from mlimages.annotate.sources.openimages.files import OpenImages
from mlimages.errors import FormatError, JobError, MlimagesError

HEADER = "ImageID,Source,LabelName,Confidence\n"
SMALL = {"bucket_bytes": 1000}


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def annotate(
    paths: Path | list[Path],
    hierarchy: Hierarchy,
    out: Path,
    *,
    sizes: dict[str, int] | None = None,
    images_csv: Path | list[Path] | None = None,
    **options: object,
) -> AnnotationTable:
    """A table of Open Images; with `sizes`, read in pieces of other sizes than usual."""
    options = {"propagation": "none", **options}
    source: object = paths
    if sizes is None:
        options |= {"format": "open-images", "images_csv": images_csv}
    else:
        source = OpenImages(paths, hierarchy, images_csv=images_csv, **sizes)
    table: AnnotationTable = mlimages.annotate(source, hierarchy, out=out, **options)
    return table


def rows(table: AnnotationTable) -> dict[str, dict[str, float]]:
    """Confidence by key by image."""
    keys = table.hierarchy.keys
    return {
        row["image"]: {keys[i]: c for i, c in zip(row["labels"], row["confidences"], strict=True)}
        for row in table.to_table().to_pylist()
    }


def parts(table: AnnotationTable) -> list[bytes]:
    return [(table.folder / part.file).read_bytes() for part in table.manifest.parts]


def test_people_and_machines_of_several_versions_are_told_apart(zoo: Hierarchy, tmp_path: Path) -> None:
    path = write(
        tmp_path / "labels.csv",
        HEADER + "000060e3121c7305,machine,dog,0.9\n"
        "000060e3121c7305,verification,cat,0\n"
        "0000048549557964,human,rose,1.0\n"
        "000060e3121c7305,crowdsource-verification,pet,1\r\n"
        '"000060e3121c7306","machine","dog",0.55\n'
        "000060e3121c7305,machine,water,0.0\n"
        "000060e3121c7305,machine,/m/0zzz,0.6",
    )
    table = annotate(path, zoo, tmp_path / "out")
    assert rows(table) == {
        "0000048549557964": {"rose": 1.0},
        "000060e3121c7305": {"dog": np.float32(0.9), "pet": 1.0, "cat": 0.0},
        "000060e3121c7306": {"dog": np.float32(0.55)},
    }
    assert table.to_table().column("image").to_pylist() == sorted(rows(table))
    assert table.manifest.counts == {"machine_zeros": 1, "removed_rows": 1}
    assert (table.folder / "removed_labels.csv").read_text() == "label,name,rows\n/m/0zzz,,1\n"
    assert sorted(each.name for each in table.folder.iterdir()) == [
        "categories.parquet",
        "manifest.json",
        "part-00000.parquet",
        "removed_labels.csv",
    ]


@pytest.mark.parametrize(
    ("said", "expected", "counts"),
    [
        (["machine,dog,0.9", "verification,dog,0"], 0.0, {"repeated_labels": 1}),
        (["machine,dog,0.9", "verification,dog,1"], 1.0, {"repeated_labels": 1}),
        (["machine,dog,0.5", "machine,dog,0.75", "machine,dog,0.25"], 0.75, {"repeated_labels": 2}),
        (["verification,dog,1", "human,dog,0"], 1.0, {"repeated_labels": 1, "human_conflicts": 1}),
        (
            ["human,dog,0", "human,dog,0", "verification,dog,1", "machine,dog,1"],
            1.0,
            {"repeated_labels": 3, "human_conflicts": 1},
        ),
        (["machine,dog,1", "verification,dog,0"], 0.0, {"repeated_labels": 1}),
    ],
)
def test_of_several_statements_one_counts_in_any_order(
    zoo: Hierarchy, tmp_path: Path, said: list[str], expected: float, counts: dict[str, int]
) -> None:
    for name, order in (("a", said), ("b", said[::-1])):
        path = write(tmp_path / f"{name}.csv", HEADER + "".join(f"1,{each}\n" for each in order))
        table = annotate(path, zoo, tmp_path / name)
        assert rows(table) == {"1": {"dog": expected}}
        assert table.manifest.counts == counts


def test_a_mapping_renames_labels_and_the_rest_is_counted(zoo: Hierarchy, tmp_path: Path) -> None:
    path = write(
        tmp_path / "labels.csv",
        HEADER + "1,machine,/m/poodle,0.5\n1,machine,/m/puppy,0.75\n1,machine,dog,1\n"
        "2,machine,/m/x,1\n2,verification,/m/x,0\n3,verification,/m/a,1\n",
    )
    mapping = write(tmp_path / "map.csv", "label,key\n/m/poodle,dog\n/m/puppy,dog\n")
    names = write(tmp_path / "names.csv", 'LabelName,DisplayName\n/m/x,"X, the unknown"\n')
    table = annotate(path, zoo, tmp_path / "out", mapping=mapping, class_descriptions=names)
    assert rows(table) == {"1": {"dog": 0.75}}
    assert table.manifest.counts == {"removed_rows": 4, "repeated_labels": 1}
    assert (table.folder / "removed_labels.csv").read_text() == (
        'label,name,rows\n/m/x,"X, the unknown",2\n/m/a,,1\ndog,,1\n'
    )
    assert [Path(each.path).name for each in table.manifest.inputs] == ["labels.csv", "map.csv", "names.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"map\.csv: found no row"),
        ("label,key\n/m/a\n", r"map\.csv:2: found '/m/a', expected a label and a key"),
        ("/m/a,dog\n/m/b,wolf\n", r"map\.csv:2: the label '/m/b': .*wolf"),
        ("/m/a,dog\n/m/a,cat\n", r"map\.csv:2: the label '/m/a' has a second key 'cat', first 'dog'"),
        ('/m/a,dog\n"/m/b,cat\n', r"map\.csv:2: no CSV"),
    ],
)
def test_a_bad_mapping_is_refused(zoo: Hierarchy, tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "labels.csv", HEADER + "1,machine,/m/a,0.5\n")
    with pytest.raises(FormatError, match=message):
        annotate(path, zoo, tmp_path / "out", mapping=write(tmp_path / "map.csv", text))


def test_labels_none_of_which_is_known_are_an_error(zoo: Hierarchy, tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", HEADER + "1,machine,/m/a,0.5\n1,machine,/m/b,0.5\n2,machine,/m/b,0.5\n")
    with pytest.raises(FormatError, match=r"none of the 3 labels is a category \('/m/b' is the most frequent\)"):
        annotate(path, zoo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_expansion_of_tensorflow_models_holds(tmp_path: Path) -> None:
    """The cases of oid_hierarchical_labels_expansion_test.py; there the root, ``a``, is left out of the hierarchy."""
    tree = {
        "LabelName": "a",
        "Subcategory": [
            {"LabelName": "b"},
            {
                "LabelName": "c",
                "Subcategory": [
                    {"LabelName": "d"},
                    {"LabelName": "e"},
                    {"LabelName": "f", "Subcategory": [{"LabelName": "d"}]},
                ],
            },
            {"LabelName": "f", "Subcategory": [{"LabelName": "d"}]},
        ],
    }
    h = Hierarchy.from_open_images(write(tmp_path / "tree.json", json.dumps(tree)))
    h = h.restrict([key for key in h.keys if key != "a"])
    labels = write(
        tmp_path / "labels.csv", HEADER + "123,verification,b,0\n123,verification,c,0\n124,verification,d,1\n"
    )
    expanded = annotate(labels, h, tmp_path / "labels", propagation=Propagation(absent="descendants"))
    assert rows(expanded) == {
        "123": {"b": 0, "c": 0, "d": 0, "e": 0, "f": 0},
        "124": {"d": 1, "f": 1, "c": 1},
    }
    boxes = write(
        tmp_path / "boxes.csv",
        HEADER.strip() + ",XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
        "123,xclick,b,1,0.1,0.2,0.1,0.2,1,1,0,0,0\n123,xclick,d,1,0.2,0.3,0.1,0.2,1,1,0,0,0\n",
    )
    assert rows(annotate(boxes, h, tmp_path / "boxes", propagation="default")) == {
        "123": {"b": 1, "d": 1, "f": 1, "c": 1}
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r": the file is empty, expected the header ImageID,Source,LabelName,Confidence"),
        ("1,machine,dog,0.5\n", r":1: found '1,machine,dog,0\.5', expected the header"),
        ("ImageID,LabelName,Confidence\n1,dog,0.5\n", r":1: found 'ImageID,LabelName,Confidence', expected the header"),
        (HEADER + "1,machine,dog,0.5\n\n", ":3: found an empty line"),
        (HEADER + "1,machine,dog\n", ":2: found '1,machine,dog', expected the 4 columns of the header"),
        (HEADER + "1,machine,dog,0.5,7\r\n", ":2: found '1,machine,dog,0.5,7', expected the 4 columns"),
        (HEADER + "1,machine,dog,0.5\n" + HEADER, ":3: found the header a second time"),
        (HEADER + "1,machine,dog,high\n", ":2: found 'high', expected a number such as 0.8"),
        (HEADER + "1,machine,dog,-0.5\n", ":2: found '-0.5', expected a number"),
        (HEADER + "1,machine,dog,nan\n", ":2: found 'nan', expected a number"),
        (HEADER + "1,machine,dog,1.5\n", ":2: found '1.5', expected a confidence from 0 to 1"),
        (HEADER + "1,machine,dog,1e-60\n", ":2: found '1e-60', expected a confidence from 0 to 1"),
        (HEADER + "1,verification,dog,0.5\n", ":2: found the confidence '0.5' of a label that is not by machine"),
        (HEADER + ",machine,dog,0.5\n", ":2: found the image id '', expected 1 to 16 visible ASCII"),
        (HEADER + "12345678901234567,machine,dog,0.5\n", ":2: found the image id '12345678901234567'"),
        (HEADER + "1 2,machine,dog,0.5\n", ":2: found the image id '1 2'"),
        (HEADER + "\xe9,machine,dog,0.5\n", ":2: found the image id '\xe9'"),
        (HEADER + "1,,dog,0.5\n", ":2: found no source in '1,,dog,0.5'"),
        (HEADER + "1,machine,,0.5\n", ":2: found the label ''"),
        (HEADER.encode() + b"1,machine,\xff,0.5\n", ":2: found the label "),
        (HEADER + "1,machine,dog,0.", ":2: found '0.', expected a number"),
    ],
)
def test_a_bad_row_is_named(zoo: Hierarchy, tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path / "labels.csv", text)
    with pytest.raises(FormatError, match=rf"labels\.csv{message}"):
        annotate(path, zoo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_of_a_header_is_an_empty_table(zoo: Hierarchy, tmp_path: Path) -> None:
    for name, text in (("a", HEADER), ("b", HEADER.strip())):
        assert len(annotate(write(tmp_path / f"{name}.csv", text), zoo, tmp_path / name)) == 0


def test_bad_rows_are_quarantined_once_with_file_and_line(zoo: Hierarchy, tmp_path: Path) -> None:
    lines = [f"{i:04x},machine,{zoo.keys[i % 10]},0.5" for i in range(300)]
    lines[7], lines[250] = "x", HEADER.strip()
    path = write(tmp_path / "labels.csv", HEADER + "\n".join(lines))
    table = annotate(path, zoo, tmp_path / "out", on_error="quarantine", sizes=SMALL)
    assert len(table) == 298
    assert len(table.manifest.parts) == 7
    assert table.manifest.counts == {"quarantined": 2}
    bad = pa.concat_tables(pq.read_table(each) for each in sorted((tmp_path / "out" / "quarantine").iterdir()))
    assert sorted(bad.select(["line", "row"]).to_pylist(), key=lambda row: row["line"]) == [
        {"line": 9, "row": b"x"},
        {"line": 252, "row": HEADER.strip().encode()},
    ]
    with pytest.raises(FormatError, match=r"labels\.csv:9: found 'x'"):
        annotate(path, zoo, tmp_path / "raised", workers=4, sizes=SMALL)


def test_compressed_files_give_the_same_parts(zoo: Hierarchy, tmp_path: Path) -> None:
    text = (HEADER + "".join(f"{i % 9999:x},machine,{zoo.keys[i % 10]},0.5\n" for i in range(200_000))).encode()
    plain = annotate(write(tmp_path / "a.csv", text), zoo, tmp_path / "plain")
    packed = annotate(write(tmp_path / "a.csv.gz", gzip.compress(text, 1)), zoo, tmp_path / "packed")
    assert parts(plain) == parts(packed)
    cut = write(tmp_path / "cut.csv.gz", gzip.compress(text, 1)[:-5000])
    with pytest.raises(FormatError, match=r"cut\.csv\.gz:[0-9]+: the gzip file is damaged or cut short"):
        annotate(cut, zoo, tmp_path / "cut")


IMAGES = "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title\n"


def test_the_images_csv_names_images_by_their_urls(zoo: Hierarchy, tmp_path: Path) -> None:
    sizes = {**SMALL, "url_block_bytes": 4000}
    labels = write(tmp_path / "labels.csv", HEADER + "".join(f"{i:04x},machine,dog,0.5\n" for i in range(300)))
    order = list(range(290))
    random.Random(4).shuffle(order)
    lines = [f'{i:04x},train,https://x.org/{i}.jpg,,,"Ann, the ""author""","A\ntitle, in two lines"\n' for i in order]
    lines.insert(20, "0005,train,https://a.org/5.jpg,,,,\n")  # a second URL: the first by the alphabet counts
    lines.insert(30, "0120,train,,,,,\n")
    lines = [line.replace('"Ann', ',"Ann').replace(",,,,\n", ",,,,,\n") for line in lines]
    images = write(tmp_path / "images.csv", IMAGES + "".join(lines))
    table = annotate(labels, zoo, tmp_path / "out", images_csv=images, sizes=sizes)
    expected = {f"https://x.org/{i}.jpg" for i in range(290)} | {f"{i:04x}" for i in range(290, 300)}
    assert set(table.to_table().column("image").to_pylist()) == expected - {"https://x.org/5.jpg"} | {
        "https://a.org/5.jpg"
    }
    assert table.manifest.counts == {"without_url": 10}
    write(tmp_path / "images.csv", IMAGES + "".join(sorted(lines)))
    again = annotate(labels, zoo, tmp_path / "again", images_csv=images, workers=1, sizes=sizes)
    assert parts(again) == parts(table)


def test_a_bad_images_csv_is_refused_or_quarantined(zoo: Hierarchy, tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.csv", HEADER + "1,machine,dog,0.5\n")
    wrong = write(tmp_path / "wrong.csv", "ImageID,URL\n1,x\n")
    with pytest.raises(FormatError, match=r"wrong\.csv:1: found 'ImageID,URL', expected a header with the columns"):
        annotate(labels, zoo, tmp_path / "a", images_csv=wrong)
    images = write(tmp_path / "images.csv", "ImageID,OriginalURL\n1,http://x.org/1\n2\n")
    with pytest.raises(FormatError, match=r"images\.csv:3: found 1 columns, expected the 2 of the header"):
        annotate(labels, zoo, tmp_path / "b", images_csv=images)
    write(images, "ImageID,OriginalURL\n1,http://x.org/1\n2\n12345678901234567,http://y\n")
    table = annotate(labels, zoo, tmp_path / "c", images_csv=[images], mapping=None, on_error="quarantine")
    assert table.manifest.options["images_csv"] == [os.fspath(images)]
    assert rows(table) == {"http://x.org/1": {"dog": 0.5}}
    assert table.manifest.counts == {"quarantined": 2}


def test_without_out_batches_come_back(zoo: Hierarchy, tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", HEADER + "1,machine,puppy,0.5\n1,verification,rose,0\n")
    batches = list(mlimages.annotate(path, zoo, format="open-images", propagation="none"))
    assert [batch.to_pydict()["labels"] for batch in batches] == [[[1, 8]]]
    with pytest.raises(MlimagesError, match="unmapped: no option of the format open-images"):
        mlimages.annotate(path, zoo, format="open-images", unmapped="drop")


ROWS = st.lists(
    st.tuples(
        st.integers(0, 12).map("{:x}".format),
        st.one_of(
            st.tuples(st.just("machine"), st.sampled_from(["0", "0.25", "0.5", "0.9", "1"])),
            st.tuples(st.sampled_from(["verification", "human"]), st.sampled_from(["0", "1", "1.0"])),
        ),
        st.sampled_from(["dog", "cat", "rose", "/m/0x", "thing"]),
    ).map(lambda row: (row[0], row[1][0], row[2], row[1][1])),
    max_size=60,
)


def expected_table(lines: list[tuple[str, str, str, str]]) -> tuple[dict[str, dict[str, float]], Counter[str]]:
    """The rules in plain Python."""
    said: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    counts: Counter[str] = Counter()
    for image, who, label, confidence in lines:
        if label == "/m/0x":
            counts["removed_rows"] += 1
        elif who == "machine" and float(confidence) == 0:
            counts["machine_zeros"] += 1
        else:
            said.setdefault((image, label), []).append((who != "machine", float(np.float32(confidence))))
    table: dict[str, dict[str, float]] = {}
    for (image, label), statements in sorted(said.items()):
        people = {confidence for human, confidence in statements if human}
        counts["repeated_labels"] += len(statements) - 1
        counts["human_conflicts"] += people == {0.0, 1.0}
        table.setdefault(image, {})[label] = max(people or {confidence for _, confidence in statements})
    return table, +counts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=ROWS, seed=st.integers(0, 1000), cut=st.integers(0, 60), workers=st.sampled_from([1, 3]))
def test_any_order_of_rows_and_files_gives_the_same_bytes(
    zoo: Hierarchy,
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, str, str, str]],
    seed: int,
    cut: int,
    workers: int,
) -> None:
    tmp_path = tmp_path_factory.mktemp("order")
    lines = [*lines, ("0", "human", "dog", "1")]  # at least one known label
    sizes = {"bucket_bytes": 200}
    text = [",".join(line) + "\n" for line in lines]
    first = annotate(write(tmp_path / "a.csv", HEADER + "".join(text)), zoo, tmp_path / "a", sizes=sizes)
    random.Random(seed).shuffle(text)
    files = [
        write(tmp_path / "z.csv", HEADER + "".join(text[:cut])),
        write(tmp_path / "b.csv", HEADER + "".join(text[cut:])),
    ]
    second = annotate(files, zoo, tmp_path / "b", workers=workers, sizes=sizes)
    assert parts(first) == parts(second)
    assert first.manifest.counts == second.manifest.counts
    removed = [(table.folder / "removed_labels.csv").read_text() for table in (first, second)]
    assert removed[0] == removed[1]
    assert (rows(first), Counter(first.manifest.counts)) == expected_table(lines)


DRIVER = textwrap.dedent(
    """
    import sys
    import mlimages
    from mlimages import Hierarchy
    from mlimages.annotate.sources.openimages import partition
    from mlimages.annotate.sources.openimages.files import OpenImages

    write_run = partition.Partition._write_run
    def slowly(self, unit, notes, kept):
        import time
        write_run(self, unit, notes, kept)
        print(unit.index, flush=True)
        time.sleep(0.02)
    partition.Partition._write_run = slowly
    h = Hierarchy(["a", "b", "c"], [[], [0], [1]])
    source = OpenImages(sys.argv[1], h, bucket_bytes=20_000)
    mlimages.annotate(source, h, out=sys.argv[2], workers=1, resume=True)
    """
)


@pytest.mark.parametrize("runs", [1, 15])
def test_a_partition_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, runs: int) -> None:
    h = Hierarchy(["a", "b", "c"], [[], [0], [1]])
    text = HEADER + "".join(f"{i * 7919 % 5000:x},machine,{'abcd'[i % 4]},0.5\n" for i in range(20_000))
    path = write(tmp_path / "labels.csv", text)
    source = OpenImages(path, h, bucket_bytes=20_000)
    whole = mlimages.annotate(source, h, out=tmp_path / "whole")
    assert len(whole.manifest.parts) == 19
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", DRIVER, path, out], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(runs):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    finished = {each: each.stat().st_mtime_ns for each in (out / "scratch").glob("*.json")}
    assert runs - 1 <= len(finished) < 20
    assert not list(out.glob("part-*"))
    (out / "scratch" / "unit-000019-000000.records.tmp").write_bytes(b"half")
    with pytest.raises(JobError, match="holds an unfinished job: continue it with --resume"):
        mlimages.annotate(source, h, out=out)
    seen: list[bool] = []

    def progress(_: object) -> None:
        if not seen:  # the scratch folder is still there: what was finished was not made again
            seen.append(all(each.stat().st_mtime_ns == then for each, then in finished.items()))

    table = mlimages.annotate(source, h, out=out, resume=True, progress=progress)
    assert seen == [True]
    assert parts(table) == parts(whole)
    assert not (out / "scratch").exists()
    names = {each.name for each in out.iterdir()}
    assert names == {each.name for each in whole.folder.iterdir()}


def test_both_stages_tell_how_far_they_are(zoo: Hierarchy, tmp_path: Path) -> None:
    text = HEADER + "".join(f"{i:x},machine,{zoo.keys[i % 10]},0.5\n" for i in range(300))
    seen: list[mlimages.annotate.Progress] = []
    table = annotate(
        write(tmp_path / "l.csv", text), zoo, tmp_path / "out", progress=seen.append, workers=1, sizes=SMALL
    )
    first = [at for at in seen if at.stage == "sorting rows by image"]
    assert first == seen[: len(first)]
    assert [at.bytes for at in first] == sorted(at.bytes for at in first)
    assert first[-1].bytes == first[-1].all_bytes == len(text)
    assert [at.parts for at in seen[len(first) :]] == list(range(1, len(table.manifest.parts) + 1))


def test_a_job_interrupted_between_parts_goes_on_to_the_same_bytes(zoo: Hierarchy, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(at: mlimages.annotate.Progress) -> None:
        if at.parts == 3:
            raise Killed

    path = write(tmp_path / "l.csv", HEADER + "".join(f"{i:x},machine,{zoo.keys[i % 10]},0.5\n" for i in range(300)))
    whole = annotate(path, zoo, tmp_path / "whole", sizes=SMALL)
    with pytest.raises(Killed):
        annotate(path, zoo, tmp_path / "out", progress=kill, workers=1, sizes=SMALL)
    assert 3 <= len(list((tmp_path / "out").glob("part-*.parquet"))) < len(whole.manifest.parts)
    table = annotate(path, zoo, tmp_path / "out", resume=True, sizes=SMALL)
    assert parts(table) == parts(whole)
    assert not (tmp_path / "out" / "scratch").exists()


def test_a_full_disk_is_said_and_the_partition_goes_on_later(
    zoo: Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = write(tmp_path / "labels.csv", HEADER + "1,machine,dog,0.5\n")
    with monkeypatch.context() as patch:
        patch.setattr(partition.Partition, "_write_run", full)
        with pytest.raises(JobError, match=r"scratch: no space left on device: free some .about half the size"):
            annotate(path, zoo, tmp_path / "out")
    assert rows(annotate(path, zoo, tmp_path / "out", resume=True)) == {"1": {"dog": 0.5}}


def test_a_mapping_that_changes_is_not_gone_on_with(zoo: Hierarchy, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(_: object) -> None:
        raise Killed

    path = write(tmp_path / "labels.csv", HEADER + "1,machine,/m/a,0.5\n")
    mapping = write(tmp_path / "map.csv", "/m/a,dog\n")
    with pytest.raises(Killed):
        annotate(path, zoo, tmp_path / "out", mapping=mapping, progress=kill)
    write(mapping, "/m/a,cat\n")
    os.utime(mapping, ns=(0, time.time_ns() + 10**9))
    with pytest.raises(JobError, match=r"map\.csv: changed since the job in .* was begun"):
        annotate(path, zoo, tmp_path / "out", mapping=mapping, resume=True)
