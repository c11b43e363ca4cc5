"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlimages import Hierarchy


class Engine(StrEnum):
    """The engine that runs a job."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[Engine, typer.Option(help="Where the work is done: local or ray.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads; as many as there are cores by default.")]
Resume = Annotated[bool, typer.Option("--resume", help="Resume an interrupted job.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_hierarchy(name_or_path: str | Path) -> Hierarchy:
    """Load the hierarchy that an option names, importing its modules only then."""
    from mlimages import load_hierarchy as load

    return load(name_or_path)
