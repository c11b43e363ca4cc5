import json
from pathlib import Path

import pytest
from hostile import HostileServer, hostile_server

from mlimages import Hierarchy
from mlimages.errors import MlimagesError, TableError
from mlimages.images import download
from mlimages.images.downloading.urls import read_urls
from mlimages.images.packed.reading import read
from mlimages.storage.verify import verify_parts
from tests.images.downloading.test_download import MIXED, options, start, state, wait_for, write_list


def packed(**given):
    return options(output="packed", unit_bytes=2000, **given)


def test_download_packs_the_same_bytes_as_it_keeps_as_files(server: HostileServer, tmp_path: Path) -> None:
    paths = [MIXED[number % len(MIXED)].format(number) for number in range(120)]
    urls = write_list(tmp_path / "l.txt", server, paths, labels="3:1\t5193:0.9")
    download(urls, tmp_path / "files", options=options(unit_bytes=2000))
    final = download(urls, tmp_path / "out", options=packed())
    images = read(tmp_path / "out" / "packed")
    lines = (tmp_path / "files/image_list.txt").read_text().splitlines()
    assert (tmp_path / "out/image_list.txt").read_text().splitlines() == lines
    assert len(images) == final.success == len(lines) > 50
    for row, line in zip(images, lines, strict=True):
        assert row.name == line.split("\t")[0]
        assert row.image == (tmp_path / "files/images" / row.name).read_bytes()
        assert (row.labels.tolist(), row.origins.tolist()) == ([3, 5193], [0, 0])
        assert row.confidences.tolist() == pytest.approx([1, 0.9])
    assert verify_parts(tmp_path / "out/packed") == []
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "packed", "log", "image_list.txt", "manifest.json",
    }  # fmt: skip


def test_download_packed_maps_keys_with_a_hierarchy(server: HostileServer, tmp_path: Path, zoo: Hierarchy) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"], labels="puppy:0.5\tthing")
    download(urls, tmp_path / "out", options=packed(), hierarchy=zoo)
    images = read(tmp_path / "out/packed")
    assert images[0].labels.tolist() == [1, 9]
    assert images[0].confidences.tolist() == [0.5, 1]
    assert images.hierarchy.fingerprint == zoo.fingerprint
    with pytest.raises(MlimagesError, match="begun with hierarchy"):
        download(urls, tmp_path / "out", options=packed(), hierarchy=Hierarchy.from_edges([("thing", "puppy")]))


@pytest.mark.parametrize(
    ("labels", "hierarchical", "message"),
    [
        ("n02084071:1", False, "found the label 'n02084071', expected an index below 32768"),
        ("40000:1", False, "found the label '40000', expected an index below 32768"),
        ("unicorn:1", True, "the labels of .*unicorn"),
        ("99:1", True, "the labels of .*99"),
    ],
)
def test_download_packed_refuses_labels_that_are_no_category_before_it_begins(
    server: HostileServer, tmp_path: Path, zoo: Hierarchy, labels: str, hierarchical: bool, message: str
) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"], labels=labels)
    with pytest.raises(MlimagesError, match=message):
        download(urls, tmp_path / "out", options=packed(), hierarchy=zoo if hierarchical else None)
    assert server.seen.total() == 0


def test_download_packed_retry_writes_the_shard_anew(server: HostileServer, tmp_path: Path) -> None:
    paths = [f"/{'heals' if number % 3 else 'good'}/{number}" for number in range(60)] + ["/missing/1", "/heals/1"]
    urls = write_list(tmp_path / "l.txt", server, paths)
    out = tmp_path / "out"
    assert download(urls, out, options=packed()).success < 30
    assert download(urls, out, options=packed(), retry="failed").success == 61
    download(urls, tmp_path / "whole", options=packed())  # all heal by now
    assert state(out)["packed/part-00000.parquet"] == state(tmp_path / "whole")["packed/part-00000.parquet"]
    assert state(out) == state(tmp_path / "whole")


def test_download_packed_retry_tells_of_a_damaged_shard(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1", "/heals/2"])
    out = tmp_path / "out"
    download(urls, out, options=packed())
    shard = out / "packed/part-00000.parquet"
    data = shard.read_bytes()
    for damaged in (data[:-9], data[:4] + bytes(100) + data[104:]):
        shard.write_bytes(damaged)
        with pytest.raises(TableError, match=r"packed/part-00000\.parquet: .*damaged"):
            download(urls, out, options=packed(), retry="failed")


def test_download_packed_killed_and_resumed_ends_as_if_undisturbed(tmp_path: Path) -> None:
    with hostile_server(latency=0.03) as server:
        paths = [MIXED[number % len(MIXED)].format(number) for number in range(200)]
        urls = write_list(tmp_path / "l.txt", server, paths)
        download(urls, tmp_path / "whole", options=packed())
        server.seen.clear()
        for moment in (30, 120):
            process = start(urls, tmp_path / "killed", "--output", "packed")
            wait_for(lambda moment=moment: server.seen.total() >= moment, process)
            assert process.poll() is None
            process.kill()
            process.communicate()
        out, err = start(urls, tmp_path / "killed", "--output", "packed").communicate(timeout=120)
        assert "200 of 200 URLs" in out, err
        assert state(tmp_path / "killed") == state(tmp_path / "whole")
    assert json.loads((tmp_path / "killed/packed/manifest.json").read_text())["content"] == "packed images"


def test_download_packed_where_nothing_arrives_is_an_empty_table(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/missing/1", "/html/1"])
    download(urls, tmp_path / "out", options=packed())
    assert len(read(tmp_path / "out/packed")) == 0


def test_log_reads_as_a_list_of_urls(server: HostileServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l.txt", server, ["/good/1"])
    download(urls, tmp_path / "out", options=options())
    again = list(read_urls([tmp_path / "out/log/part-00000.parquet"]))
    assert again[0].to_pylist() == [{"url": f"{server.root}/good/1", "labels": "3:1\t5193:0.9"}]
