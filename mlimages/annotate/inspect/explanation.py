"""Explanation of the labels of an image: the label or rule that each derives from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from mlimages.annotate.labels.schema import Origin
from mlimages.annotate.propagation.augment import Propagation
from mlimages.annotate.propagation.rules import Rules
from mlimages.annotate.tables.annotations import AnnotationTable, Label, TableLike, as_table
from mlimages.hierarchy import Category, Hierarchy

_COLUMNS = ("category", "name", "confidence", "origin", "because")


@dataclass(frozen=True, slots=True)
class ExplainedLabel:
    """A label and what it derives from.

    Parameters
    ----------
    category : Category
        The category of the label.
    confidence : float
        Above 0 to 1: present; 0: verified absent.
    origin : Origin
        Why the label is there.
    brought_by : tuple of Category
        The labels of the same image that it derives from, the most likely first; empty if there are none.
    because : str
        The same in words.
    """

    category: Category
    confidence: float
    origin: Origin
    brought_by: tuple[Category, ...]
    because: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values; categories by key."""
        return {
            "category": self.category.key,
            "index": self.category.index,
            "name": self.category.name,
            "confidence": _number(self.confidence),
            "origin": self.origin.name.lower(),
            "brought_by": [each.key for each in self.brought_by],
            "because": self.because,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The labels of an image, explained; see :func:`explain`.

    Parameters
    ----------
    image : str
        Its name.
    rows : tuple of ExplainedLabel
        Its labels, in the order of the table.
    """

    image: str
    rows: tuple[ExplainedLabel, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``mlimages explain --json`` prints them."""
        return {"image": self.image, "labels": [row.to_dict() for row in self.rows]}

    def __repr__(self) -> str:
        table = [_COLUMNS, *(self._cells(row) for row in self.rows)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(_COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table]
        count = f"{len(self.rows)} label{'s' if len(self.rows) != 1 else ''}"
        return "\n".join([f"{self.image}: {count}", *(line.rstrip() for line in lines if self.rows)])

    def _cells(self, row: ExplainedLabel) -> tuple[str, ...]:
        confidence = "absent" if row.confidence == 0 else f"{row.confidence:g}"
        return row.category.key, row.category.name, confidence, row.origin.name.lower(), row.because

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{column}</th>" for column in _COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in self._cells(row)) + "</tr>"
            for row in self.rows
        )
        return f"<p><b>{escape(self.image)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def explain(table: TableLike, image: str) -> Explanation:
    """Explain each label of an image by the label or rule that it derives from.

    Parameters
    ----------
    table : AnnotationTable or path-like
        The table that contains the image.
    image : str
        Its name, as the table has it.

    Returns
    -------
    Explanation
        Prints as a table; ``.rows`` and ``.to_dict()`` hold the same. An ancestor derives from the labels below it
        whose confidence it has, the nearest first; where another propagation or a filter took those away, all labels
        below it are named. A label of co-occurrence derives from the categories whose rules add it, the strongest
        rule first, where the table still has its rules. A table does not keep the teacher behind a label.

    Raises
    ------
    TableError
        If the table does not contain the image.
    """
    table = as_table(table)
    labels = table.labels_of(image)
    propagation = Propagation(**table.manifest.metadata["propagation"])
    return Explanation(image, tuple(_explained(label, labels, table, propagation) for label in labels))


def _explained(label: Label, labels: list[Label], table: AnnotationTable, rules: Propagation) -> ExplainedLabel:
    hierarchy = table.hierarchy
    sources: list[Category] = []
    because = {
        Origin.GIVEN: "given in the list",
        Origin.COOCCURRENCE: "a co-occurrence rule",
        Origin.TEACHER: "predicted by a teacher",
    }.get(label.origin, "")
    if label.origin is Origin.ANCESTOR:
        sources = _bringers(label, labels, hierarchy, rules)
        because = f"above {_named(sources)}" if sources else "above a label that is not in the table"
    elif label.origin is Origin.COOCCURRENCE and table.rules is not None:
        fired = _fired(label, labels, table.rules, rules)
        sources = list(dict.fromkeys(source for source, _, _ in fired))
        because = "; ".join(_rule_in_words(label, *each) for each in fired) or because
    elif label.origin is Origin.DESCENDANT:
        above = hierarchy.ancestors(label.category.index).tolist()
        absent = {
            each.category.index: each.category
            for each in labels
            if each.confidence == 0 and each.origin is not Origin.DESCENDANT
        }
        sources = [absent[index] for index in above if index in absent]
        because = f"below {_named(sources)}, verified absent" if sources else "below a verified absence"
    return ExplainedLabel(label.category, label.confidence, label.origin, tuple(sources), because)


def _bringers(label: Label, labels: list[Label], hierarchy: Hierarchy, rules: Propagation) -> list[Category]:
    """The labels that an ancestor can derive from, nearest first."""
    below = []
    for place, each in enumerate(labels):
        if each.confidence > 0 and each.origin is not Origin.ANCESTOR:
            edges = _edges_up(hierarchy, each.category.index).get(label.category.index)
            if edges is not None:
                below.append((edges, place, each))
    below.sort(key=lambda entry: entry[:2])

    def reaches(edges: int, each: Label) -> bool:
        reach = rules.ancestors if each.confidence == 1 else rules.uncertain
        return reach == "all" or (reach == "parent" and edges == 1)

    exact = [each for edges, _, each in below if each.confidence == label.confidence and reaches(edges, each)]
    return [each.category for each in exact or [each for _, _, each in below]]


def _fired(
    label: Label, labels: list[Label], rules: Rules, propagation: Propagation
) -> list[tuple[Category, Category, float]]:
    """The rules that can have added a label, as source, target and p, the strongest first."""
    hierarchy = rules.hierarchy
    had_rules = [each for each in labels if each.confidence > 0 and each.origin is not Origin.COOCCURRENCE]
    found = []
    for place, each in enumerate(had_rules):
        for rule in range(rules.indptr[each.category.index], rules.indptr[each.category.index + 1]):
            target = int(rules.targets[rule])
            reach = propagation.ancestors if rules.confidences[rule] == 1 else propagation.uncertain
            edges = 0 if target == label.category.index else _edges_up(hierarchy, target).get(label.category.index)
            if edges == 0 or (edges is not None and (reach == "all" or (reach == "parent" and edges == 1))):
                found.append((-float(rules.p[rule]), place, each.category, hierarchy[target]))
    return [(source, target, -strength) for strength, _, source, target in sorted(found, key=lambda rule: rule[:2])]


def _rule_in_words(label: Label, source: Category, target: Category, p: float) -> str:
    rule = f"the rule {_named([source])} -> {_named([target])}, p {p:.2f}"
    return rule if target == label.category else f"above what {rule} adds"


def _edges_up(hierarchy: Hierarchy, category: int) -> dict[int, int]:
    """Edges on the shortest way up to every ancestor."""
    edges: dict[int, int] = {}
    layer = [category]
    while layer:
        above = [int(parent) for each in layer for parent in hierarchy.parents(each)]
        layer = [parent for parent in dict.fromkeys(above) if parent not in edges]
        edges.update(dict.fromkeys(layer, max(edges.values(), default=0) + 1))
    return edges


def _named(categories: Iterable[Category]) -> str:
    return ", ".join(f"{each.name} ({each.key})" if each.name != each.key else each.key for each in categories)


def _number(confidence: float) -> float:
    """A float32 as the shortest number that reads as it: 0.8, not 0.800000011920929."""
    return float(str(np.float32(confidence)))
