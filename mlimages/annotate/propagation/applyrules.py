"""Applying rules: every image that carries a category also gets what usually occurs with it.

Rules come last, after ancestors were added and absences flowed down:

- Only what is in the row then has rules: labels that rules add bring no further ones by rules.
- A rule adds its target, followed by what a label of its confidence brings by the propagation (all ancestors, by
  default), nearest first, all of origin ``cooccurrence``.
- A label that is in the row, given or an ancestor, keeps place, confidence and origin. Where several rules add the
  same label, its confidence is the largest or the first, as the propagation says.
- A verified absence is what a human saw, a rule is a statistic: where any label that a rule would add is verified
  absent, the rule adds nothing. This is counted.
"""

from __future__ import annotations

import numpy as np

from mlimages.annotate.labels.columns import Expanded
from mlimages.annotate.propagation.rules import Rules
from mlimages.errors import MlimagesError
from mlimages.hierarchy.csr import CSR
from mlimages.storage.arrow import readonly


class RuleApplier:
    """Rules over one hierarchy, ready to apply to any number of batches, from any number of threads.

    Parameters
    ----------
    rules : Rules
        The rules.
    certain, uncertain : CSR [n]
        What a label of confidence 1 and a less confident one bring, nearest first.
    keep_largest : bool
        Whether a label that several rules add gets the largest of their confidences, or that of the first.
    """

    def __init__(self, rules: Rules, certain: CSR, uncertain: CSR, *, keep_largest: bool) -> None:
        self._indptr = readonly(rules.indptr)
        self._confidences = readonly(np.ascontiguousarray(rules.confidences))
        self.brought = brought_by(rules, certain, uncertain)
        self._keep_largest = keep_largest

    def apply(self, rows: Expanded) -> tuple[Expanded, int]:
        """The rows with what rules add, and how many times a verified absence stopped a rule."""
        from mlimages.annotate.propagation import applyruleskernels as kernels

        rules = (
            self._indptr,
            self.brought.indptr,
            self.brought.indices,
            self._confidences,
            self._keep_largest,
        )
        nothing = (np.empty(0, np.int32), *(values[:0] for values in rows[1:]))
        entries, stopped = kernels.apply_rules(*rows, *rules, False, *nothing)
        if entries > np.iinfo(np.int32).max:
            raise MlimagesError(
                f"with the rules a batch of {len(rows.offsets) - 1} rows grows to {entries} labels, and lists count to "
                f"{np.iinfo(np.int32).max}: pass smaller batches or fewer rules"
            )
        if entries == len(rows.labels):
            return rows, int(stopped)
        found = Expanded(
            np.empty(len(rows.offsets), np.int32),
            np.empty(entries, rows.labels.dtype),
            np.empty(entries, np.float32),
            np.empty(entries, np.uint8),
        )
        kernels.apply_rules(*rows, *rules, True, *found)
        return found, int(stopped)


def brought_by(rules: Rules, certain: CSR, uncertain: CSR) -> CSR:
    """What each rule adds: its target, then what this brings."""
    reach = [certain if confidence == 1 else uncertain for confidence in rules.confidences]
    return CSR.from_rows(
        [[target, *above[target].tolist()] for target, above in zip(rules.targets.tolist(), reach, strict=True)]
    )
