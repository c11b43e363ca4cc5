from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, MlimagesError
from mlimages.annotate.sources import lineskernels
from mlimages.annotate.sources.imagelist import ImageList
from mlimages.annotate.sources.lines import Text, batches_of_lines
from mlimages.annotate.sources.source import Report
from mlimages.errors import FormatError
from tests.annotate.reference import parse_line

KEYED = Hierarchy(["n02084071", "/m/0bt9lr", "wd:Q144", "3d", "hÿ", "5x"], [[], [0], [0], [1], [], []])


def read(
    data: bytes,
    folder: Path,
    *,
    on_error: str = "quarantine",
    hierarchy: Hierarchy = KEYED,
    suffix: str = ".txt",
    **sizes: int,
):
    path = folder / f"list{suffix}"
    path.write_bytes(data)
    images = ImageList(path, hierarchy, **sizes)
    report = Report(on_error)  # type: ignore[arg-type]
    rows = []
    for unit in images.units():
        for batch in images.read(unit, report):
            batch.validate(full=True)
            for name, labels, confidences in zip(*(batch.column(i).to_pylist() for i in range(3)), strict=True):
                rows.append((name, list(zip(labels, confidences, strict=True))))
    return rows, report.bad


def test_the_published_form_is_read(tmp_path: Path) -> None:
    rows, bad = read(b"a.jpg\t5:1\t2:0.5\nhttp://x.org/b.jpg?c=1:2\t0:1.0\t1:25e-2\n", tmp_path)
    assert rows == [("a.jpg", [(5, 1.0), (2, 0.5)]), ("http://x.org/b.jpg?c=1:2", [(0, 1.0), (1, 0.25)])]
    assert bad == []


def test_bare_indices_and_keys_mean_confidence_one(tmp_path: Path) -> None:
    rows, _ = read(
        "a\t5\nb\tn02084071\nc\t/m/0bt9lr:0.5\nd\twd:Q144\ne\twd:Q144:.5\nf\t3d:0\ng\thÿ:0.25\n".encode(), tmp_path
    )
    assert [labels for _, labels in rows] == [
        [(5, 1)],
        [(0, 1)],
        [(1, 0.5)],
        [(2, 1)],
        [(2, 0.5)],
        [(3, 0)],
        [(4, 0.25)],
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_marks_and_an_open_last_line_are_understood(tmp_path: Path, end: bytes) -> None:
    rows, bad = read(b"\xef\xbb\xbfa\t1:0.5" + end + b"b\t2" + end + b"c\t3:1", tmp_path)
    assert rows == [("a", [(1, 0.5)]), ("b", [(2, 1)]), ("c", [(3, 1)])]
    assert bad == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "found an empty line, expected name<tab>label:confidence"),
        (b"\r", "found an empty line"),
        (b"a.jpg 5:1", "found no tab in 'a.jpg 5:1'"),
        (b"a.jpg", "found no tab in 'a.jpg'"),
        (b"\t5:1", "found no name before the tab"),
        (b"a\x00b\t5:1", "found the control character '\\x00' in a name"),
        (b"a\rb\t5:1", "found the control character '\\r' in a name"),
        (b"\xff\xfe\t5:1", "found the name '\\\\xff\\\\xfe', expected UTF-8"),
        (b"a\t6:1", "found the label '6:1', expected an index from 0 to 5"),
        (b"a\t99999999999999999999:1", "found the label '99999999999999999999:1', expected an index from 0 to 5"),
        (b"a\t-1:1", "found the label '-1:1', expected an index or a key of the hierarchy"),
        (b"a\tn00000000:1", "found the label 'n00000000:1', expected an index or a key"),
        (b"a\t5:1\t", "found the label '', expected an index or a key"),
        (b"a\t\t5:1", "found the label '', expected an index or a key"),
        (b"a\t5:", "found '5:', expected a number such as 0.8 as confidence"),
        (b"a\t5:x", "found '5:x', expected a number"),
        (b"a\t5:0.", "found '5:0.', expected a number"),
        (b"a\t5:nan", "found '5:nan', expected a number"),
        (b"a\t5:-0.5", "found '5:-0.5', expected a number"),
        (b"a\t5:1e", "found '5:1e', expected a number"),
        (b"a\t5:1\x00", "found '5:1\\x00', expected a number"),
        (b"a\t5:1.5", "found '5:1.5', expected a confidence from 0 to 1"),
        (b"a\t5:1e3", "found '5:1e3', expected a confidence from 0 to 1"),
        (b"a\t5:1e-60", "found '5:1e-60', expected a confidence from 0 to 1"),
        (b"n" * 65_536 + b"\t5:1", "(65536 bytes), expected at most 65535 bytes"),
    ],
)
def test_a_bad_line_is_named_or_kept_aside(tmp_path: Path, line: bytes, reason: str) -> None:
    data = b"good\t5:1\n" + line + b"\nlast\t0\n"
    rows, bad = read(data, tmp_path)
    assert [name for name, _ in rows] == ["good", "last"]
    assert [(each.line, each.row) for each in bad] == [(2, line)]
    assert reason in bad[0].reason
    with pytest.raises(FormatError, match=r"list\.txt:2: found") as caught:
        read(data, tmp_path, on_error="raise")
    assert caught.value.line == 2


