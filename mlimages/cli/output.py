"""What the commands print: tables of plain text that fit the terminal, and JSON."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

_GAP = "  "
_NARROWEST = 12  # characters that a column of free text keeps, however many columns there are


def is_first_rank() -> bool:
    """Whether this process prints: the first of those that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def print_json(value: Any) -> None:
    """One JSON value, indented, names as they are written."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: Iterable[Mapping[Any, Any]], columns: Sequence[str], *, free: Sequence[str] = ()) -> None:
    """Aligned columns under a header, numbers to the right.

    Parameters
    ----------
    rows : iterable of mapping
        A value for each column; None is left blank.
    columns : sequence of str
        Which, in their order.
    free : sequence of str
        Columns of free text, which are cut where a line would be longer than the terminal is wide (80 characters
        where there is none). No other column is ever cut.
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
    """Names and numbers, one a line, numbers aligned to the right."""
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
