"""The wheel and the source distribution: they build, install into a fresh environment, and work there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import mlimages

ROOT = Path(__file__).parents[1]

SMOKE = """
import sys
import mlimages
from pathlib import Path
assert Path(sys.prefix) in Path(mlimages.__file__).parents, mlimages.__file__
h = mlimages.load_hierarchy("imagenet-1k")
assert h["n02084071"].name == "dog"
table = mlimages.annotate("list.txt", h, out="table")
names = [label.category.name for label in table.labels_of("dog.jpg")]
assert names[:3] == ["golden retriever", "retriever", "sporting dog"], names
print(len(names), "torch" in sys.modules)
"""


def run(*command, cwd):
    """Run a command without what would lead it to the source folder."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
    done = subprocess.run([str(each) for each in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _error(*command, cwd):
    """What a command that fails with exit status 1 prints as error."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(each) for each in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 1, done
    return done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder of the wheel, made of the source distribution as an installer would, and of that."""
    folder = tmp_path_factory.mktemp("dist")
    # the wheel is made out of the unpacked source distribution: what that lacks, the wheel lacks
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


def test_wheel_holds_types_data_and_licences_and_no_tests(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"mlimages/py.typed", "mlimages/hierarchy/data/wordnet.parquet", "mlimages/build/pipeline.py"} <= names
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mlimages").rglob("*") if path.is_file()}
    assert {name for name in names if name.startswith("mlimages/")} == {
        name for name in ours if not name.endswith(".pyc") and "__pycache__" not in name
    }
    assert any(name.endswith("WORDNET-LICENSE") and ".dist-info/" in name for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"mlimages"}


def test_source_distribution_holds_what_the_wheel_is_made_of(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "mlimages/py.typed"} <= names


def test_wheel_works_in_a_fresh_environment(built, tmp_path, monkeypatch):
    home = tmp_path / "fresh"
    venv.create(home, with_pip=True)
    (wheel,) = built.glob("*.whl")
    pip = [home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    run(*pip, "--constraint", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    (tmp_path / "list.txt").write_text("dog.jpg\tn02099601:1\ncat.jpg\tn02123045:1\ntea.jpg\tn04398044:0.5\n")
    assert run(home / "bin" / "python", "-c", SMOKE, cwd=tmp_path).split() == ["16", "False"]
    command = home / "bin" / "mlimages"
    assert run(command, "--version", cwd=tmp_path) == f"mlimages {mlimages.__version__}\n"
    assert "annotate" in run(command, "--help", cwd=tmp_path)
    assert "missing  train" in run(command, "doctor", cwd=tmp_path)
    run(command, "annotate", "list.txt", "--hierarchy", "imagenet-1k", "--out", "again", cwd=tmp_path)
    assert len(mlimages.AnnotationTable.open(tmp_path / "again")) == 3
    assert "above golden retriever" in run(command, "explain", "again", "dog.jpg", cwd=tmp_path)
    assert _error(command, "train", "--table", "again", "--out", "run", cwd=tmp_path) == (
        'mlimages: error: torch is not installed: run pip install "mlimages[train]"\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    run(command, "--install-completion", "bash", cwd=tmp_path)
    assert ".bash_completions/mlimages.sh" in (tmp_path / ".bashrc").read_text()
    completed = (
        'source "$0" && COMP_WORDS=(mlimages hier) COMP_CWORD=1 && _mlimages_completion "$1" && echo "${COMPREPLY[@]}"'
    )
    script = tmp_path / ".bash_completions" / "mlimages.sh"
    assert run("bash", "-c", completed, script, command, cwd=tmp_path).split() == ["hierarchy"]