def test_a_reader_that_was_pickled_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"a\tn02084071:0.5\nb\t3d\n")
    there = pickle.loads(pickle.dumps(ImageList(path, KEYED)))
    (batch,) = there.read(there.units()[0], Report("raise"))
    assert batch.column("labels").to_pylist() == [[0], [3]]


def test_lines_are_numbered_across_units_and_batches(tmp_path: Path) -> None:
    lines = [f"image{i}\t{i % 6}" if i % 7 else f"image{i}" for i in range(200)]
    rows, bad = read("\n".join(lines).encode(), tmp_path, unit_bytes=100, batch_rows=3)
    assert [each.line for each in bad] == [i + 1 for i in range(0, 200, 7)]
    assert [name for name, _ in rows] == [f"image{i}" for i in range(200) if i % 7]


def test_a_line_of_many_labels_and_one_of_many_bytes(tmp_path: Path) -> None:
    hierarchy = Hierarchy([f"c{i}" for i in range(5000)], [[]] * 5000)
    data = b"a\t" + b"\t".join(b"%d:0.5" % i for i in range(5000)) + b"\nb\t" + b"9" * 100_000_000 + b"\nc\t1\n"
    rows, bad = read(data, tmp_path, hierarchy=hierarchy)
    assert [(name, len(labels)) for name, labels in rows] == [("a", 5000), ("c", 1)]
    assert bad[0].line == 2
    assert len(bad[0].reason) < 200


@pytest.mark.parametrize("suffix", [".txt.gz", ".txt.zst"])
def test_compressed_lists_are_decompressed_as_they_are_read(tmp_path: Path, suffix: str) -> None:
    text = b"\xef\xbb\xbf" + b"".join(b"image%d\t%d:0.5\n" % (i, i % 6) for i in range(3000)) + b"bad\nlast\t1"
    packed = gzip.compress(text) if "gz" in suffix else pa.Codec("zstd").compress(text, asbytes=True)
    rows, bad = read(packed, tmp_path, suffix=suffix, batch_bytes=4000)
    assert rows == [(f"image{i}", [(i % 6, 0.5)]) for i in range(3000)] + [("last", [(1, 1.0)])]
    assert [(each.line, each.row) for each in bad] == [(3001, b"bad")]


