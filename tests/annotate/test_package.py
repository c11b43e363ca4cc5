"""The package that is called like its main function: what help, inspect, Jupyter and mypy say of it."""

from __future__ import annotations

import ast
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

import mlimages
import mlimages.annotate.tables.merging
from mlimages.annotate.pipeline import annotate

ROOT = Path(__file__).parents[2]


def test_package_is_called_and_stays_a_package(zoo):
    batch = pa.record_batch({"image": ["a.jpg"], "labels": [[zoo.index("cat")]]})
    assert mlimages.annotate(batch, zoo, propagation="none").column("labels").to_pylist() == [[zoo.index("cat")]]
    assert isinstance(mlimages.annotate, ModuleType)
    assert mlimages.annotate.merge is mlimages.annotate.tables.merging.merge
    assert mlimages.annotate.annotate is annotate


def test_signature_and_docstring_are_those_of_the_function():
    assert inspect.signature(mlimages.annotate) == inspect.signature(annotate)
    assert inspect.getdoc(mlimages.annotate) == inspect.getdoc(annotate)


def test_types_name_every_keyword():
    tree = ast.parse((ROOT / "mlimages" / "annotate" / "package.py").read_text())
    (options,) = (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef) and each.name == "_Options")
    typed = {each.target.id for each in options.body if isinstance(each, ast.AnnAssign)}
    of_formats = {"unmapped", "classes", "mapping", "images_csv", "class_descriptions"}
    parameters = inspect.signature(annotate).parameters.values()
    assert typed - of_formats == {each.name for each in parameters if each.kind is each.KEYWORD_ONLY} - {"out"}


def test_help_shows_the_signature_and_the_docstring():
    shown = pydoc.render_doc(mlimages.annotate, renderer=pydoc.plaintext)
    assert "mlimages.annotate - Regenerate annotations: add to every image" in shown
    assert f"annotate{inspect.signature(annotate)}" in shown


def test_jupyter_shows_the_signature_and_the_docstring():
    oinspect = pytest.importorskip("IPython.core.oinspect")
    shown = oinspect.Inspector(theme_name="nocolor").info(mlimages.annotate, oname="mlimages.annotate")
    assert shown["definition"].startswith("mlimages.annotate(\n    source: ")
    assert "\n    on_error: 'OnError' = 'raise',\n" in shown["definition"]
    assert shown["docstring"] == inspect.getdoc(annotate)
    assert shown["call_def"] is None


USER = """
from pathlib import Path
import pandas as pd
import mlimages
from mlimages.annotate import merge

def use(frame: pd.DataFrame, folder: Path) -> None:
    reveal_type(mlimages.annotate("list.txt", "ml-images", out=folder))
    reveal_type(mlimages.annotate(["list.txt", folder], "ml-images", propagation="published"))
    reveal_type(mlimages.annotate(frame, "ml-images"))
    mlimages.annotate("list.txt", "ml-images", out=folder, wrokers=3)
    mlimages.annotate("list.txt", "ml-images", out=folder, format="text")
    mlimages.annotate.merge([folder], folder)
    reveal_type(merge([folder], folder))
"""
SAID = {
    8: 'Revealed type is "mlimages.annotate.tables.annotations.AnnotationTable"',
    9: 'Revealed type is "typing.Iterator[Any]"',  # pyarrow has no types
    10: 'Revealed type is "pandas.core.frame.DataFrame"',
    11: 'Unexpected keyword argument "wrokers" for overloaded function "__call__" of "Annotate"; '
    'did you mean "workers"?',
    12: 'No overload variant of "__call__" of "Annotate" matches argument types "str", "str", "Path", "str"',
    14: 'Revealed type is "mlimages.annotate.tables.annotations.AnnotationTable"',
}


def test_mypy_knows_the_types_of_a_call(tmp_path):
    pytest.importorskip("mypy")
    file = tmp_path / "user.py"
    file.write_text(USER)
    command = [sys.executable, "-m", "mypy", "--no-color-output", "--hide-error-codes", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    first = {}
    for line in done.stdout.splitlines()[:-1]:
        where, number, _, message = line.split(":", 3)
        if Path(where).name == file.name:  # where stubs of others are not installed, mypy says so at our modules
            first.setdefault(int(number), message.strip())
    assert first == SAID, done.stdout + done.stderr
