"""The demo from the command line: what a user does wrong is one line, Ctrl-C too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mlimages.demo", *arguments]


def test_unknown_pictures_are_one_line() -> None:
    done = subprocess.run(command("--pictures", "cats"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "mlimages demo: error: --pictures cats: expected auto, stamps or shapes\n"


def test_unknown_option_is_a_usage_error() -> None:
    done = subprocess.run(command("--nosuch"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such option: --nosuch" in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_of_somebody_else_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = subprocess.run(command("--out", str(tmp_path)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mlimages demo: error: {tmp_path}: holds 'thesis.txt'")
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_interrupt_is_one_line_and_leaves_a_folder_that_can_be_used_again(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    arguments = command("--pictures", "shapes", "--out", str(out))
    with subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("3. Scenes"):
                running.send_signal(signal.SIGINT)
                break
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.strip() == "mlimages demo: interrupted; run it again to start anew"
    assert not (out / "index.html").exists()
    assert (out / ".mlimages-demo").is_file()
