"""The suite of the file of co-occurrence counts that scipy reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.damage.countsfiles import OPERATIONS, SAID
from tests.damage.damages import Damage
from tests.damage.specimen import Specimens, change_bytes

SUBJECT = "counts.npz"
CASES: dict[str, Damage] = {}

__all__ = ["CASES", "OPERATIONS", "SUBJECT"]


def arrays(name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """The archive holds other arrays."""

    def apply(_: Specimens, path: Path) -> None:
        with np.load(path) as stored:
            found = dict(stored)
        change(found)
        np.savez(path, **found)

    CASES[name] = Damage(apply, (SUBJECT,))


def data(name: str, change: Callable[[bytes], bytes]) -> None:
    """The file holds other bytes."""
    CASES[name] = Damage(lambda _, path: change_bytes(path, change), (SUBJECT,))


def said(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """The metadata say something else."""

    def apply(found: dict[str, Any]) -> None:
        content = json.loads(str(found["mlimages"]))
        change(content)
        found["mlimages"] = np.array(json.dumps(content))

    return apply


for _name, _change in SAID.items():
    arrays(_name, said(_change))
for _array in ("data", "indices", "indptr", "shape", "format", "mlimages"):
    arrays(f"no array {_array}", lambda found, name=_array: found.pop(name))
arrays("indices too large", lambda found: found["indices"].__setitem__(0, 10**6))
arrays("indices negative", lambda found: found["indices"].__setitem__(0, -3))
arrays("indptr too large", lambda found: found["indptr"].__setitem__(-1, 10**6))
arrays("indptr not ascending", lambda found: found["indptr"].__setitem__(1, 10**6))
arrays("indptr negative", lambda found: found["indptr"].__setitem__(0, -4))
arrays("count negative", lambda found: found["data"].__setitem__(0, -4))
arrays("shape smaller", lambda found: found.__setitem__("shape", np.array([2, 2])))
arrays("shape larger", lambda found: found.__setitem__("shape", np.array([10**6, 4])))
arrays("counts are fractions", lambda found: found.__setitem__("data", found["data"] * 0.5))
arrays("counts are strings", lambda found: found.__setitem__("data", found["data"].astype(str)))
arrays("metadata not JSON", lambda found: found.__setitem__("mlimages", np.array("{")))
arrays("metadata a number", lambda found: found.__setitem__("mlimages", np.array(5)))
arrays("metadata a list", lambda found: found.__setitem__("mlimages", np.array("[]")))
arrays("another format", lambda found: found.__setitem__("format", np.array(b"bsr")))
data("truncated", lambda was: was[: len(was) // 2])
data("garbage", lambda was: b"garbage" * 20)
data("empty", lambda was: b"")
data("zeroed in the middle", lambda was: was[:100] + bytes(60) + was[160:])
CASES["missing"] = Damage(lambda _, path: path.unlink(), (SUBJECT,))
