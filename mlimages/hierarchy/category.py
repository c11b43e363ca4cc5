"""One category of a hierarchy."""

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
        Its index in the hierarchy.
    key : str
        Its identifier: a WordNet id (``n02084071``) or one of another vocabulary (``/m/0bt9lr``).
    names : tuple of str
        Its names, the usual one first; empty if none is known. Names need not be unique.
    """

    index: int
    key: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The usual name, or the key if no name is known."""
        return self.names[0] if self.names else self.key

    @property
    def synset(self) -> Synset:
        """NLTK's ``Synset`` of the key (glosses, examples, similarity); needs NLTK's WordNet corpus."""
        from mlimages.hierarchy.wordnet.nltk import nltk_synset

        return nltk_synset(self.key)

    def __index__(self) -> int:
        return self.index

    def __str__(self) -> str:
        return f"{self.key} {', '.join(self.names)}".rstrip()


#: What identifies one category: its index, its key, or a Category.
CategoryLike = int | str | Category
