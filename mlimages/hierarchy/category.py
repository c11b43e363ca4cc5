"""One category: what a hierarchy gives back for an index or a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import Synset


@dataclass(frozen=True, slots=True)
class Category:
    """One category of a hierarchy.

    Parameters
    ----------
    index : int
        Its place in the hierarchy.
    key : str
        What identifies it: a WordNet id (``n02084071``) or another vocabulary's (``/m/0bt9lr``).
    names : tuple of str
        What people call it, the usual name first. Names need not be unique; empty where none is known.
    """

    index: int
    key: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The usual name; the key where no name is known."""
        return self.names[0] if self.names else self.key

    @property
    def synset(self) -> Synset:
        """NLTK's ``Synset`` of the key (glosses, examples, similarity), where the user has the WordNet corpus."""
        from mlimages.hierarchy.wordnet.synsets import nltk_synset

        return nltk_synset(self.key)

    def __index__(self) -> int:
        return self.index

    def __str__(self) -> str:
        return f"{self.key} {', '.join(self.names)}".rstrip()


#: Whatever names one category: its index, its key, or itself.
CategoryLike = int | str | Category
