"""Output of the commands: plain-text tables that fit the terminal, and JSON."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

_GAP = "  "
_NARROWEST = 12  # least width of a column of free text, in characters


def is_first_rank() -> bool:
    """Whether this process prints: the first of those that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def print_json(value: Any) -> None:
    """Print a value as indented JSON, without escaping non-ASCII characters."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def without_nan(value: Any) -> Any:
    """The value, or None for NaN, which JSON lacks."""
    return None if value != value else value


def print_table(rows: Iterable[Mapping[Any, Any]], columns: Sequence[str], *, free: Sequence[str] = ()) -> None:
    """Print aligned columns under a header, numbers to the right; None is printed as blank.

    The columns `free`, of free text, are truncated if a line would exceed the width of the terminal (80 characters if
    there is none). Other columns are never truncated.
    """
    table = [[_text(row[column]) for column in columns] for row in rows]
    numeric = [all(_is_number(row[i]) for row in table) and bool(table) for i in range(len(columns))]
    widths = [max([len(column), *(len(row[i]) for row in table)]) for i, column in enumerate(columns)]
    room = shutil.get_terminal_size((80, 24)).columns
    flexible = [i for i, column in enumerate(columns) if column in free]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > room and flexible:
        widest = max(flexible, key=lambda i: widths[i])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    for row in [list(columns), *table]:
        cells = [
            _cut(cell, width).rjust(width) if right else _cut(cell, width).ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        typer.echo(_GAP.join(cells).rstrip())


def print_pairs(values: Mapping[str, Any]) -> None:
    """Print names and numbers, one pair per line, numbers aligned to the right."""
    shown = {name: f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for name, value in values.items()}
    left, right = max(map(len, shown)), max(map(len, shown.values()))
    for name, value in shown.items():
        typer.echo(f"{name.replace('_', ' '):<{left}}  {value:>{right}}")


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _is_number(text: str) -> bool:
    return not text or text.lstrip("-").replace(",", "").replace(".", "", 1).isdigit()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
