"""Metrics counted batch by batch in constant memory: top-k, multi-label, hierarchical."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import ModelError

if TYPE_CHECKING:
    import scipy.sparse

    from mlimages.hierarchy import Hierarchy

FloatArray = NDArray[np.float64]

_LOGIT_RANGE = 16.0  # histograms span probabilities from 1.1e-7 to 1 - 1.1e-7; what is outside shares the outer bins


class TopKAccuracy:
    """Share of images whose only class is among the k best.

    Parameters
    ----------
    ks : sequence of int, optional

    Examples
    --------
    >>> accuracy = TopKAccuracy(ks=(1, 2))
    >>> accuracy.update([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [1, 1])
    >>> accuracy.compute()
    {'top1': 0.5, 'top2': 1.0}
    """

    def __init__(self, *, ks: Sequence[int] = (1, 5)) -> None:
        self.ks = tuple(ks)
        self._images = np.zeros(1, np.int64)
        self.right = np.zeros(len(self.ks), np.int64)

    @property
    def images(self) -> int:
        """Number of images that were counted."""
        return int(self._images[0])

    def counts(self) -> list[NDArray[Any]]:
        """The arrays of counts; those of disjoint sets of images add up."""
        return [self._images, self.right]

    def update(self, scores: ArrayLike, labels: ArrayLike) -> None:
        """Count a batch: scores [B, C], such as logits or probabilities, and labels int [B].

        Of classes with equal scores, that with the lower index ranks first, as in a stable sort.
        """
        scores, labels = np.asarray(scores), np.asarray(labels)
        right = np.take_along_axis(scores, labels[:, None], axis=1)
        before = np.arange(scores.shape[1]) < labels[:, None]
        rank = ((scores > right) | ((scores == right) & before)).sum(axis=1)
        self.right += [(rank < k).sum() for k in self.ks]
        self._images += len(labels)

    def compute(self) -> dict[str, float]:
        """``top{k}`` for each k, from 0 to 1; nan before the first image."""
        return {f"top{k}": _ratio(right, self.images) for k, right in zip(self.ks, self.right.tolist(), strict=True)}


class AveragePrecision:
    """Average precision of every class from histograms of its scores.

    Bins have equal width in log-odds, which resolves probabilities near 0, such as those of rare classes. Scores in one
    bin are tied. With the default of 1,024, bins are 0.031 wide: probabilities that differ by less than 3 % may tie.

    Parameters
    ----------
    num_classes : int
    bins : int, optional
        Memory is ``8 * bins * num_classes`` bytes: 91 MB for 11,166 classes.
    """

    def __init__(self, num_classes: int, *, bins: int = 1024) -> None:
        if bins < 2:
            raise ModelError(f"bins is {bins}: expected at least 2")
        self.num_classes, self.bins = num_classes, bins
        self.counts = np.zeros((2, num_classes, bins), np.uint32)  # absent, present

    def update(self, probabilities: NDArray[Any], targets: NDArray[Any]) -> None:
        """Count a batch: probabilities float [B, C], targets [B, C]: above 0 present, 0 absent, below unknown."""
        rows, columns = np.nonzero(targets >= 0)
        if not len(rows):
            return
        known = probabilities[rows, columns].astype(np.float32)
        with np.errstate(divide="ignore"):
            odds = np.log(known) - np.log1p(-known)
        place = (odds + _LOGIT_RANGE) * (self.bins / (2 * _LOGIT_RANGE))
        place = np.clip(place, 0, self.bins - 1).astype(np.int64)
        flat = ((targets[rows, columns] > 0) * self.num_classes + columns) * self.bins + place
        np.add.at(self.counts.reshape(-1), flat.astype(np.int64), np.uint32(1))

    def compute(self) -> FloatArray:
        """Average precision of each class [C], nan where it has no positive.

        The sum over thresholds of precision times increase of recall, as scikit-learn's ``average_precision_score`` on
        scores rounded to bins.
        """
        result = np.full(self.num_classes, np.nan)
        for start in range(0, self.num_classes, 512):  # a slice at a time: the cumulative sums are 8 bytes each
            absent, present = self.counts[:, start : start + 512, ::-1].astype(np.int64)
            true = present.cumsum(axis=1)
            precision = true / np.maximum(true + absent.cumsum(axis=1), 1)
            with np.errstate(invalid="ignore"):
                result[start : start + 512] = (precision * present).sum(axis=1) / true[:, -1]
        return result


class MultiLabelMetrics:
    """Multi-label and hierarchical metrics over any number of batches; unknown labels are ignored.

    Parameters
    ----------
    classes : int or Hierarchy
        Their number, or their hierarchy, which adds the hierarchical metrics.
    ks : sequence of int, optional
        Numbers of best classes that are taken as the predictions of an image.
    trainable : bool array [C], optional
        The classes to average over, such as those with enough images; all by default.
    bins : int, optional
        Number of bins of the score histograms: see :class:`AveragePrecision`.

    Notes
    -----
    The predictions of an image at k are its k most probable known classes; ties go to the lower index. An unknown class
    is neither right nor wrong, and is not among the k.

    Hierarchical precision, recall and F1 are those of Kiritchenko et al. 2005, "Functional annotation of genes using
    hierarchical text categorization", recommended by Silla and Freitas 2011, https://doi.org/10.1007/s10618-010-0175-9:
    predictions and labels are each extended by all ancestors, and overlaps are summed over all images. Ancestors
    that are marked unknown and that no present label implies are left out.

    The LCA depth of an image is that of the deepest common ancestor of its best prediction and any of its present
    labels, each being an ancestor of itself; its mean is over images with a present label. Depth is the number of
    categories on the longest path from a root, so 1 for a root, and 0 where there is no common ancestor.
    """

    def __init__(
        self,
        classes: int | Hierarchy,
        *,
        ks: Sequence[int] = (1, 5),
        trainable: ArrayLike | None = None,
        bins: int = 1024,
    ) -> None:
        self.hierarchy = None if isinstance(classes, int) else classes
        self.num_classes = classes if isinstance(classes, int) else len(classes)
        self.ks = tuple(ks)
        if not self.ks or min(self.ks) < 1:
            raise ModelError(f"ks is {list(self.ks)}: expected whole numbers from 1")
        self.trainable = np.ones(self.num_classes, bool) if trainable is None else np.asarray(trainable, bool)
        if self.trainable.shape != (self.num_classes,):
            raise ModelError(f"trainable has shape {list(self.trainable.shape)}: expected [{self.num_classes}]")
        self.average_precision = AveragePrecision(self.num_classes, bins=bins)
        self._totals = np.zeros(3, np.int64)  # images; sum of LCA depths, and images with one
        self.actual = np.zeros(self.num_classes, np.int64)
        self.predicted = np.zeros((len(self.ks), self.num_classes), np.int64)
        self.right = np.zeros((len(self.ks), self.num_classes), np.int64)
        self.overlap = np.zeros((len(self.ks), 3), np.int64)  # common, predicted, true; ancestors included
        if self.hierarchy is not None:
            self._upward = self.hierarchy.closure_matrix(include_self=True).astype(np.int32)
            self._depth = self.hierarchy.depth(longest=True).astype(np.int64) + 1

    def counts(self) -> list[NDArray[Any]]:
        """The arrays of counts; those of disjoint sets of images add up."""
        histograms = self.average_precision.counts
        return [self._totals, self.actual, self.predicted, self.right, self.overlap, histograms]

    def update(self, probabilities: ArrayLike, targets: ArrayLike) -> None:
        """Count a batch: probabilities float [B, C]; targets [B, C]: above 0 present, 0 absent, below 0 unknown.

        Raises
        ------
        ModelError
            For other shapes, or probabilities that are not from 0 to 1.
        """
        scores, truth = np.asarray(probabilities), np.asarray(targets)
        if scores.ndim != 2 or scores.shape != truth.shape or scores.shape[1] != self.num_classes:
            raise ModelError(
                f"probabilities of shape {list(scores.shape)} and targets of {list(truth.shape)}: "
                f"expected both [B, {self.num_classes}]"
            )
        if not ((scores >= 0) & (scores <= 1)).all():  # nan as well
            raise ModelError("a probability is not between 0 and 1: give them after the sigmoid")
        self.average_precision.update(scores, truth)
        present = truth > 0
        self.actual += present.sum(axis=0)
        self._totals[0] += len(truth)
        best = _best(np.where(truth >= 0, scores, -1.0), max(self.ks))  # int [B, k], -1 where fewer are known
        rows = np.arange(len(truth))[:, None]
        hit = present[rows, best] & (best >= 0)
        for at, k in enumerate(self.ks):
            chosen = best[:, :k]
            self.predicted[at] += np.bincount(chosen[chosen >= 0], minlength=self.num_classes)
            self.right[at] += np.bincount(chosen[hit[:, :k]], minlength=self.num_classes)
        if self.hierarchy is not None:
            self._update_hierarchical(best, truth)

    def _update_hierarchical(self, best: NDArray[np.int64], truth: NDArray[Any]) -> None:
        true = _completed(truth > 0, self._upward)
        left_out = (truth < 0) & ~true.toarray()
        for at, k in enumerate(self.ks):
            predicted = _completed(_one_hot(best[:, :k], self.num_classes), self._upward)
            common = predicted.multiply(true)
            unknown = int(left_out[predicted.nonzero()].sum())
            self.overlap[at] += (common.nnz, predicted.nnz - unknown, true.nnz)
        first = _completed(_one_hot(best[:, :1], self.num_classes), self._upward).multiply(true).tocoo()
        depth = np.zeros(len(truth), np.int64)
        np.maximum.at(depth, first.coords[0], self._depth[first.coords[1]])
        counted = (truth > 0).any(axis=1)
        self._totals[1:] += (depth[counted].sum(), counted.sum())

    def compute(self) -> dict[str, float]:
        """The metrics by name, from 0 to 1 but ``lca_depth``; nan where nothing could be counted.

        ``map`` is the mean average precision over trainable classes with a positive. ``precision@k``, ``recall@k`` and
        ``f1@k`` are micro averages, over all labels together; with the prefix ``macro_`` they are means over trainable
        classes with a positive, where precision is 0 for a class that is never predicted. With a hierarchy there are
        also those with the prefix ``hierarchical_``, and ``lca_depth``.
        """
        counted = self.trainable & (self.actual > 0)
        precisions = self.average_precision.compute()[counted]
        result = {
            "images": float(self._totals[0]),
            "classes": float(counted.sum()),
            "map": float(precisions.mean()) if len(precisions) else float("nan"),
        }
        for at, k in enumerate(self.ks):
            right, predicted, actual = (
                each[self.trainable] for each in (self.right[at], self.predicted[at], self.actual)
            )
            result |= _scores("", k, right.sum(), predicted.sum(), actual.sum())
            right, predicted, actual = right[actual > 0], predicted[actual > 0], actual[actual > 0]
            precision, recall = right / np.maximum(predicted, 1), right / np.maximum(actual, 1)
            f1 = 2 * right / np.maximum(predicted + actual, 1)
            for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
                result[f"macro_{name}@{k}"] = float(values.mean()) if len(values) else float("nan")
            if self.hierarchy is not None:
                result |= _scores("hierarchical_", k, *self.overlap[at])
        if self.hierarchy is not None:
            result["lca_depth"] = _ratio(*self._totals[1:].tolist())
        return result

    def per_class(self) -> FloatArray:
        """Average precision of every class [C], nan where it has no positive."""
        return self.average_precision.compute()


def _best(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Indices of the `k` greatest scores of each row, descending, ties by index; -1 for scores below 0."""
    k = min(k, scores.shape[1])
    least = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k]
    best = np.empty((len(scores), k), np.int64)
    for row in range(len(scores)):  # only what reaches the k-th score is sorted
        reaching = np.flatnonzero(scores[row] >= least[row])
        best[row] = reaching[np.argsort(-scores[row, reaching], kind="stable")[:k]]
    return np.where(np.take_along_axis(scores, best, axis=1) >= 0, best, -1)


def _one_hot(classes: NDArray[np.int64], num_classes: int) -> NDArray[np.bool_]:
    """Indicator bool [B, C] of indices [B, k], -1 for none."""
    hot = np.zeros((len(classes), num_classes + 1), bool)  # the last column takes the -1
    hot[np.arange(len(classes))[:, None], classes] = True
    return hot[:, :-1]


def _completed(labels: NDArray[np.bool_], upward: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Labels bool [B, C] with all their ancestors, as a sparse bool matrix."""
    import scipy.sparse

    reached: scipy.sparse.csr_array = (scipy.sparse.csr_array(labels.astype(np.int32)) @ upward).astype(bool)
    return reached


def _scores(prefix: str, k: int, right: int, predicted: int, actual: int) -> dict[str, float]:
    return {
        f"{prefix}precision@{k}": _ratio(right, predicted),
        f"{prefix}recall@{k}": _ratio(right, actual),
        f"{prefix}f1@{k}": _ratio(2 * right, predicted + actual),
    }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
