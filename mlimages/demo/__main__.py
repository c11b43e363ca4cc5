"""``python -m mlimages.demo --out demo``: the whole demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlimages.errors import MlimagesError


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write; that of an earlier demo is replaced.")] = Path("demo"),
) -> None:
    """Build a hierarchy, regenerate the annotations of a small list, and write a folder to look at."""
    from mlimages.demo.run import run

    run(out)


def main() -> None:
    """Run the demo; an error that a user can cause is one line, and Ctrl-C one word."""
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(demo)
    try:
        app(standalone_mode=False, prog_name="python -m mlimages.demo")
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("\nmlimages demo: interrupted; run it again to start anew", err=True)
        sys.exit(130)
    except (MlimagesError, OSError) as error:
        typer.echo(f"mlimages demo: error: {' '.join(str(error).splitlines())}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
