"""What mlimages doctor finds, and the lines it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from mlimages import doctor
from mlimages.cli import app


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these versions are installed, and nothing else."""
    versions: dict[str, str] = {}

    def version(name):
        if name not in versions:
            raise doctor.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor, "version", version)
    return versions


@pytest.fixture
def declared(monkeypatch):
    """Pretend that mlimages declares these requirements."""

    def declare(*lines):
        monkeypatch.setattr(doctor, "requires", lambda name: list(lines))

    return declare


def test_requirements_follow_extras_of_our_own(declared):
    declared("numpy>=1.26", 'torch>=2; extra == "train"', 'mlimages[train]; extra == "test"', 'pytest; extra == "test"')
    wanted = {extra: [each.name for each in found] for extra, found in doctor.requirements().items()}
    assert wanted == {"": ["numpy"], "train": ["torch"], "test": ["pytest", "torch"]}


def test_requirements_come_from_the_source_folder_where_nothing_is_installed(monkeypatch):
    def requires(name):
        raise doctor.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "requires", requires)
    wanted = doctor.requirements()
    assert "numpy" in {each.name for each in wanted[""]}
    assert "torch" in {each.name for each in wanted["train"]}
    assert "torch" in {each.name for each in wanted["test"]}


def test_a_missing_package_comes_with_the_line_that_gets_it(installed, declared):
    declared("numpy>=1.26", "pandas>=2.2")
    installed.update(numpy="1.25.0")
    packages = {each.name: each for each in doctor.diagnose() if each.section == "packages"}
    assert packages["numpy"].state == "old"
    assert packages["numpy"].detail == "1.25.0, expected >=1.26"
    assert packages["numpy"].fix == 'pip install "numpy>=1.26"'
    assert packages["pandas"].state == "missing"
    assert not doctor.healthy(list(packages.values()))


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_extras_for_users_are_listed_where_installation_is_told(page):
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    listed = {extra for extra in doctor.requirements() if extra and f"`{extra}`" in text}
    assert listed == set(doctor.requirements()) - {"", *doctor.DEVELOPERS}


def test_an_incomplete_extra_is_no_illness(installed, declared):
    declared("numpy>=1.26", 'torch>=2; extra == "train"', 'timm>=1; extra == "train"')
    installed.update(numpy="2.0", timm="1.0.9")
    findings = doctor.diagnose()
    (train,) = [each for each in findings if each.section == "extras"]
    assert (train.name, train.state, train.detail) == ("train", "missing", "not installed: torch")
    assert train.fix == 'pip install "mlimages[train]"'
    assert doctor.healthy(findings)


def test_an_extra_names_what_is_absent_and_what_is_old(installed, declared):
    declared("numpy>=1.26", *(f'{each}; extra == "train"' for each in ("torch>=2", "timm>=1", "pillow>=10")))
    installed.update(numpy="2.0", timm="0.9")
    (train,) = [each for each in doctor.diagnose() if each.section == "extras"]
    assert train.detail == "not installed: pillow, torch; timm 0.9, expected >=1"


def test_a_prerelease_of_a_version_that_is_new_enough_will_do(installed):
    installed.update(torch="2.6.0a0+git1")
    assert doctor._installed(Requirement("torch>=2.4")) == ("ok", "2.6.0a0+git1")


def test_data_folder_is_listed(monkeypatch, tmp_path):
    (tmp_path / "dictionary_and_semantic_hierarchy.txt").write_text("")
    monkeypatch.setenv("MLIMAGES_DATA", str(tmp_path))
    data = {each.name: each for each in doctor.diagnose() if each.section == "data"}
    assert data["ml-images"].detail == str(tmp_path / "dictionary_and_semantic_hierarchy.txt")
    assert data["official files"].detail == f"{tmp_path}: dictionary_and_semantic_hierarchy.txt"


def test_data_folder_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("MLIMAGES_DATA", str(tmp_path / "nowhere"))
    data = {each.name: each for each in doctor.diagnose() if each.section == "data"}
    assert data["official files"].state == "missing"
    assert data["official files"].detail == f"$MLIMAGES_DATA names {tmp_path}/nowhere, which is no folder"


def test_kernel_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert doctor._kernel_cache().state == "ok"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert doctor._kernel_cache().fix == "export NUMBA_CACHE_DIR=~/.cache/mlimages/numba"


def test_command_prints_each_section():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    headings = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert headings == ["system:", "packages:", "extras:", "data:", "programs:"]


def test_command_exits_1_where_a_needed_package_is_old(installed, declared):
    declared("numpy>=99")
    installed.update(numpy="2.0")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    (numpy,) = [each for each in json.loads(result.stdout) if each["section"] == "packages"]
    assert numpy["fix"] == 'pip install "numpy>=99"'
