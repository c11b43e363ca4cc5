"""load_hierarchy: by name, by path, and where the published file comes from."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from mlimages import Hierarchy, load_hierarchy
from mlimages.errors import DataNotFoundError, FormatError, HierarchyError
from mlimages.hierarchy import load

SMALL = "category_index\tcategory_id\tindex_of_parent_category\tcategory name\n0\tn1\t-1\tthing\n1\tn2\t0\tdog\n"
FILE = "dictionary_and_semantic_hierarchy.txt"


# By path -------------------------------------------------------------------------------------------------------------


def test_dictionary_parquet_and_annotation_table_are_loaded_by_path(zoo, tmp_path):
    forest = zoo.restrict(["thing", "plant", "rose"])
    forest.to_dictionary(tmp_path / "d.txt")
    zoo.to_parquet(tmp_path / "h.PARQUET")
    (tmp_path / "table").mkdir()
    zoo.to_parquet(tmp_path / "table" / "categories.parquet")
    assert load_hierarchy(tmp_path / "d.txt") == load_hierarchy(str(tmp_path / "d.txt")) == forest
    assert load_hierarchy(tmp_path / "h.PARQUET") == zoo
    assert load_hierarchy(tmp_path / "table") == zoo


def test_open_images_and_edges_are_loaded_by_path(tmp_path):
    (tmp_path / "oi.json").write_text('{"LabelName": "a", "Subcategory": [{"LabelName": "b"}]}')
    (tmp_path / "e.csv").write_text("parent,child\na,b\n")
    (tmp_path / "e.tsv").write_text("parent\tchild\na\tb\n")
    for name in ("oi.json", "e.csv", "e.tsv"):
        h = load_hierarchy(tmp_path / name)
        assert h.keys == ("a", "b")
        assert h.parents("b").tolist() == [0]


def test_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(
        DataNotFoundError,
        match=r"^imagenet-2k: no such file, and no hierarchy of that name: the names are "
        r"imagenet-1k, imagenet-11k, imagenet-12k, imagenet-21k, ml-images$",
    ):
        load_hierarchy("imagenet-2k")
    with pytest.raises(DataNotFoundError, match="no such file"):
        load_hierarchy(tmp_path / "none.txt")


def test_folder_without_categories_is_refused(tmp_path):
    with pytest.raises(FormatError, match=rf"^{tmp_path}: the folder has no categories.parquet"):
        load_hierarchy(tmp_path)


def test_name_comes_before_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("imagenet-1k").write_text(SMALL)
    assert len(load_hierarchy("imagenet-1k")) > 1_000
    assert len(load_hierarchy("./imagenet-1k")) == 2
    assert len(load_hierarchy(Path("imagenet-1k"))) == 2


# By name, out of WordNet ---------------------------------------------------------------------------------------------


def test_imagenet_is_cut_at_the_published_roots_unless_told_otherwise():
    cut, whole = load_hierarchy("imagenet-1k"), load_hierarchy("imagenet-1k", roots=None)
    assert {cut[int(i)].name for i in cut.roots} <= {"thing", "matter", "object", "atmospheric phenomenon"}
    assert [whole[int(i)].name for i in whole.roots] == ["entity"]
    assert "n01440764" in cut  # tench
    several = load_hierarchy("imagenet-1k", roots=None, multiple_parents=True)
    assert several.statistics()["categories_with_several_parents"] > 0
    assert whole.statistics()["categories_with_several_parents"] == 0


@pytest.mark.parametrize("options", [{"roots": None}, {"roots": ["n00001740"]}, {"multiple_parents": True}])
def test_options_that_do_not_apply_are_refused(tmp_path, options):
    (tmp_path / "d.txt").write_text(SMALL)
    for name in ("ml-images", tmp_path / "d.txt"):
        with pytest.raises(HierarchyError, match=f"the option {next(iter(options))} does not apply"):
            load_hierarchy(name, **options)


# The published file --------------------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the server off standard error."""


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder that a server on this machine serves as the public address; an empty cache; no MLIMAGES_DATA."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / FILE).write_text(SMALL)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.delenv("MLIMAGES_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(load, "DICTIONARY_URL", f"http://127.0.0.1:{server.server_port}/{FILE}")
    monkeypatch.setattr(load, "DICTIONARY_SHA256", hashlib.sha256(SMALL.encode()).hexdigest())
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache" / "mlimages"


