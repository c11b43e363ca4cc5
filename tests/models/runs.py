"""Commands and runs of the trainer in tests: their settings as a file, and what they leave."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from safetensors.torch import load_file
from typer.testing import CliRunner

from mlimages.cli import app


def weights(path):
    return {name: value.clone() for name, value in load_file(path).items()}


def log_of(folder):
    with (Path(folder) / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_toml(path, settings):
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return path


def run(*arguments):
    """A command, in this process."""
    return CliRunner().invoke(app, [str(each) for each in arguments])
