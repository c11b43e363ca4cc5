"""The names and files that the page on the architecture tells are there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WALK = re.findall(r"^\d+\. `(mlimages[\w.]+)`", PAGE, re.M)
ROWS = [line for line in PAGE.split("## To change")[1].split("## Words")[0].splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("name", WALK)
def test_every_function_of_the_walk_is_there(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        break
    for attribute in parts[length:]:
        found = getattr(found, attribute)
    assert callable(found)


def test_the_walk_is_short_and_the_table_long_enough() -> None:
    assert 10 <= len(WALK) <= 15
    assert len(ROWS) >= 25


@pytest.mark.parametrize("row", ROWS)
def test_every_file_of_the_table_is_there(row: str) -> None:
    folder = None
    for path in re.findall(r"`([\w/]+(?:\.py|/))`", row.split("|")[2]):
        where = ROOT / "mlimages" / path
        if not where.exists() and folder is not None:  # a neighbour of the file before it
            where = folder / path
        assert where.exists(), path
        folder = where.parent


def test_every_module_that_moved_is_where_the_page_says() -> None:
    page = (ROOT / "docs" / "moved.md").read_text(encoding="utf-8").split("## Modules")[1]
    moved = re.findall(r"^\| `[\w.]+` \| `([\w.]+)` \|$", page, re.M)
    assert len(moved) > 100
    for name in moved:
        assert (ROOT / (name.replace(".", "/") + ".py")).is_file(), name
