"""Every code block of the documentation runs; see :mod:`tests.docs.blocks` for the comments that say otherwise."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("python", "sh")
#: More than so many blocks of all pages together are not left out.
MOST_SKIPPED = 16

_spec = importlib.util.spec_from_file_location("blocks", Path(__file__).with_name("blocks.py"))
_module = importlib.util.module_from_spec(_spec)
sys.modules["blocks"] = _module
_spec.loader.exec_module(_module)
Block, blocks = _module.Block, _module.blocks


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run shell blocks in a folder of their own, where `mlimages` is the one under test."""
    command = tmp_path / "bin" / "mlimages"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlimages "$@"\n')
    command.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv(
        "PATH", f"{command.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "80")

    def run(text):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def data(monkeypatch):
    """Whether the official files are here, and `$MLIMAGES_DATA` names them."""
    folder = Path(os.environ.get("MLIMAGES_DATA", ROOT.parent / "shared" / "ml-images"))
    here = (folder / "dictionary_and_semantic_hierarchy.txt").is_file()
    if here:
        monkeypatch.setenv("MLIMAGES_DATA", str(folder.resolve()))
    return here


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_the_page_run(page, shell, data):
    names: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    left_out = False  # whether the block before was
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        if block.kind == "output":
            assert left_out or block.text.split() == printed.split(), f"{where}: the block prints\n{printed}"
        elif block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language in RUN:
            left_out = block.kind == "skip" or (block.kind == "needs" and not data)
            if left_out:
                continue
            if block.language == "sh":
                printed = shell(block.text)
            else:
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile(block.text, where, "exec"), names)
                printed = out.getvalue()


def test_what_is_left_out_is_little_and_says_why():
    found = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8")) if block.language in RUN]
    skipped = [block for block in found if block.kind == "skip"]
    assert all(len(block.note) > 10 for block in skipped)
    assert len(skipped) <= MOST_SKIPPED
    assert {block.note for block in found if block.kind == "needs"} <= {"ml-images"}


def test_every_block_names_its_language():
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8")):
            assert block.language in (*RUN, "text", "csv", "toml", "json"), (
                f"{page.name}:{block.line}: {block.language!r}"
            )


def test_blocks_are_found_with_their_comments():
    page = """\
a

```sh
ls
```

<!-- skip: no network here -->
```python
1
```

```text title="x/a.txt"
hello
```
"""
    assert blocks(page) == [
        Block("sh", "ls\n", 3),
        Block("python", "1\n", 8, kind="skip", note="no network here"),
        Block("text", "hello\n", 12, title="x/a.txt"),
    ]
