"""The bridge to NLTK: its ``Synset``, with glosses and examples, of a synset id."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from mlimages.errors import DataNotFoundError, MlimagesError
from mlimages.hierarchy.wordnet.taxonomy import taxonomy

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import Synset


def nltk_synset(key: str) -> Synset:
    """NLTK's ``Synset`` of a synset id, from the user's WordNet corpus.

    Raises
    ------
    UnknownSynsetError
        For an id that is not in WordNet 3.0.
    DataNotFoundError
        If NLTK finds no WordNet corpus, or an incomplete one.
    MlimagesError
        If the corpus is damaged or not WordNet 3.0, so that the id means another synset there, or none.
    """
    embedded = taxonomy()
    names = embedded.names(embedded.positions([key]))[0]
    from nltk.corpus import wordnet as corpus  # late: it is optional and slow to import
    from nltk.corpus.reader.wordnet import WordNetError

    install = "run python -m nltk.downloader wordnet"
    try:
        corpus.ensure_loaded()
        version = corpus.get_version()
    except LookupError:
        raise DataNotFoundError(f"NLTK finds no WordNet corpus, which holds the glosses: {install}") from None
    except (OSError, WordNetError) as error:
        raise DataNotFoundError(f"NLTK's WordNet corpus is incomplete ({error}): {install}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NLTK warns and returns None where an offset leads nowhere
            synset = corpus.synset_from_pos_and_offset("n", int(key[1:]))
    except (LookupError, ValueError, WordNetError):  # or fails to parse the text at that offset
        synset = None
    found = synset and tuple(name.replace("_", " ") for name in synset.lemma_names())
    if found != names:
        there = ", ".join(found) if found else "no synset"
        raise MlimagesError(
            f"NLTK's WordNet corpus (version {version}) has {there} at {key}, expected {', '.join(names)}: "
            f"it is not WordNet 3.0, or its line ends are not LF; {install}"
        )
    return synset
