"""The demo's folder: replaced where it is the demo's, refused where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlimages.demo.outfolder import MARKER, prepare_folder
from mlimages.errors import JobError

OWN = frozenset(["page.html", "table"])


def test_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b", own=OWN)
    assert [each.name for each in (tmp_path / "a" / "b").iterdir()] == [MARKER]


def test_folder_of_an_earlier_run_is_emptied(tmp_path: Path) -> None:
    prepare_folder(tmp_path, own=OWN)
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "part").write_text("old")
    prepare_folder(tmp_path, own=OWN)
    assert [each.name for each in tmp_path.iterdir()] == [MARKER]


def test_link_in_the_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "picture").write_text("keep")
    prepare_folder(tmp_path / "demo", own=OWN)
    (tmp_path / "demo" / "table").symlink_to(mine)
    prepare_folder(tmp_path / "demo", own=OWN)
    assert (mine / "picture").read_text() == "keep"


def test_folder_of_somebody_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(JobError, match=r"holds 'page.html' and was not made by the demo: choose another folder"):
        prepare_folder(tmp_path, own=OWN)
    assert (tmp_path / "page.html").read_text() == "mine"


def test_demo_folder_with_a_foreign_file_is_refused_untouched(tmp_path: Path) -> None:
    prepare_folder(tmp_path, own=OWN)
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(JobError, match=r"holds 'thesis.txt', which is not the demo's"):
        prepare_folder(tmp_path, own=OWN)
    assert (tmp_path / "page.html").read_text() == "old"


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(JobError, match="is a file, expected a folder or nothing"):
        prepare_folder(tmp_path / "demo", own=OWN)
