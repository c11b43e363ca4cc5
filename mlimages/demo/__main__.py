"""The command line of the demo: ``python -m mlimages.demo --out demo``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlimages.errors import MlimagesError


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write; that of an earlier demo is replaced.")] = Path("demo"),
    pictures: Annotated[
        str, typer.Option(help="auto: photographs, fetched with apt where they are missing; stamps; shapes: drawings.")
    ] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the scenes and one seed, to try it out.")] = False,
) -> None:
    """Make multi-label pictures, regenerate their annotations, train on them, and write a report to look at."""
    if pictures not in ("auto", "stamps", "shapes"):
        raise MlimagesError(f"--pictures {pictures}: expected auto, stamps or shapes")
    # OpenMP threads spin while they wait and take a core from the loader; torch reads this on import
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import pooch

        from mlimages.demo.run import run
        from mlimages.demo.scenes.world import Size

        size = Size(labelled=90, training=200, held_out=60, seeds=1) if quick else Size()
        run(out, cache=Path(pooch.os_cache("mlimages")), size=size, pictures=pictures)
    except KeyboardInterrupt:
        typer.echo("\nmlimages demo: interrupted; run it again to start anew", err=True)
        raise typer.Exit(130) from None


def main() -> None:
    """Run the demo; print an error that a user can cause on one line and exit 1."""
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(demo)
    try:
        app(prog_name="python -m mlimages.demo")
    except (MlimagesError, OSError) as error:
        typer.echo(f"mlimages demo: error: {' '.join(str(error).splitlines())}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
