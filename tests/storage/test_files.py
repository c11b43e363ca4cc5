"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from mlimages.storage.files import replacing


def test_file_takes_its_name_once_it_is_whole_and_else_stays_as_it_was(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as file:
        file.write(b"one")
        assert not path.exists()
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"two", "not bytes"])
    assert path.read_bytes() == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_folder_in_the_way_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(IsADirectoryError) as caught, replacing(tmp_path):
        raise AssertionError("nothing was to be written")
    assert caught.value.filename == str(tmp_path)


def test_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught, replacing(tmp_path / "file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "file")
