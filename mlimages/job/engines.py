"""The engines by name."""

from __future__ import annotations

from typing import Literal

from mlimages.errors import MlimagesError
from mlimages.job.local import run_in_processes, run_in_threads
from mlimages.job.task import Engine

EngineName = Literal["local", "ray"]


def engine_named(name: str, *, processes: bool = False) -> Engine:
    """The engine ``local`` (threads, or `processes` for work that holds the interpreter lock) or ``ray``."""
    if name == "local":
        return run_in_processes if processes else run_in_threads
    if name == "ray":
        from mlimages.job.ray import run_on_ray

        return run_on_ray
    raise MlimagesError(f"unknown engine {name!r}: expected local or ray")
