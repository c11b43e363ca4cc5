"""The notebooks run, hold no outputs, and define nothing that belongs in the library."""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib.util
import os
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

_spec = importlib.util.spec_from_file_location("sitepages", ROOT / "scripts" / "sitepages.py")
sitepages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sitepages)


def by_name(path):
    return path.stem


def test_the_notebooks_are_there():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number:02d}" for number in range(1, len(NOTEBOOKS) + 1)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_notebook_holds_no_outputs_in_git(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_notebook_defines_no_function_or_class(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            source = cell.source.removeprefix("%matplotlib inline\n")
            kinds = {type(node) for node in ast.walk(ast.parse(source))}
            assert kinds.isdisjoint({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef}), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_notebook_runs(path):
    notebook = sitepages.executed(path)
    assert any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("last", ["1", "1 / 0"])
def test_execution_leaves_no_kernel_and_no_socket(last, tmp_path, monkeypatch, recwarn):
    code = f"import os, pathlib\npathlib.Path({str(tmp_path / 'kernel')!r}).write_text(str(os.getpid()))\n{last}"
    cells = [nbformat.v4.new_code_cell(code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    monkeypatch.setattr(sitepages, "_EXECUTED", tmp_path / "executed")
    with pytest.raises(CellExecutionError, match="division by zero") if "/" in last else contextlib.nullcontext():
        sitepages.executed(tmp_path / "one.ipynb")
    assert not Path("/proc", (tmp_path / "kernel").read_text()).exists()
    gc.collect()
    assert [str(each.message) for each in recwarn if issubclass(each.category, ResourceWarning)] == []


@pytest.mark.parametrize("path", NOTEBOOKS[:2], ids=by_name)
def test_notebook_runs_without_the_official_files(path, monkeypatch, tmp_path):
    if "MLIMAGES_DATA" not in os.environ and not sitepages.OFFICIAL.is_dir():
        pytest.skip("the other test ran it so")
    monkeypatch.delenv("MLIMAGES_DATA", raising=False)
    monkeypatch.setattr(sitepages, "OFFICIAL", tmp_path / "nowhere")
    sitepages.executed(path)
