"""Applying rules: every image that carries a category also gets what usually occurs with it.

Rules come last, after ancestors were added and absences flowed down:

- Only labels that are in the row by then have rules: labels that rules add trigger no further rules.
- A rule adds its target, followed by what propagation adds for a label of its confidence (all ancestors, by
  default), nearest first, all of origin ``cooccurrence``.
- A label that is in the row, given or an ancestor, keeps place, confidence and origin. Where several rules add the
  same label, its confidence is the largest or the first, as the propagation says.
- A verified absence is what a human saw, a rule is a statistic: where any label that a rule would add is verified
  absent, the rule adds nothing, which is counted.
"""

from __future__ import annotations

import numpy as np

from mlimages.annotate.labels.columns import LabelArrays
from mlimages.annotate.propagation.rules import Rules
from mlimages.errors import MlimagesError
from mlimages.hierarchy.csr import CSR
from mlimages.storage.arrow import readonly


class RuleApplier:
    """Rules over one hierarchy, ready to apply to any number of batches, from any number of threads.

    `certain` and `uncertain` [n] are what a label of confidence 1 and a less confident one add, nearest first;
    `keep_largest` says whether a label that several rules add gets the largest of their confidences, or the first.
    """

    def __init__(self, rules: Rules, certain: CSR, uncertain: CSR, *, keep_largest: bool) -> None:
        self._indptr = readonly(rules.indptr)
        self._confidences = readonly(np.ascontiguousarray(rules.confidences))
        self.brought = brought_by(rules, certain, uncertain)
        self._keep_largest = keep_largest

    def apply(self, rows: LabelArrays) -> tuple[LabelArrays, int]:
        """The rows with what rules add, and how many times a verified absence stopped a rule."""
        from mlimages.annotate.propagation import applyruleskernels as kernels

        brought = self.brought.indptr, self.brought.indices
        rules = self._indptr, brought, self._confidences, self._keep_largest
        count = len(rows.offsets) - 1
        entries, stopped = kernels.apply_rules(rows, *rules, False, LabelArrays.empty(0, 0, rows.labels.dtype))
        if entries > np.iinfo(np.int32).max:
            raise MlimagesError(
                f"with the rules a batch of {count} rows grows to {entries} labels, and lists count to "
                f"{np.iinfo(np.int32).max}: pass smaller batches or fewer rules"
            )
        if entries == len(rows.labels):
            return rows, int(stopped)
        found = LabelArrays.empty(count, entries, rows.labels.dtype)
        kernels.apply_rules(rows, *rules, True, found)
        return found, int(stopped)


def brought_by(rules: Rules, certain: CSR, uncertain: CSR) -> CSR:
    """What each rule adds, a row of categories for each: its target, then what that brings."""
    reach = [certain if confidence == 1 else uncertain for confidence in rules.confidences]
    return CSR.from_rows(
        [[target, *above[target].tolist()] for target, above in zip(rules.targets.tolist(), reach, strict=True)]
    )
