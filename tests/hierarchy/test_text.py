"""Text files whose errors name the line."""

from __future__ import annotations

import pytest

from mlimages.errors import FormatError
from mlimages.hierarchy.text import read_lines


def test_lines_keep_their_numbers_without_blank_ones():
    assert read_lines(b"\xef\xbb\xbfa\r\n\n  b \n", path="f") == [(1, "a"), (3, "b")]
    with pytest.raises(FormatError, match=r"^f: the file is empty, expected one entry a line$"):
        read_lines(b"\n \n", path="f")
