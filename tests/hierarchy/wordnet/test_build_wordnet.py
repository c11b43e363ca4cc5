"""The script that rebuilds the embedded taxonomy, and the bridge to NLTK, on sources small and whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nltk
import pyarrow.parquet as pq
import pytest
from nltk.corpus.reader import CorpusReader, WordNetCorpusReader
from nltk.corpus.util import LazyCorpusLoader

from mlimages import Hierarchy
from mlimages.errors import DataNotFoundError, MlimagesError, UnknownSynsetError
from mlimages.hierarchy.wordnet.nltk import nltk_synset
from mlimages.hierarchy.wordnet.taxonomy import DATA

SCRIPT = Path(__file__).parents[3] / "scripts" / "build_wordnet.py"


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def sources():
    """Arguments that name the folders of WordNet 3.0 and of timm's class lists."""
    wordnet = os.environ.get("MLIMAGES_WORDNET")
    if wordnet is None:
        pytest.skip("MLIMAGES_WORDNET does not name the folder of WordNet 3.0's files; see scripts/build_wordnet.py")
    timm = os.environ.get("MLIMAGES_TIMM")
    if timm is None:
        found = find_spec("timm")
        if found is None:
            pytest.skip("timm is not installed and MLIMAGES_TIMM does not name its folder data/_info")
        timm = Path(found.origin).parent / "data" / "_info"
    return ["--wordnet", wordnet, "--timm", timm]


# The script -------------------------------------------------------------------------------------------------------


def test_rebuilt_files_are_the_embedded_ones_byte_for_byte(sources):
    done = run(*sources, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{DATA}: the same, ")


def test_check_finds_a_changed_file(sources, tmp_path):
    for name in ("wordnet.parquet", "noun.exc", "WORDNET-LICENSE"):
        shutil.copy(DATA / name, tmp_path)
    (tmp_path / "noun.exc").write_bytes((DATA / "noun.exc").read_bytes()[:-1])
    done = run(*sources, "--check", "--output", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"build_wordnet: {tmp_path / 'noun.exc'} differs from what its sources make\n"


def test_check_compares_values_where_another_pyarrow_wrote_the_file(sources, tmp_path):
    for name in ("wordnet.parquet", "noun.exc", "WORDNET-LICENSE"):
        shutil.copy(DATA / name, tmp_path)
    data = (DATA / "wordnet.parquet").read_bytes()
    version = pq.read_metadata(DATA / "wordnet.parquet").created_by.rpartition(" ")[2].encode()
    (tmp_path / "wordnet.parquet").write_bytes(data.replace(version, b"0" * len(version)))
    done = run(*sources, "--check", "--output", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the same, value for value (wordnet.parquet was written by parquet-cpp-arrow version 000000, " in done.stdout


def test_script_names_what_its_sources_lack(tmp_path):
    (tmp_path / "data.noun").touch()
    done = run("--wordnet", tmp_path, "--timm", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith(f"build_wordnet: {tmp_path} lacks lexnames, index.sense, cntlist.rev, data.verb, ")
    assert not (tmp_path / "out").exists()


# The bridge to NLTK -----------------------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Folder of a corpus in which NLTK finds one synset, entity at offset 1740."""
    folder = tmp_path / "corpora" / "wordnet"
    folder.mkdir(parents=True)
    for part in ("noun", "verb", "adj", "adv"):
        for name in (f"data.{part}", f"index.{part}", f"{part}.exc"):
            (folder / name).write_bytes(b"")
    (folder / "cntlist.rev").write_bytes(b"")
    (folder / "index.sense").write_bytes(b"entity%1:03:00:: 00001740 1 11\n")
    (folder / "data.adj").write_bytes(b"  14 WordNet 3.0 Copyright 2006 by Princeton University.\n")
    (folder / "lexnames").write_bytes(b"00\tadj.all\t3\n01\tadj.pert\t3\n02\tadv.all\t4\n03\tnoun.Tops\t1\n")
    (folder / "index.noun").write_bytes(b"entity n 1 1 ~ 1 1 00001740\n")
    entity = b"00001740 03 n 01 entity 0 000 | that which has its own distinct existence\n"
    (folder / "data.noun").write_bytes(b" " * 1739 + b"\n" + entity)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    other_languages = LazyCorpusLoader("omw-1.4", CorpusReader)
    monkeypatch.setattr(nltk.corpus, "wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, other_languages))
    yield folder
    for file in vars(nltk.corpus.wordnet).get("_data_file_map", {}).values():
        file.close()  # NLTK leaves them open


def test_synset_is_nltks(corpus):
    assert nltk_synset("n00001740").definition() == "that which has its own distinct existence"
    h = Hierarchy(["n00001740"], [[]])
    assert h.synset(0).name() == h[0].synset.name() == "entity.n.01"


def test_synset_without_a_corpus_says_how_to_get_it(corpus):
    shutil.rmtree(corpus)
    with pytest.raises(DataNotFoundError, match=r"^NLTK finds no WordNet corpus.*python -m nltk.downloader wordnet$"):
        nltk_synset("n00001740")


def test_synset_from_an_incomplete_corpus_names_the_file(corpus):
    (corpus / "lexnames").unlink()
    with pytest.raises(DataNotFoundError, match=r"incomplete \(.*lexnames.*python -m nltk.downloader wordnet$"):
        nltk_synset("n00001740")


@pytest.mark.parametrize(
    ("file", "before", "after", "found"),
    [
        ("*.noun", b"entity", b"thingy", "thingy"),
        ("data.noun", b"entity", b"thingy", "no synset"),
        ("data.noun", b" \n", b" \r\n", "no synset"),
    ],
)
def test_synset_from_another_wordnet_is_an_error(corpus, file, before, after, found):
    for path in corpus.glob(file):
        path.write_bytes(path.read_bytes().replace(before, after))
    message = rf"version 3.0\) has {found} at n00001740, expected entity: it is not WordNet 3.0"
    with pytest.raises(MlimagesError, match=message):
        nltk_synset("n00001740")


def test_synset_of_another_vocabulary_is_an_error(corpus, zoo):
    with pytest.raises(UnknownSynsetError, match=r"unknown synset 'dog': expected the id of a WordNet 3.0 noun"):
        zoo["dog"].synset  # noqa: B018
