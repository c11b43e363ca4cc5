"""The rules of propagation: which labels a label implies, and with which confidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.labels.columns import GivenLabels, LabelArrays
from mlimages.annotate.labels.schema import table_schema
from mlimages.annotate.propagation.applyrules import RuleApplier
from mlimages.annotate.propagation.rules import Rules
from mlimages.errors import LabelError, MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.hierarchy.csr import CSR
from mlimages.storage.arrow import list_batch

Reach = Literal["all", "parent", "none"]
_Rows = tuple[NDArray[np.int64], NDArray[np.int32]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Propagation:
    """The rules by which the labels of an image imply others.

    Parameters
    ----------
    ancestors : {"all", "parent", "none"}
        What a label of confidence 1 adds: all its ancestors, nearest first; its direct parents; nothing.
    uncertain : {"all", "parent", "none"}
        The same for a present label of a confidence below 1. What is added has the confidence of the label.
    conflict : {"max", "first"}
        The confidence of a label that several labels add: the largest, or that of the first. Either way the first place
        in the row is kept, and a present label beats a verified absence.
    absent : {"keep", "descendants"}
        Whether a verified absence (confidence 0) flows down to descendants that are otherwise unknown.
    """

    ancestors: Reach = "all"
    uncertain: Reach = "all"
    conflict: Literal["max", "first"] = "max"
    absent: Literal["keep", "descendants"] = "keep"

    def __post_init__(self) -> None:
        allowed = {"ancestors": get_args(Reach), "uncertain": get_args(Reach), "conflict": ("max", "first")}
        allowed["absent"] = ("keep", "descendants")
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise MlimagesError(f"Propagation({name}={getattr(self, name)!r}): expected one of {', '.join(values)}")

    @classmethod
    def published(cls) -> Propagation:
        """As in the published lists: an uncertain label adds its parent only, and the first confidence is kept."""
        return cls(uncertain="parent", conflict="first")

    @classmethod
    def named(cls, name: str) -> Propagation:
        """The propagation of this `name`: ``default``, ``published``, ``parent`` or ``none``, as for the command."""
        known = {
            "default": cls(),
            "published": cls.published(),
            "parent": cls(ancestors="parent", uncertain="parent"),
            "none": cls(ancestors="none", uncertain="none"),
        }
        if name not in known:
            raise MlimagesError(f"unknown propagation {name!r}: expected one of {', '.join(known)}")
        return known[name]

    def to_dict(self) -> dict[str, str]:
        """The rules by name, as manifests hold them."""
        return asdict(self)


class Augmented(NamedTuple):
    """A propagated batch and its counts."""

    batch: pa.RecordBatch
    conflicts: int  # verified absences that a present label beat
    rule_labels: int = 0  # that rules added
    rules_stopped: int = 0  # times that a rule added nothing because of a verified absence of what it would bring

    @property
    def counts(self) -> dict[str, int]:
        """The counts by their names in manifests."""
        return {
            "absences_beaten": self.conflicts,
            "rule_labels": self.rule_labels,
            "rules_stopped": self.rules_stopped,
        }


class Augmenter:
    """Propagation over one hierarchy, ready to apply to any number of batches, from any number of threads.

    Parameters
    ----------
    hierarchy : Hierarchy
        n categories.
    propagation : Propagation
        The rules of propagation.
    rules : Rules, optional
        Co-occurrence rules, applied to the propagated row; see
        :mod:`mlimages.annotate.propagation.applyrules`.
    """

    def __init__(self, hierarchy: Hierarchy, propagation: Propagation, rules: Rules | None = None) -> None:
        n = len(hierarchy)
        nothing = CSR(np.zeros(n + 1, np.int64), np.empty(0, np.int32)).frozen()
        self._categories = n
        self.schema = table_schema(n)
        self.keep_largest = propagation.conflict == "max"

        def reach(which: Reach) -> CSR:
            return hierarchy.closure if which == "all" else hierarchy.parents() if which == "parent" else nothing

        self.certain = reach(propagation.ancestors)
        self.uncertain = reach(propagation.uncertain)
        self.absent = hierarchy.descendants() if propagation.absent == "descendants" else nothing
        self._rules: RuleApplier | None = None
        if rules is not None:
            self._rules = RuleApplier(rules, self.certain, self.uncertain, keep_largest=self.keep_largest)

    @property
    def brought(self) -> tuple[_Rows, _Rows, _Rows]:
        """What certain, uncertain and absent labels bring, as the kernels take it: row pointers and indices of each."""
        certain, uncertain, absent = (
            (each.indptr, each.indices) for each in (self.certain, self.uncertain, self.absent)
        )
        return certain, uncertain, absent

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with what propagation adds; see :func:`augment`."""
        return self.apply(batch).batch

    def apply(self, batch: pa.RecordBatch) -> Augmented:
        """The batch with what propagation adds, and counts."""
        from mlimages.annotate.propagation import augmentkernels as kernels

        given = GivenLabels.of(batch)
        bound = self.check(batch, given)
        if bound > np.iinfo(np.int32).max:
            raise MlimagesError(
                f"a batch of {batch.num_rows} rows may grow to {bound} labels, and lists count to "
                f"{np.iinfo(np.int32).max}: pass smaller batches"
            )
        kind = self.schema.field("labels").type.value_type.to_pandas_dtype()
        out = LabelArrays.empty(batch.num_rows, bound, np.dtype(kind))
        conflicts = kernels.expand(given[1:], *self.brought, self.keep_largest, out)
        out = out.used()
        end, stopped = len(out.labels), 0
        if self._rules is not None:
            out, stopped = self._rules.apply(out)
        batch = list_batch(self.schema, given.image, *out)
        return Augmented(batch, int(conflicts), len(out.labels) - end, stopped)

    def check(self, batch: pa.RecordBatch, given: GivenLabels) -> int:
        """Check every label of a batch; return an upper bound on the number of labels of the result.

        Raises a LabelError for a label outside the hierarchy or a confidence outside [0, 1].
        """
        from mlimages.annotate.propagation import augmentkernels as kernels

        reaches = self.certain.indptr, self.uncertain.indptr, self.absent.indptr
        bound, wrong, at = kernels.measure(given.offsets, given.labels, given.confidences, *reaches)
        if bound < 0:
            raise self._error(batch, given, wrong, at)
        return int(bound)

    def _error(self, batch: pa.RecordBatch, given: GivenLabels, wrong: int, at: int) -> LabelError:
        from mlimages.annotate.propagation import augmentkernels as kernels

        row = int(np.searchsorted(given.offsets, at, side="right")) - 1
        where = f"row {row} ({batch.column('image')[row].as_py()!r})"
        if wrong == kernels.BAD_LABEL:
            return LabelError(f"{where}: label {given.labels[at]}, expected 0 to {self._categories - 1}")
        return LabelError(f"{where}: confidence {given.confidences[at]:g} of label {given.labels[at]}, expected 0 to 1")


def augment(batch: pa.RecordBatch, hierarchy: Hierarchy, propagation: Propagation | None = None) -> pa.RecordBatch:
    """Add to every image of a batch the labels that its own imply.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Columns image (string) and labels (lists of category indices), and where they are known confidences (lists of
        numbers from 0 to 1, each as long; 1 where the column is missing) and origins.
    hierarchy : Hierarchy
        The categories.
    propagation : Propagation, optional
        The rules; by default every present label adds all its ancestors.

    Returns
    -------
    pyarrow.RecordBatch
        Columns as :func:`~mlimages.annotate.labels.schema.table_schema` says. Labels keep the order of the row, each
        followed by what it adds, nearest first.

    Raises
    ------
    LabelError
        For a label outside the hierarchy or a confidence outside [0, 1], naming row and image.

    Examples
    --------
    >>> from mlimages import Hierarchy
    >>> h = Hierarchy(["animal", "dog", "puppy"], [[], [0], [1]])
    >>> batch = pa.record_batch({"image": ["a.jpg"], "labels": [[2]]})
    >>> augment(batch, h)["labels"].to_pylist()
    [[2, 1, 0]]
    """
    return Augmenter(hierarchy, propagation or Propagation())(batch)
