"""The rules in plain Python: what the compiled kernels are compared with. Slow, and meant to be read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlimages import Hierarchy, Propagation

GIVEN, ANCESTOR, COOCCURRENCE, DESCENDANT = 0, 1, 2, 3
_NUMBER = re.compile(r"(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass
class Entry:
    confidence: float
    origin: int


def reach(hierarchy: Hierarchy, label: int, which: str) -> list[int]:
    """What a label brings: breadth first from its parents."""
    if which == "none":
        return []
    found: list[int] = []
    layer = [label]
    while layer:
        above = [parent for node in layer for parent in hierarchy.parents(node).tolist()]
        layer = [node for node in dict.fromkeys(above) if node not in found]
        found += layer
        if which == "parent":
            break
    return found


def descendants(hierarchy: Hierarchy, label: int) -> list[int]:
    return [i for i in range(len(hierarchy)) if label in reach(hierarchy, i, "all")]


def propagate(
    row: list[tuple[int, float]], hierarchy: Hierarchy, rules: Propagation
) -> tuple[list[tuple[int, float, int]], int]:
    """A row with what its labels bring, as (label, confidence, origin), and the number of absences beaten."""
    entries: dict[int, Entry] = {}
    conflicts = 0

    def add(label: int, confidence: float, origin: int) -> None:
        nonlocal conflicts
        old = entries.get(label)
        if old is None:
            entries[label] = Entry(confidence, origin)
        elif (old.confidence > 0) != (confidence > 0):
            conflicts += 1
            if confidence > 0:
                entries[label] = Entry(confidence, origin)
        else:
            if rules.conflict == "max":
                old.confidence = max(old.confidence, confidence)
            if origin == GIVEN:
                old.origin = GIVEN

    for label, confidence in row:
        add(label, confidence, GIVEN)
        if confidence > 0:
            for above in reach(hierarchy, label, rules.ancestors if confidence == 1 else rules.uncertain):
                add(above, confidence, ANCESTOR)
    if rules.absent == "descendants":
        for label, confidence in row:
            if confidence == 0 and entries[label].confidence == 0:
                for below in descendants(hierarchy, label):
                    entries.setdefault(below, Entry(0.0, DESCENDANT))
    return [(label, each.confidence, each.origin) for label, each in entries.items()], conflicts


def apply_rules(
    row: list[tuple[int, float, int]],
    hierarchy: Hierarchy,
    propagation: Propagation,
    rules: list[tuple[int, int, float]],
) -> tuple[list[tuple[int, float, int]], int]:
    """A propagated row with what rules (source, target, confidence) add, and how many an absence stopped."""
    before = {label: confidence for label, confidence, _ in row}
    added: dict[int, float] = {}
    stopped = 0
    for label, confidence, _ in row:
        if confidence == 0:
            continue
        for _, target, sureness in (rule for rule in rules if rule[0] == label):
            which = propagation.ancestors if sureness == 1 else propagation.uncertain
            brings = [target, *reach(hierarchy, target, which)]
            if any(before.get(each) == 0 for each in brings):
                stopped += 1
                continue
            for each in brings:
                if each not in before:
                    old = added.setdefault(each, sureness)
                    added[each] = max(old, sureness) if propagation.conflict == "max" else old
    return row + [(label, confidence, COOCCURRENCE) for label, confidence in added.items()], stopped


def parse_line(line: bytes, hierarchy: Hierarchy) -> tuple[str, list[tuple[int, float]]] | None:
    """Name and labels of a line without its end; None for a bad one."""
    line = line.removesuffix(b"\r")
    name, tab, rest = line.partition(b"\t")
    if not tab or not name or len(name) > 65_535 or any(byte < 32 for byte in name):
        return None
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    labels = []
    for token in rest.split(b"\t"):
        label = _parse_token(token.decode("latin-1"), hierarchy)
        if label is None:
            return None
        labels.append(label)
    return text, labels


def _parse_token(token: str, hierarchy: Hierarchy) -> tuple[int, float] | None:
    head, colon, tail = token.rpartition(":")
    name, confidence = (head, _number(tail)) if colon else (token, 1.0)
    keys = {key.encode().decode("latin-1"): i for i, key in enumerate(hierarchy.keys)}
    index = int(name) if name.isascii() and name.isdigit() else keys.get(name)
    if (index is None or confidence is None) and colon and not (name.isascii() and name.isdigit()):
        index, confidence = keys.get(token), 1.0
    if index is None or confidence is None or index >= len(hierarchy) or confidence > 1:
        return None
    return index, confidence


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None
