"""Synset proposals for display names, to align another vocabulary, such as that of Open Images, with WordNet.

A name is looked up as a whole first, then by its head noun. Plurals are reduced by WordNet's own rules, morphy(7): its
list of irregular forms, and its noun suffixes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlimages.errors import HierarchyError
from mlimages.hierarchy.hierarchy import Hierarchy
from mlimages.hierarchy.wordnet.taxonomy import PLURALS_FILE, taxonomy

if TYPE_CHECKING:
    import pandas as pd

EXACT = "exact lemma"
PLURAL = "plural folded"
HEAD = "head noun"
HEAD_PLURAL = "head noun, plural folded"
NO_MATCH = "no match"

#: The noun suffixes of morphy(7) and their replacements.
_SUFFIXES = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
#: Prepositions, which follow the head noun of a phrase: a *piece* of clothing, a *house* in the country.
_PREPOSITIONS = frozenset(["of", "for", "with", "without", "in", "on", "at", "from", "to", "by"])


class _Proposal(NamedTuple):
    position: int  # in the taxonomy
    lemma: str
    how: str


def match_names(names: Iterable[str], hierarchy: Hierarchy | None = None) -> pd.DataFrame:
    """Propose synsets for display names, best first, for a person to choose from.

    Case is ignored. A name is looked up as a lemma, as it is and in the singular; if nothing is found, its head noun
    is: the longest ending that is a lemma ("Grizzly brown bears": brown bear), of the part before a preposition
    ("Pieces of clothing": piece). The synsets of a lemma are ranked by WordNet's sense number, most frequent first. A
    qualifier in parentheses ("Bat (Animal)") is not part of the name; synsets that are hyponyms of the qualifier come
    first.

    Parameters
    ----------
    names : iterable of str
        The display names.
    hierarchy : Hierarchy, optional
        Propose only categories of this hierarchy. Default: all nouns of WordNet 3.0.

    Returns
    -------
    pandas.DataFrame
        A row for each proposal, in the order of the names: ``name``; ``rank``, from 1; ``key``, the synset id;
        ``synset``, its names; ``lemma``, the one that matched; ``how`` (``exact lemma``, ``plural folded``, ``head
        noun``, ``head noun, plural folded``); ``candidates``, the number of proposals for the name. A name without
        proposals has one row with rank 0, candidates 0, an empty key and ``no match``.

    Raises
    ------
    HierarchyError
        If `names` is a single string, or contains anything but strings.

    Examples
    --------
    >>> match_names(["Fedoras", "Bat (Animal)"])[["name", "rank", "key", "how"]].head(2).values.tolist()
    [['Fedoras', 1, 'n03325941', 'plural folded'], ['Bat (Animal)', 1, 'n02139199', 'exact lemma']]
    """
    import pandas as pd

    if isinstance(names, str):
        raise HierarchyError(f"found the single name {names!r}, expected a list of names")
    wordnet = taxonomy()
    allowed = None if hierarchy is None else frozenset(wordnet.find(hierarchy.keys).tolist())
    rows: list[tuple[str, int, int, str, str, int]] = []
    for name in names:
        if not isinstance(name, str):
            raise HierarchyError(f"found the name {name!r}, expected a string")
        found = _propose(name, allowed)
        rows += [(name, rank, each.position, each.lemma, each.how, len(found)) for rank, each in enumerate(found, 1)]
        if not found:
            rows.append((name, 0, -1, "", NO_MATCH, 0))
    table = pd.DataFrame(rows, columns=["name", "rank", "key", "lemma", "how", "candidates"])
    positions = table["key"].to_numpy(int)
    keys, lemmas = wordnet.keys(positions), wordnet.names(positions.clip(0))
    table["key"] = [key if at >= 0 else "" for key, at in zip(keys, positions, strict=True)]
    synsets = [", ".join(each) if at >= 0 else "" for each, at in zip(lemmas, positions, strict=True)]
    table.insert(3, "synset", synsets)
    return table.astype({column: "int64" if column in ("rank", "candidates") else "str" for column in table.columns})


def _propose(name: str, allowed: frozenset[int] | None) -> list[_Proposal]:
    """The proposals for one name, best first."""
    phrase, qualifiers = _parse(name)
    found = _senses(phrase, (EXACT, PLURAL), allowed)
    if not found:
        for ending in _heads(phrase):
            found = _senses(ending, (HEAD, HEAD_PLURAL), allowed)
            if found:
                break
    if qualifiers:
        wanted = {each.position for qualifier in qualifiers for each in _senses(qualifier, (EXACT, PLURAL), None)}
        found.sort(key=lambda each: wanted.isdisjoint(_ancestors(each.position)))
    return found


def _parse(name: str) -> tuple[str, list[str]]:
    """A name in folded case with single spaces, and the qualifiers from its parentheses."""
    folded = name.casefold().replace("_", " ")
    qualifiers = [" ".join(each.split()) for each in re.findall(r"\(([^()]*)\)", folded)]
    return " ".join(re.sub(r"\([^()]*\)", " ", folded).split()), qualifiers


def _senses(phrase: str, hows: tuple[str, str], allowed: frozenset[int] | None) -> list[_Proposal]:
    """The synsets with the phrase as a lemma, by sense number, then those of its singulars."""
    found: dict[int, _Proposal] = {}
    for how, forms in ((hows[0], (phrase,)), (hows[1], singulars(phrase))):
        for form in forms:
            for _, position, lemma in _lemma_index().get(form, ()):
                if allowed is None or position in allowed:
                    found.setdefault(position, _Proposal(position, lemma, how))
    return list(found.values())


def _heads(phrase: str) -> Iterator[str]:
    """The possible heads of a phrase that is not a lemma itself, longest first."""
    words = phrase.split()
    end = next((at for at, word in enumerate(words) if at and word in _PREPOSITIONS), len(words))
    for start in range(0 if end < len(words) else 1, end):
        yield " ".join(words[start:end])


def singulars(phrase: str) -> list[str]:
    """The possible singulars of a noun phrase, existing nouns or not: irregular forms first.

    One word at a time is put into the singular, the last one first.

    Examples
    --------
    >>> singulars("polar foxes")
    ['polar foxe', 'polar fox']
    >>> singulars("mice")
    ['mouse']
    >>> singulars("cups of tea")
    ['cup of tea']
    """
    forms = list(_irregular().get(phrase, ()))
    words = phrase.split()
    for at in reversed(range(len(words))):
        folded = [*_irregular().get(words[at], ()), *_without_suffix(words[at])]
        forms += [" ".join([*words[:at], each, *words[at + 1 :]]) for each in folded]
    return [form for form in dict.fromkeys(forms) if form != phrase]


def _without_suffix(word: str) -> list[str]:
    if word.endswith("ss") or len(word) <= 2:  # as morphy does: glass is not the plural of glas
        return []
    return [word.removesuffix(suffix) + ending for suffix, ending in _SUFFIXES if word.endswith(suffix)]


def _ancestors(position: int) -> set[int]:
    """A synset and all its hypernyms, as positions."""
    hypernyms, found, waiting = taxonomy().hypernyms, {position}, [position]
    while waiting:
        fresh = set(hypernyms[waiting.pop()].tolist()) - found
        found |= fresh
        waiting += fresh
    return found


@cache
def _lemma_index() -> dict[str, list[tuple[int, int, str]]]:
    """Sense number, position and spelling of every synset of a lemma, by the lemma in lower case, best first."""
    wordnet = taxonomy()
    index: dict[str, list[tuple[int, int, str]]] = {}
    spelled = wordnet.names(np.arange(len(wordnet)))
    for position, (lemmas, senses) in enumerate(zip(spelled, wordnet.senses.to_pylist(), strict=True)):
        for lemma, sense in zip(lemmas, senses, strict=True):
            index.setdefault(lemma.casefold(), []).append((sense, position, lemma))
    for entries in index.values():
        entries.sort()
    return index


@cache
def _irregular() -> dict[str, list[str]]:
    """Irregular plurals and their singulars, from WordNet's ``noun.exc``."""
    lines = PLURALS_FILE.read_text(encoding="ascii").splitlines()
    return {plural: singular for plural, *singular in ([w.replace("_", " ") for w in line.split()] for line in lines)}
