"""The hierarchy against NLTK and networkx, in one run: loading, building from synset ids, ancestors.

    python benchmarks/hierarchy.py --nltk-data FOLDER --dictionary FILE

FOLDER holds ``corpora/wordnet``: WordNet 3.0 as ``python -m nltk.downloader -d FOLDER wordnet`` writes it, or the files
named in ``scripts/build_wordnet.py``, their line ends converted to LF. FILE is the published
``dictionary_and_semantic_hierarchy.txt``.

NLTK's load reads the lemma indices of all parts of speech and no synset; ours reads the noun synsets.

Each line gives the median of several runs of ours and of the peer, and how many times ours is faster. Where both give
the same kind of answer, the answers are compared too.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import nltk
from nltk.corpus.reader import CorpusReader, WordNetCorpusReader
from nltk.corpus.reader.wordnet import Synset
from nltk.corpus.util import LazyCorpusLoader

from mlimages import Hierarchy
from mlimages.hierarchy.wordnet.taxonomy import taxonomy

GOAL = 20
WIDTH = 58


def median(function: Callable[[], Any], *, runs: int) -> float:
    """Median seconds of several calls."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def in_a_fresh_process(code: str, *, runs: int) -> float:
    """Seconds of the code in a fresh interpreter, imports included, start-up excluded."""
    timed = f"import time; start = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    command = [sys.executable, "-c", timed]
    return statistics.median(
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs)
    )


def report(what: str, ours: float, peer: float) -> None:
    """Print one line."""
    ratio = peer / ours
    remark = "" if ratio >= GOAL else f"  below {GOAL}x"
    print(f"{what:<{WIDTH}} {ours:>9.4f} {peer:>9.4f} {ratio:>8.0f}x{remark}")


def load_nltk() -> WordNetCorpusReader:
    """Read WordNet's indices, as NLTK does when its corpus is first used."""
    other_languages = LazyCorpusLoader("omw-1.4", CorpusReader)  # never loaded
    corpus = LazyCorpusLoader("wordnet", WordNetCorpusReader, other_languages)
    corpus.ensure_loaded()
    return corpus


def nearest_kept(synset: Synset, kept: set[Synset]) -> Synset | None:
    """The nearest kept hypernym, breadth first."""
    seen, queue = {synset}, deque([synset])
    while queue:
        here = queue.popleft()
        for above in here.hypernyms() + here.instance_hypernyms():
            if above in kept:
                return above
            if above not in seen:
                seen.add(above)
                queue.append(above)
    return None


def walk_through_nltk(wordnet: WordNetCorpusReader, keys: tuple[str, ...]) -> list[Synset | None]:
    """The parent of each synset id."""
    synsets = [wordnet.synset_from_pos_and_offset("n", int(key[1:])) for key in keys]
    kept = set(synsets)
    return [nearest_kept(synset, kept) for synset in synsets]


def bench_loading(dictionary: Path, nltk_data: Path) -> WordNetCorpusReader:
    """Loading, with everything imported and in a fresh process; returns NLTK's reader."""

    def load_taxonomy() -> None:
        taxonomy.cache_clear()
        taxonomy()

    readers: list[WordNetCorpusReader] = []
    peer = median(lambda: readers.append(load_nltk()), runs=3)
    report("load the published file / NLTK's load", median(lambda: Hierarchy.from_dictionary(dictionary), runs=7), peer)
    report("load the embedded taxonomy / NLTK's load", median(load_taxonomy, runs=7), peer)
    peer = in_a_fresh_process(
        f"import nltk; nltk.data.path.insert(0, {str(nltk_data)!r})\n"
        "from nltk.corpus import wordnet; wordnet.ensure_loaded()",
        runs=3,
    )
    ours = in_a_fresh_process(
        f"from mlimages import Hierarchy; Hierarchy.from_dictionary({str(dictionary)!r})",
        runs=5,
    )
    report("the same, fresh process with imports: published file", ours, peer)
    ours = in_a_fresh_process("from mlimages.hierarchy.wordnet.taxonomy import taxonomy; taxonomy()", runs=5)
    report("the same, fresh process with imports: taxonomy", ours, peer)
    return readers[-1]


def bench_building(published: Hierarchy, wordnet: WordNetCorpusReader) -> None:
    """`from_wordnet` on the published keys, against the walk through a new reader and a warm one."""
    ours = median(lambda: Hierarchy.from_wordnet(published.keys), runs=7)
    start = time.perf_counter()
    walk_through_nltk(wordnet, published.keys)
    report(f"from_wordnet, {len(published):,} keys / NLTK, first walk", ours, time.perf_counter() - start)
    warm = median(lambda: walk_through_nltk(wordnet, published.keys), runs=3)
    report(f"from_wordnet, {len(published):,} keys / NLTK, synsets in its cache", ours, warm)
    h = Hierarchy.from_wordnet(published.keys)
    mine = [h.keys[row[0]] if len(row) else None for row in h.parents()]
    theirs = [each and f"n{each.offset():08d}" for each in walk_through_nltk(wordnet, published.keys)]
    same = sum(a == b for a, b in zip(mine, theirs, strict=True))
    print(f"  same parent for {same:,} of {len(h):,}; NLTK keeps hypernyms in sets, so ties fall by chance there")


def bench_ancestors(published: Hierarchy) -> None:
    """Ancestors of all categories: a new hierarchy's closure against networkx node by node."""
    graph = published.to_networkx()
    fresh = [Hierarchy(published.keys, published.parents(), published.names) for _ in range(7)]
    ours = median(lambda: fresh.pop().closure, runs=7)
    peer = median(lambda: [nx.ancestors(graph, key) for key in published.keys], runs=3)
    report("ancestors of all categories / networkx.ancestors", ours, peer)
    theirs = [nx.ancestors(graph, key) for key in published.keys]
    same = all(
        {published.keys[i] for i in row} == expected for row, expected in zip(published.closure, theirs, strict=True)
    )
    print(f"  same ancestors: {'yes' if same else 'NO'}")


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nltk-data", type=Path, required=True, help="folder that holds corpora/wordnet")
    parser.add_argument("--dictionary", type=Path, required=True, help="dictionary_and_semantic_hierarchy.txt")
    options = parser.parse_args()
    nltk.data.path.insert(0, str(options.nltk_data))  # NLTK refuses corpora outside its path
    print(
        f"Python {platform.python_version()}, NLTK {nltk.__version__}, networkx {nx.__version__}, {platform.machine()}"
    )
    print(f"{'median seconds':<{WIDTH}} {'ours':>9} {'peer':>9} {'ratio':>9}")
    wordnet = bench_loading(options.dictionary, options.nltk_data)
    published = Hierarchy.from_dictionary(options.dictionary)
    bench_building(published, wordnet)
    bench_ancestors(published)


if __name__ == "__main__":
    main()
