"""The suite of the annotation table: its damages, its rewrites, and what is done with it."""

from __future__ import annotations

from tests.damage.damages import DAMAGES
from tests.damage.operations import OPERATIONS
from tests.damage.rewrites import REWRITES

SUBJECT = "table"
CASES = {**DAMAGES, **REWRITES}

__all__ = ["CASES", "OPERATIONS", "SUBJECT"]