def test_published_file_is_fetched_once_without_noise(site, cache, capfd):
    assert load_hierarchy("ml-images").keys == ("n1", "n2")
    assert (cache / FILE).read_text() == SMALL
    (site / FILE).unlink()
    assert load_hierarchy("ml-images").keys == ("n1", "n2")
    assert capfd.readouterr() == ("", "")


def test_published_file_is_taken_from_the_named_folder_first(site, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIMAGES_DATA", str(tmp_path))
    (tmp_path / FILE).write_text(SMALL)
    assert load.ml_images_file() == tmp_path / FILE
    assert not cache.exists()


def test_named_folder_without_the_file_is_passed_over(site, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIMAGES_DATA", str(tmp_path))
    assert load.ml_images_file() == cache / FILE


def test_changed_file_in_the_named_folder_is_refused(site, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIMAGES_DATA", str(tmp_path))
    (tmp_path / FILE).write_text(SMALL + "2\tn3\t0\tcat\n")
    with pytest.raises(
        FormatError, match=rf"^{tmp_path / FILE}: not the published dictionary \(SHA-256 \w{{12}}\.\.\."
    ):
        load_hierarchy("ml-images")
    assert len(load_hierarchy(tmp_path / FILE)) == 3


def test_damaged_file_in_the_cache_is_fetched_again(site, cache):
    cache.mkdir(parents=True)
    (cache / FILE).write_text("damaged")
    assert len(load_hierarchy("ml-images")) == 2
    assert (cache / FILE).read_text() == SMALL


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda site: (site / FILE).write_text(SMALL + "x"), "the file at that address is not the published one"),
        (lambda site: (site / FILE).unlink(), "HTTP 404"),
    ],
)
def test_failed_fetch_says_what_to_do_and_leaves_nothing(site, cache, prepare, reason, capfd):
    prepare(site)
    with pytest.raises(DataNotFoundError, match=reason) as caught:
        load_hierarchy("ml-images")
    message = str(caught.value)
    assert message.startswith(f"{FILE} is neither in a folder that MLIMAGES_DATA names nor in {cache}, and fetching it")
    assert message.endswith(f"download {load.DICTIONARY_URL} and set MLIMAGES_DATA to its folder")
    assert "\n" not in message
    assert list(cache.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_no_network_says_what_to_do(site, cache, monkeypatch):
    monkeypatch.setattr(load, "DICTIONARY_URL", "http://127.0.0.1:1/d.txt")
    monkeypatch.setenv("MLIMAGES_DATA", "/nonexistent")
    with pytest.raises(
        DataNotFoundError, match=r"names \(/nonexistent\).*\(no connection, ConnectionError\): download"
    ):
        load_hierarchy("ml-images")
    assert list(cache.iterdir()) == []


def test_cache_that_can_not_be_written_says_so(site, cache):
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(DataNotFoundError, match=r"\((not a directory|file exists)\): download"):
        load_hierarchy("ml-images")


def test_official_file_has_the_hash_that_is_checked(official):
    assert hashlib.sha256((official / FILE).read_bytes()).hexdigest() == load.DICTIONARY_SHA256


def test_published_hierarchy_is_loaded_by_name(official, ml_images, monkeypatch):
    monkeypatch.setenv("MLIMAGES_DATA", str(official))
    assert load_hierarchy("ml-images") == ml_images
    assert isinstance(ml_images, Hierarchy)
