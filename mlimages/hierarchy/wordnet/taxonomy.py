"""The embedded noun taxonomy of WordNet 3.0: synset ids, lemmas, hypernyms, and the ImageNet class lists.

It is one Parquet file, made by ``scripts/build_wordnet.py`` from WordNet's ``data.noun``, and needs neither a corpus
nor NLTK. It has no glosses; :func:`mlimages.hierarchy.wordnet.nltk.nltk_synset` gives them.

The id of a synset is ``n`` and the eight digits of its offset in ``data.noun`` (``n02084071``). Its position is its
index among the 82,115 noun synsets by ascending offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import UnknownSynsetError
from mlimages.hierarchy.csr import CSR, Int32Array, Int64Array

if TYPE_CHECKING:
    import pyarrow

DATA = Path(__file__).parents[1] / "data"
TAXONOMY_FILE = DATA / "wordnet.parquet"
PLURALS_FILE = DATA / "noun.exc"

#: The class lists of the taxonomy: their public names, and the columns with their class numbers.
CLASS_LISTS = {
    "imagenet-1k": "imagenet_1k",
    "imagenet-11k": "imagenet_11k",
    "imagenet-12k": "imagenet_12k",
    "imagenet-21k": "imagenet_21k",
}


def taxonomy_schema() -> pyarrow.Schema:
    """The columns of the embedded file, with a row for each noun synset by ascending offset.

    ``lemmas`` are spelled as in WordNet, with underscores for spaces, the usual one first; ``senses`` are the sense
    numbers of the synset for each lemma, from 1, the most frequent sense. Both kinds of hypernyms are offsets, in the
    order of ``data.noun``. The column of a class list holds class numbers, null for synsets that are not in it.
    """
    import pyarrow as pa

    offsets = pa.list_(pa.field("element", pa.int32(), nullable=False))
    return pa.schema(
        [
            pa.field("offset", pa.int32(), nullable=False),
            pa.field("lemmas", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False),
            pa.field("senses", pa.list_(pa.field("element", pa.int8(), nullable=False)), nullable=False),
            pa.field("hypernyms", offsets, nullable=False),
            pa.field("instance_hypernyms", offsets, nullable=False),
            *(pa.field(column, pa.int16()) for column in CLASS_LISTS.values()),
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Taxonomy:
    """The noun synsets of WordNet 3.0 as arrays over positions.

    Parameters
    ----------
    offsets : int32 array [n]
        The offset of each synset in ``data.noun``, ascending.
    hypernyms : CSR [n]
        Positions of the hypernyms of each synset in WordNet's order, then of its instance hypernyms.
    lemmas : pyarrow list<string> array [n]
        Lemma names of each synset, with underscores for spaces.
    senses : pyarrow list<int8> array [n]
        Sense number of each synset for each of its lemmas, from 1.
    classes : mapping of str to int32 array
        Positions of the synsets of each class list, in class order.
    """

    offsets: Int32Array
    hypernyms: CSR
    lemmas: pyarrow.ListArray
    senses: pyarrow.ListArray
    classes: Mapping[str, Int32Array]

    def __len__(self) -> int:
        return len(self.offsets)

    def positions(self, keys: Iterable[str]) -> Int64Array:
        """Positions, int64 [m], of synset ids.

        Raises
        ------
        UnknownSynsetError
            For the first one that is not the id of a noun synset of WordNet 3.0.
        """
        keys = list(keys)
        found = self.find(keys)
        if (found < 0).any():
            key = keys[int(np.argmax(found < 0))]
            if isinstance(key, str) and _offset(key) >= 0:
                raise UnknownSynsetError(f"unknown synset {key!r}: WordNet 3.0 has no noun synset at this offset")
            raise UnknownSynsetError(
                f"unknown synset {key!r}: expected the id of a WordNet 3.0 noun, n and eight digits such as n02084071"
            )
        return found

    def find(self, keys: Iterable[str]) -> Int64Array:
        """Positions, int64 [m], of synset ids; -1 for other keys."""
        wanted = np.array([_offset(key) for key in keys], np.int64)
        found = np.searchsorted(self.offsets, wanted)
        found[found == len(self)] = 0
        found[self.offsets[found] != wanted] = -1
        return found

    def keys(self, positions: NDArray[Any]) -> list[str]:
        """Synset ids at positions, int [m]."""
        return [f"n{offset:08d}" for offset in self.offsets[positions].tolist()]

    def names(self, positions: NDArray[Any]) -> list[tuple[str, ...]]:
        """Lemma names at positions, int [m], with spaces, the usual name first."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = np.ascontiguousarray(positions, np.int64)
        # pa.array would import pandas
        rows = self.lemmas.take(pa.Array.from_buffers(pa.int64(), len(wanted), [None, pa.py_buffer(wanted)]))
        flat = pc.replace_substring(rows.flatten(), "_", " ").to_pylist()
        ends = np.cumsum(np.from_dlpack(pc.list_value_length(rows))).tolist()
        return [tuple(flat[start:end]) for start, end in pairwise([0, *ends])]


def _offset(key: object) -> int:
    """The offset in a synset id; -1 if it is not one."""
    if not isinstance(key, str) or len(key) != 9 or key[0] != "n":
        return -1
    digits = key[1:]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


@cache
def taxonomy() -> Taxonomy:
    """The embedded taxonomy, read once."""
    import pyarrow.parquet as pq

    # pq.read_table, Array.to_numpy and pa.scalar would import pandas, which takes longer than everything else here;
    # pyarrow.compute takes longer to import than the file to read
    table = pq.ParquetFile(TAXONOMY_FILE).read()
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    offsets = np.asarray(np.from_dlpack(columns["offset"]), np.int32)
    return Taxonomy(
        offsets,
        _hypernyms(offsets, columns["hypernyms"], columns["instance_hypernyms"]),
        columns["lemmas"],
        columns["senses"],
        {name: _class_order(columns[column]) for name, column in CLASS_LISTS.items()},
    )


def _hypernyms(offsets: Int32Array, *kinds: pyarrow.ListArray) -> CSR:
    """The hypernyms of all kinds as positions, in the order of the kinds within each row."""
    rows, values = [], []
    for kind in kinds:
        rows.append(np.repeat(np.arange(len(offsets)), np.diff(np.from_dlpack(kind.offsets))))
        values.append(np.searchsorted(offsets, np.from_dlpack(kind.flatten())))
    return CSR.from_pairs(np.concatenate(rows), np.concatenate(values), length=len(offsets))


def _class_order(numbers: pyarrow.Array) -> Int32Array:
    """Positions of the rows with a class number, in the order of these numbers."""
    validity, values = numbers.buffers()
    bits = np.frombuffer(validity, np.uint8)  # one bit per row, least significant first
    members = np.flatnonzero(np.unpackbits(bits, count=len(numbers), bitorder="little"))
    return members[np.argsort(np.frombuffer(values, np.int16)[members])].astype(np.int32)
