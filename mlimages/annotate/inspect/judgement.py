"""Evaluation of co-occurrence rules: precision and recall of the labels they add to images whose labels are known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.cooccurrence.counts import Cooccurrence
from mlimages.annotate.inspect import figures
from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.propagation.applyrules import brought_by
from mlimages.annotate.propagation.rules import Rules
from mlimages.annotate.tables.annotations import AnnotationTable, TableLike, as_table
from mlimages.errors import MlimagesError, TableError
from mlimages.hierarchy import CSR
from mlimages.storage.arrow import readonly
from mlimages.storage.rows import StoredRows

if TYPE_CHECKING:
    import pandas as pd

#: Thresholds that are printed and drawn.
GRID = tuple(i / 20 for i in range(20))


@dataclass(frozen=True, eq=False)
class RuleJudgement:
    """The labels that rules add, by the strength of the rule, and how many are right; see :func:`evaluate_rules`.

    Parameters
    ----------
    p : float32 array [s]
        The strengths that rules have, ascending.
    right, wrong, unknown : int64 array [s]
        Labels whose strongest rule has that p: present in the truth, verified absent there, or not listed.
    could : int
        Present labels of the truth that any rule could add: the denominator of recall.
    images : int
        Images judged.
    unlisted : {"wrong", "unknown"}
        How a label counts that the truth does not list.
    """

    p: NDArray[np.float32] = field(repr=False)
    right: NDArray[np.int64] = field(repr=False)
    wrong: NDArray[np.int64] = field(repr=False)
    unknown: NDArray[np.int64] = field(repr=False)
    could: int
    images: int
    unlisted: str

    def at(self, thresholds: Any = GRID) -> pd.DataFrame:
        """Precision and recall of the rules with p above each threshold.

        Returns
        -------
        pandas.DataFrame
            One row for each threshold: ``threshold``; ``added``, the labels added; ``right``, ``wrong``, ``unknown``,
            how many of them are so; ``precision``, right / (right + wrong); ``recall``, right / `could`; ``f1``, their
            harmonic mean. A ratio with denominator 0 is NaN.
        """
        import pandas as pd

        bounds = np.atleast_1d(np.asarray(thresholds, np.float64))
        first = np.searchsorted(self.p, bounds.astype(np.float32), side="right")
        columns = {"threshold": bounds}
        for name in ("right", "wrong", "unknown"):
            counts = getattr(self, name)
            columns[name] = counts.sum() - np.concatenate([[0], np.cumsum(counts)])[first]
        right, judged = columns["right"], columns["right"] + columns["wrong"]
        precision = np.divide(right, judged, out=np.full(len(bounds), np.nan), where=judged > 0)
        recall = right / self.could if self.could else np.full(len(bounds), np.nan)
        f1 = np.divide(2 * right, judged + self.could, out=np.full(len(bounds), np.nan), where=judged + self.could > 0)
        columns |= {"added": judged + columns["unknown"], "precision": precision, "recall": recall, "f1": f1}
        order = ["threshold", "added", "right", "wrong", "unknown", "precision", "recall", "f1"]
        return pd.DataFrame(columns)[order]

    def best(self) -> float:
        """The threshold with the greatest f1, among those just below the strengths of rules; NaN without rules."""
        if not len(self.p):
            return float("nan")
        # just below a strength means above the one before: the rules from that one up are in
        bounds = np.concatenate([[0.0], self.p[:-1].astype(np.float64)])
        f1 = self.at(bounds)["f1"].to_numpy()
        return float(bounds[int(np.nanargmax(f1))]) if not np.isnan(f1).all() else float("nan")

    def figure(self) -> Any:
        """A matplotlib figure: precision, recall and f1 by threshold, and precision over recall."""
        return figures.plot_judgement(self.at(np.linspace(0, 0.99, 100)), self.at([0.5]).iloc[0], images=self.images)

    def save_figure(self, path: str | os.PathLike[str]) -> None:
        """Write the figure, in the format that the name ends in, such as ``.png``."""
        figures.save_figure(self.figure(), Path(path))

    def __repr__(self) -> str:
        table = self.at().to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="")
        return f"{self.images:,} images, {self.could:,} labels that rules could add\n{table}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def evaluate_rules(
    rules: Any,
    truth: TableLike,
    *,
    annotations: TableLike | None = None,
    unlisted: Literal["wrong", "unknown"] = "wrong",
    min_images: int = 1,
) -> RuleJudgement:
    """Judge the labels that rules add on a held-out table with all labels.

    The labels added are those of :mod:`mlimages.annotate.propagation.applyrules`: targets with their ancestors. A label
    that several rules add counts once, with the strength of the strongest, so that one pass judges all thresholds.

    Parameters
    ----------
    rules : Cooccurrence, path-like or DataFrame
        Counts (all their rules, however weak, are judged), a rules CSV, or what ``Cooccurrence.rules`` returned. A
        threshold below the one that rules were chosen with adds no rules to them.
    truth : AnnotationTable or path-like
        The true labels, and verified absences if these are known.
    annotations : AnnotationTable or path-like, optional
        The table that the rules are applied to: the same images in the same order. Labels that an image has there are
        not added. By default the rules are applied to the true labels: a rule is right where its target stands beside
        its source. Ancestors of the source, which are there anyway, are then not counted.
    unlisted : {"wrong", "unknown"}
        Whether a label that the truth does not list is wrong, as in a set whose images were labelled exhaustively, or
        unknown, so that only verified absences are wrong.
    min_images : int
        For counts: sources with fewer images give no rule.

    Raises
    ------
    TableError
        For tables of other hierarchies, or of other images.
    MlimagesError
        For a source of rules that cannot be read.
    """
    if unlisted not in ("wrong", "unknown"):
        raise MlimagesError(f"unlisted={unlisted!r}: expected wrong or unknown")
    truth = as_table(truth)
    base = truth if annotations is None else as_table(annotations)
    hierarchy = truth.hierarchy
    base.check_hierarchy(hierarchy)
    if isinstance(rules, Cooccurrence):
        truth.check_hierarchy(rules.hierarchy)
        rules = rules.rules(min_probability=0, min_images=min_images)
    compiled = Rules.of(rules, hierarchy)
    brought = _brought(compiled, own_ancestors=annotations is not None)
    p, ranks = np.unique(compiled.p, return_inverse=True)
    reached = np.zeros(len(hierarchy), bool)
    reached[brought.indices] = True
    verdicts = np.zeros((3, max(1, len(p))), np.int64)
    ranked, apart = _Ranked(compiled, brought, ranks.astype(np.int32), reached), annotations is not None
    could = sum(_judge(rows, ranked, apart=apart, verdicts=verdicts) for rows in _side_by_side(base, truth))
    right, wrong, unknown = verdicts[:, : len(p)]
    if unlisted == "wrong":
        wrong, unknown = wrong + unknown, np.zeros_like(unknown)
    return RuleJudgement(p, right, wrong, unknown, could, len(truth), unlisted)


class _Ranked(NamedTuple):
    """Rules, what each of the r adds, the rank of its strength, and which of the n categories any rule adds."""

    rules: Rules
    brought: CSR
    ranks: NDArray[np.int32]  # [r]
    reached: NDArray[np.bool_]  # [n]


def _brought(rules: Rules, *, own_ancestors: bool) -> CSR:
    """What each rule adds; without `own_ancestors`, no ancestor of its source."""
    hierarchy = rules.hierarchy
    brought = brought_by(rules, hierarchy.closure, hierarchy.closure)
    if own_ancestors:
        return brought
    sources = rules.sources[brought.row_numbers]
    kept = ~hierarchy.is_ancestor(brought.indices, sources) & (brought.indices != sources)
    return CSR.from_pairs(brought.row_numbers[kept], brought.indices[kept], length=len(brought))


def _side_by_side(base: AnnotationTable, truth: AnnotationTable) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Batches of both with the same images."""
    if len(base) != len(truth):
        raise TableError(
            f"{base.folder}: holds {len(base):,} images and {truth.folder} {len(truth):,}, expected the same"
        )
    columns = ["image", "labels", "confidences"]
    row = 0
    for batch in StoredRows(base, columns).read(0, len(base)):
        rows = StoredRows(truth, columns).read(row, row + batch.num_rows)
        other = pa.Table.from_batches(rows).combine_chunks().to_batches()[0]
        if not batch.column("image").equals(other.column("image")):
            at = next(
                i
                for i, pair in enumerate(zip(batch.column("image"), other.column("image"), strict=True))
                if pair[0] != pair[1]
            )
            raise TableError(
                f"{base.folder}: row {row + at} is {batch.column('image')[at].as_py()!r}, in {truth.folder} it is "
                f"{other.column('image')[at].as_py()!r}: expected the same images in the same order"
            )
        yield batch, other
        row += batch.num_rows


def _judge(
    rows: tuple[pa.RecordBatch, pa.RecordBatch], ranked: _Ranked, *, apart: bool, verdicts: NDArray[np.int64]
) -> int:
    """Judge the rows of both tables; return how many labels rules could add."""
    from mlimages.annotate.inspect import judgementkernels as kernels

    given, true = (GivenLabels.of(batch) for batch in rows)
    rules, brought = readonly(ranked.rules.indptr), (ranked.brought.indptr, ranked.brought.indices)
    ranks = readonly(ranked.ranks)
    return int(kernels.judge(given[1:4], true[1:4], apart, rules, brought, ranks, ranked.reached, verdicts))
