"""What importing the package and asking for help load."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HEAVY = ("torch", "pandas", "nltk", "scipy", "networkx", "pyarrow", "numba", "pooch")


def loaded_after(code: str, *arguments: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running the code."""
    names = "{name.partition('.')[0] for name in sys.modules}"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*{names}, file=sys.stderr)", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return set(run.stderr.split())


def test_importing_the_package_loads_no_heavy_module():
    assert loaded_after("import mlimages").isdisjoint({"numpy", *HEAVY})
    assert loaded_after("import mlimages\nassert callable(mlimages.annotate)").isdisjoint({"numpy", *HEAVY})


def test_importing_the_hierarchy_loads_numpy_alone():
    loaded = loaded_after("from mlimages import Hierarchy, load_hierarchy\nfrom mlimages.hierarchy import audit")
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["hierarchy", "--help"], ["hierarchy", "show", "--help"]])
def test_help_loads_no_heavy_module(arguments):
    code = (
        "from mlimages.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    loaded = loaded_after(code, *arguments)
    assert "typer" in loaded
    assert loaded.isdisjoint({"numpy", *HEAVY})


def test_public_names_are_all_there():
    import mlimages
    import mlimages.annotate
    import mlimages.hierarchy

    for module in (mlimages, mlimages.annotate, mlimages.hierarchy):
        assert sorted(module.__all__) == sorted(set(module.__all__))
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert set(mlimages.__all__) <= set(dir(mlimages))
    with pytest.raises(AttributeError, match="module 'mlimages' has no attribute 'nonsense'"):
        mlimages.nonsense  # noqa: B018


def test_public_names_of_images_and_models_are_all_there():
    pytest.importorskip("torch")
    import mlimages.images
    import mlimages.models

    for module in (mlimages.images, mlimages.models):
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_audit_is_the_function_whoever_imported_the_module_first():
    loaded_after("import mlimages.hierarchy.audit\nfrom mlimages.hierarchy import audit\nassert callable(audit)")


def test_public_name_of_the_models_is_no_module():
    """A module of a public name would take its place once it is imported."""
    import mlimages.models

    here = Path(mlimages.models.__file__).parent
    assert not {path.stem for path in here.glob("*.py")}.intersection(mlimages.models.__all__)


def test_no_module_is_long_and_no_folder_full():
    modules = [path for path in (Path(__file__).parents[1] / "mlimages").rglob("*.py") if path.name != "__init__.py"]
    folders = Counter(path.parent for path in modules)
    assert {path.name: lines for path in modules if (lines := len(path.read_text().splitlines())) > 400} == {}
    assert {folder: count for folder, count in folders.items() if count > 15} == {}
