"""The ``mlimages`` command: one thin function per subcommand, which calls the library."""

from __future__ import annotations

import os
import sys

import typer

from mlimages.cli import annotate, build, cooccur, doctor, hierarchy, images, models, networks, pixels, predict, tables
from mlimages.errors import MlimagesError

app = typer.Typer(
    name="mlimages",
    help="Build hierarchical multi-label image datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(hierarchy.app, name="hierarchy")
app.add_typer(models.checkpoint, name="checkpoint")
app.add_typer(cooccur.app, name="cooccur")
app.add_typer(pixels.tfrecord_app, name="tfrecord")
app.command()(annotate.annotate)
app.add_typer(tables.app)
app.command()(images.download)
app.command()(pixels.duplicates)
app.command()(pixels.extract)
app.command()(pixels.pack)
app.command()(models.train)
app.command()(models.finetune)
app.command()(networks.evaluate)
app.command()(networks.classify)
app.command()(networks.features)
app.command()(predict.predict)
app.command()(doctor.doctor)
app.command()(build.build)


@app.callback(invoke_without_command=True)
def _options(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from mlimages import __version__

        typer.echo(f"mlimages {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; print an error that the user can fix on one line and exit 1."""
    try:
        app()
    except (MlimagesError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of the output has exited, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        message = _os_message(error) if isinstance(error, OSError) and error.filename else str(error)
        typer.echo(f"mlimages: error: {' '.join(message.splitlines())}", err=True)
        sys.exit(1)


def _os_message(error: OSError) -> str:
    return f"{error.filename}: {(error.strerror or 'cannot be used').lower()}"
