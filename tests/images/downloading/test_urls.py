import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlimages.errors import FormatError
from mlimages.images.downloading.urls import ROWS as ROWS_SCHEMA
from mlimages.images.downloading.urls import Unit, cut, read_urls


def rows(*paths: Path, **options) -> list[tuple[str, str]]:
    return [(row["url"], row["labels"]) for batch in read_urls(list(paths), **options) for row in batch.to_pylist()]


LIST = "http://a/1.jpg\t3:1\t5193:0.9\nhttp://a/2.jpg\n\nhttp://a/3.jpg\tn02084071:1\r\nhttp://a/é.jpg\t7"
ROWS = [
    ("http://a/1.jpg", "3:1\t5193:0.9"),
    ("http://a/2.jpg", ""),
    ("http://a/3.jpg", "n02084071:1"),
    ("http://a/é.jpg", "7"),
]


def test_read_urls_keeps_the_labels_of_a_published_list_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "train_urls.txt"
    path.write_text(LIST, "utf-8", newline="")
    assert rows(path) == ROWS


def test_read_urls_reads_gzip_and_several_lists_in_order(tmp_path: Path) -> None:
    packed, plain = tmp_path / "a.txt.gz", tmp_path / "b.txt"
    packed.write_bytes(gzip.compress(LIST.encode()))
    plain.write_text("http://b/\n")
    assert rows(packed, plain) == [*ROWS, ("http://b/", "")]


def test_read_urls_reads_the_published_tiny_list(official: Path) -> None:
    found = rows(official / "train_im_list_tiny.txt")
    assert len(found) == 100
    assert found[2] == ("74229536_063452179d_o.jpg", "9416:1.0\t9413:1.0\t3:1.0")


def test_read_urls_skips_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfhttp://a/\n")
    assert rows(path) == [("http://a/", "")]


def test_read_urls_names_the_line_of_bad_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("http://a/1\t3:1\n\nhttp://a/2\tcat dog\n")
    with pytest.raises(FormatError, match=r"a\.txt:3: found the labels 'cat dog', expected index:confidence"):
        rows(path)


def test_read_urls_names_the_line_of_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"http://a/1\nhttp://a/\xe9\n")
    with pytest.raises(FormatError, match=r"a\.txt:2: found the byte 0xe9, expected UTF-8"):
        rows(path)


def test_read_urls_refuses_a_file_without_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * (12 << 20))
    with pytest.raises(FormatError, match="a line of more than 5 MB"):
        rows(path)


def test_read_urls_reads_csv_with_a_named_column(tmp_path: Path) -> None:
    path = tmp_path / "images.csv"
    path.write_text('ImageID,OriginalURL,labels\n1,"http://a/x,y.jpg",3:1 5:0.9\n2,http://a/2.jpg,\n3,,7;8\n')
    assert rows(path, url_column="OriginalURL") == [
        ("http://a/x,y.jpg", "3:1\t5:0.9"), ("http://a/2.jpg", ""), ("", "7\t8"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_read_urls_names_the_columns_where_the_url_column_is_missing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("ImageID,OriginalURL\n1,http://a/\n")
    else:
        pq.write_table(pa.table({"ImageID": ["1"], "OriginalURL": ["http://a/"]}), path)
    with pytest.raises(FormatError, match="found the columns ImageID, OriginalURL, expected one named 'url'"):
        rows(path)


def test_read_urls_refuses_parquet_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(FormatError, match="expected a Parquet file"):
        rows(path)


def test_read_urls_refuses_csv_of_uneven_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("url,labels\nhttp://a/,1,2,3\n")
    with pytest.raises(FormatError, match="expected CSV with a header row"):
        rows(path)


def test_read_urls_reads_the_label_lists_of_an_annotation_table(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    labels = pa.array([[3, 5193], []], pa.list_(pa.int16()))
    confidences = pa.array([[1.0, 0.9], []], pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"image": ["http://a/1", "http://a/2"], "labels": labels, "confidences": confidences}), path
    )
    assert rows(path, url_column="image") == [("http://a/1", "3:1\t5193:0.9"), ("http://a/2", "")]


def test_read_urls_goes_by_the_given_format(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("http://a/1\t3:1\n")
    assert rows(path, list_format="list") == [("http://a/1", "3:1")]


@pytest.mark.parametrize("rows_in_a_batch", [1, 2, 7, 100])
def test_cut_gives_the_same_units_however_the_rows_are_batched(rows_in_a_batch: int) -> None:
    urls = [f"http://a/{'x' * (i % 13)}" for i in range(100)]
    table = pa.table({"url": urls, "labels": ["1:1"] * 100}, schema=ROWS_SCHEMA)
    units = list(cut(table.to_batches(max_chunksize=rows_in_a_batch), unit_bytes=100))
    expected, held, size = [], [], 0
    for url in urls:
        held.append(url)
        size += len(url) + 3 + 2
        if size >= 100:
            expected.append(held)
            held, size = [], 0
    if held:
        expected.append(held)
    assert [unit.urls for unit in units] == expected
    assert [unit.index for unit in units] == list(range(len(expected)))


def test_cut_of_nothing_is_no_unit() -> None:
    assert list(cut([], unit_bytes=100)) == []
    one = pa.record_batch({"url": ["http://a/"], "labels": [""]}, schema=ROWS_SCHEMA)
    assert list(cut([one], unit_bytes=1)) == [Unit(0, ["http://a/"], [""])]
