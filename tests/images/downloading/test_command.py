"""The command ``mlimages download``: its bar, and mistakes of its user."""

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import hostile_server

from tests.images.downloading.test_download import ROOT, environment, write_list


def read_terminal(file: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # as reading ends when the other side is closed
        while data := os.read(file, 1 << 16):
            yield data


def test_download_command_draws_a_bar_on_a_terminal(tmp_path: Path) -> None:
    with hostile_server(latency=0.1) as server:
        urls = write_list(tmp_path / "l.txt", server, [f"/{'good' if i % 2 else 'missing'}/{i}" for i in range(30)])
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "mlimages", "download", urls, "--out", tmp_path / "out", "--allow-private"]
        with subprocess.Popen(
            [*command, "--concurrency", "3"], cwd=ROOT, env=environment() | {"TERM": "xterm", "COLUMNS": "120"},
            stdout=subprocess.PIPE, stderr=theirs, text=True,
        ) as run:  # fmt: skip
            os.close(theirs)
            drawn = b"".join(read_terminal(ours)).decode()
            out, _ = run.communicate(timeout=60)
        os.close(ours)
    assert "30/30" in drawn
    assert "http_404 15" in drawn
    assert out.startswith("30 of 30 URLs in ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.txt", "--out", "o"], "mlimages: error: none.txt: no such file, expected a list of URLs"),
        (["list.txt", "--out", "o", "--quality", "0"], "mlimages: error: quality: found 0, expected 1 to 100"),
        (["bad.txt", "--out", "o"], "mlimages: error: bad.txt:1: found the labels 'x y', expected index:confidence"),
        (["list.txt", "--out", "list.txt"], "mlimages: error: list.txt"),
        (["list.txt", "--out", "o", "--engine", "ray", "--workers", "0"], "mlimages: error: workers: found 0"),
        (["list.txt", "--out", "o", "--format", "csv"], "mlimages: error: list.txt: found the columns http://a/"),
    ],
)
def test_download_command_says_on_one_line_what_is_wrong(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "list.txt").write_text("http://a/\n")
    (tmp_path / "bad.txt").write_text("http://a/\tx y\n")
    command = [sys.executable, "-m", "mlimages", "download", *arguments]
    run = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith(message)
    assert run.stderr.count("\n") == 1
