"""The categories of a WordNet synset in a hierarchy: itself, its nearest kept ancestors, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError, MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.hierarchy.csr import CSR
from mlimages.hierarchy.text import read_utf8
from mlimages.hierarchy.wordnet.synsets import nearest_hypernyms
from mlimages.hierarchy.wordnet.taxonomy import taxonomy
from mlimages.storage.arrow import readonly

Unmapped = Literal["drop", "ancestor"]

#: Classes of ILSVRC; in the development kit, greater numbers are inner nodes.
ILSVRC_CLASSES = 1000


class SynsetTargets(NamedTuple):
    """The categories of every synset that has any."""

    offsets: NDArray[np.int32]  # [n]: of the synsets in WordNet's ``data.noun``, ascending
    indptr: NDArray[np.int64]  # [n + 1]: where the categories of each begin in `labels`
    labels: NDArray[np.int32]
    is_mapped: NDArray[np.uint8]  # [n]: 1 where the categories are not the synset itself but stand for it

    @property
    def most(self) -> int:
        """The largest number of categories of one synset."""
        return int(np.diff(self.indptr).max(initial=0))


def synset_targets(hierarchy: Hierarchy, unmapped: Unmapped) -> SynsetTargets:
    """Find the categories of every synset.

    A synset that is a key of the hierarchy is that category. Another has none, or, with ``unmapped="ancestor"``,
    those that a walk up WordNet 3.0 meets before any other kept one, nearest first, without those that are an
    ancestor of another of them.

    Raises
    ------
    MlimagesError
        If no key of the hierarchy is a synset id, or for another value of `unmapped`.
    """
    if unmapped not in get_args(Unmapped):
        raise MlimagesError(f"unmapped={unmapped!r}: expected one of {', '.join(get_args(Unmapped))}")
    own = {int(key[1:]): index for index, key in enumerate(hierarchy.keys) if is_synset_id(key)}
    if not own:
        raise MlimagesError(
            f"found no WordNet id among the {len(hierarchy)} keys of the hierarchy, such as n02084071: ImageNet needs "
            "a hierarchy over synsets"
        )
    rows = {offset: [index] for offset, index in own.items()}
    if unmapped == "ancestor":
        rows.update(_ancestor_rows(hierarchy, own))
    offsets = np.array(sorted(rows), np.int32)
    targets = CSR.from_rows([rows[offset] for offset in offsets.tolist()])
    mapped = np.array([offset not in own for offset in offsets.tolist()], np.uint8)
    return SynsetTargets(readonly(offsets), readonly(targets.indptr), readonly(targets.indices), readonly(mapped))


def _ancestor_rows(hierarchy: Hierarchy, own: dict[int, int]) -> dict[int, list[int]]:
    """The nearest kept ancestors of every synset that is not kept itself and has any."""
    wordnet = taxonomy()
    kept = np.array([offset in own for offset in wordnet.offsets.tolist()])
    outside = np.flatnonzero(~kept)
    found = nearest_hypernyms(wordnet.hypernyms, outside, np.flatnonzero(kept), every=True)
    rows = {}
    for position, nearest in zip(outside.tolist(), found, strict=True):
        labels = [own[int(wordnet.offsets[each])] for each in nearest.tolist()]
        above = {ancestor for label in labels for ancestor in hierarchy.closure[label].tolist()} if labels[1:] else ()
        if labels:
            rows[int(wordnet.offsets[position])] = [label for label in labels if label not in above]
    return rows


def is_synset_id(text: str) -> bool:
    """Whether a text has the form of a synset id, ``n`` and eight digits."""
    return len(text) == 9 and text[0] == "n" and text[1:].isascii() and text[1:].isdigit()


def sorted_classes() -> NDArray[np.int32]:
    """The offsets of the 1,000 ILSVRC classes by ascending id: the classes 0 to 999 of Caffe, torchvision and timm."""
    wordnet = taxonomy()
    return readonly(wordnet.offsets[wordnet.classes["imagenet-1k"]])


def read_classes(path: Path) -> NDArray[np.int32]:
    """The offset of every class, in class order, from the development kit's ``meta.mat`` or a text file.

    Each line of a text file begins with the synset id of a class (``n02119789`` or ``n02119789 kit fox``), as in
    Caffe's ``synsets.txt`` or Kaggle's ``LOC_synset_mapping.txt``.

    Raises
    ------
    FormatError
        If the file is in neither format.
    """
    if path.suffix == ".mat":
        return _read_meta(path)
    found = []
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        words = line.split(None, 1)
        if not words or not is_synset_id(words[0]):
            raise FormatError(
                f"found {line[:60]!r}, expected the synset id of class {number}, such as n02119789",
                path=path,
                line=number,
            )
        found.append(int(words[0][1:]))
    if not found:
        raise FormatError("the file is empty, expected a synset id a line", path=path)
    return readonly(np.array(found, np.int32))


def _read_meta(path: Path) -> NDArray[np.int32]:
    """The synsets of ``meta.mat``, a MATLAB structure array with the fields ILSVRC2012_ID and WNID among others."""
    from scipy.io import loadmat

    try:
        path.stat()  # of a file that is not there, loadmat says nothing useful
        synsets = loadmat(path, squeeze_me=True)["synsets"]
        names = dict(zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), strict=True))
        ids = [names[number] for number in range(1, ILSVRC_CLASSES + 1)]
    except (KeyError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise FormatError(
            f"not the meta.mat of an ILSVRC development kit, with classes 1 to {ILSVRC_CLASSES} ({error})", path=path
        ) from None
    wrong = next((each for each in ids if not is_synset_id(str(each))), None)
    if wrong is not None:
        raise FormatError(f"found the WNID {wrong!r}, expected a synset id such as n02119789", path=path)
    return readonly(np.array([int(each[1:]) for each in ids], np.int32))