def test_a_compressed_list_cut_short_is_said_and_loses_no_good_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = b"".join(b"%x\t1\n" % value for value in rng.integers(0, 1 << 60, 20_000))
    cut = gzip.compress(text)[:-20_000]
    rows, bad = read(cut, tmp_path, suffix=".txt.gz")
    assert 1000 < len(rows) < 20_000
    assert len(bad) == 1
    assert "gzip file is damaged or cut short" in bad[0].reason
    with pytest.raises(FormatError, match="damaged or cut short"):
        read(cut, tmp_path, suffix=".txt.gz", on_error="raise")


def test_globs_and_several_files_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\t1\n")
    images = ImageList([str(tmp_path / "[ab].txt"), tmp_path / "c.txt"], KEYED)
    assert [path.name for path in images.inputs] == ["a.txt", "b.txt", "c.txt"]
    with pytest.raises(MlimagesError, match="no file matches this pattern"):
        ImageList(str(tmp_path / "*.csv"), KEYED)
    with pytest.raises(MlimagesError, match="named twice"):
        ImageList([tmp_path / "a.txt", str(tmp_path / "*.txt")], KEYED)
    with pytest.raises(FileNotFoundError):
        ImageList(tmp_path / "d.txt", KEYED)
    with pytest.raises(IsADirectoryError):
        ImageList(tmp_path, KEYED)


def test_an_empty_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="the file is empty, expected name<tab>label"):
        read(b"", tmp_path)


_PIECES = st.sampled_from(
    [
        b"a",
        b"img.jpg",
        b"\t",
        b"\t",
        b"\t",
        b"\n",
        b"\n",
        b"\r\n",
        b":",
        b":1",
        b":0.5",
        b"1",
        b"5",
        b"6",
        b"0.25",
        b"1e-1",
        b"e",
        b".",
        b"-",
        b"+",
        b"nan",
        b"n02084071",
        b"/m/0bt9lr",
        b"wd:Q144",
        b"3d",
        b"5x",
        b"\x00",
        b"\r",
        b"\xff",
        b"\xc3\xbf",
        b"h\xc3\xbf",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b" ",
        b"9" * 20,
    ]
)
_LISTS = st.one_of(st.lists(_PIECES, max_size=24).map(b"".join), st.binary(max_size=60))


@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_LISTS)
@example(data=b"a\t1\n" * 5 + b"b")
@example(data=b"\xef\xbb\xbf")
def test_garbage_gives_the_rows_of_the_plain_parser(data: bytes, keyed_list: ImageList) -> None:
    report = Report("quarantine")
    text = Text("garbage", np.frombuffer(data, np.uint8), 0, len(data), None)
    rows = []
    for lines in batches_of_lines(text, report):
        batch = keyed_list._parse(lines, report)
        batch.validate(full=True)
        columns = (batch.column(i).to_pylist() for i in range(3))
        rows += [(name, list(zip(a, b, strict=True))) for name, a, b in zip(*columns, strict=True)]
    plain = data.split(b"\n")
    if plain[-1] == b"":
        plain.pop()
    parsed = [parse_line(line, KEYED) for line in plain]
    expected = [(name, [(i, float(np.float32(c))) for i, c in labels]) for name, labels in filter(None, parsed)]
    assert rows == expected
    assert [each.line for each in report.bad] == [i for i, row in enumerate(parsed, 1) if row is None]
    assert [each.row for each in report.bad] == [line for line, row in zip(plain, parsed, strict=True) if row is None]


@pytest.fixture(scope="module")
def keyed_list(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    path = tmp_path_factory.mktemp("list") / "list.txt"
    path.write_bytes(b"a\t1\n")
    return ImageList(path, KEYED)


@settings(max_examples=500, deadline=None)
@given(st.floats(0, 1, width=32), st.sampled_from(["{:.9g}", "{:.17g}", "{:.12f}", "{:e}"]))
def test_numbers_are_the_nearest_float32(value: float, form: str) -> None:
    text = form.format(value)
    data = np.frombuffer(text.encode(), np.uint8)
    assert np.float32(lineskernels.parse_number(data, 0, len(data))) == pytest.approx(np.float32(float(text)), rel=1e-7)
