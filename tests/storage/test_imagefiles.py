from __future__ import annotations

from pathlib import Path

import pytest

from mlimages.errors import MlimagesError
from mlimages.storage.imagefiles import FORMATS, SUFFIXES, image_file, image_names, image_path


def test_suffixes_are_those_of_the_formats_that_are_decoded() -> None:
    assert list(FORMATS) == ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]
    assert SUFFIXES == (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")


def test_names_are_in_order_without_hidden_files_and_linked_folders(tmp_path: Path) -> None:
    for name in ("b/x.JPG", "a.png", "b.jpg", ".hidden/x.jpg", "b/.x.jpg", "c/d/e.webp", "c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(image_names(tmp_path)) == ["a.png", "b.jpg", "b/x.JPG", "c/d/e.webp"]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_no_image_is_read_outside_the_folder(name: str) -> None:
    with pytest.raises(MlimagesError, match="expected the name of a file below images"):
        image_path(Path("images"), name)


@pytest.mark.parametrize("suffix", [*SUFFIXES, *map(str.upper, SUFFIXES)])
def test_name_without_a_suffix_may_have_any(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"00ab{suffix}").touch()
    assert image_file(tmp_path, "00ab").is_file()


def test_name_without_a_suffix_is_the_file_of_that_name_where_there_is_one(tmp_path: Path) -> None:
    assert image_file(tmp_path, "00ab") == tmp_path / "00ab"
    (tmp_path / "00ab.jpg").touch()
    assert image_file(tmp_path, "00ab") == tmp_path / "00ab.jpg"
    (tmp_path / "00ab").touch()
    assert image_file(tmp_path, "00ab") == tmp_path / "00ab"
    assert image_file(tmp_path, "00cd.png") == tmp_path / "00cd.png"
