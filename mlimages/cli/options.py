"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Engine(StrEnum):
    """The engine that runs a job."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[Engine, typer.Option(help="Where the work is done: local or ray.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads; as many as there are cores by default.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted job stopped.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
