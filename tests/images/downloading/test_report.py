import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import hostile_server

from mlimages.cli.download_report import DownloadReport
from mlimages.images import DownloadProgress
from tests.images.downloading.test_download import ROOT, environment, write_list

NOW = DownloadProgress(
    urls=17_000_000,
    done=1_234_567,
    success=1_200_000,
    failed=34_567,
    reasons={"http_404": 30_000, "dns": 4_000, "read_timeout": 500, "animated": 60, "truncated": 7},
    bytes=123_400_000,
    rate=812.4,
    seconds=1520.0,
)


def test_report_prints_plain_lines_where_there_is_no_terminal(capsys) -> None:
    with DownloadReport(line_every=0.0) as report:
        report(NOW)
    assert capsys.readouterr().err == (
        "1,234,567 of 17,000,000 URLs, 812/s, 1,200,000 images, 34,567 failed "
        "(http_404 30,000, dns 4,000, read_timeout 500, animated 60, ...)\n"
    )


def test_report_keeps_quiet_between_lines(capsys) -> None:
    with DownloadReport() as report:
        for _ in range(100):
            report(NOW)
    assert capsys.readouterr().err == ""


def test_report_summary_names_every_reason(capsys) -> None:
    DownloadReport().summary(NOW)
    assert capsys.readouterr().out == (
        "1,234,567 of 17,000,000 URLs in 1,520.0 s: 1,200,000 images, 34,567 failed "
        "(http_404 30,000, dns 4,000, read_timeout 500, animated 60, truncated 7), 123.4 MB\n"
    )


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
