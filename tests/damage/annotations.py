"""The suite of the annotation table: its damages, its rewrites, and what is done with it."""

from __future__ import annotations

from tests.damage.damages import DAMAGES
from tests.damage.operations import OPERATIONS
from tests.damage.rewrites import REWRITES

SUBJECT = "table"
CASES = {**DAMAGES, **REWRITES}
#: What is done where a case is minor.
FEW = (
    *("open and count", "hierarchy", "schema and rules", "batches", "batches of image", "to_table", "to_table labels"),
    *(
        "take",
        "take names",
        "find",
        "multi_hot",
        "category_counts",
        "labels of",
        "statistics",
        "audit labels",
        "export",
    ),
    *("mlimages verify", "mlimages verify --content", "mlimages stats", "mlimages explain", "mlimages audit-labels"),
    *("mlimages split", "mlimages merge", "mlimages export csv", "mlimages pack", "merge duplicates"),
)

__all__ = ["CASES", "FEW", "OPERATIONS", "SUBJECT"]
