"""Every code block of the documentation runs; see :mod:`blocks` for the comments that say on what, or otherwise."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks
from tests.docs.standins import GIVEN, Standins, server

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("python", "sh")
#: More than so many blocks of all pages together are not left out.
MOST_SKIPPED = 5

#: Files that the blocks on stand-ins leave, by pattern, and lines of texts: what exits 0 and does nothing is found.
MADE = {
    "migrating.md": {"images/**/*.jpg": 8, "finetuned/model.safetensors": 1, "label_pred.txt": 1},
    "regenerating.md": {"pictures/*/*.JPEG": 12, "openimages-pictures/packed/part-*.parquet": 1},
}
LINES = {"migrating.md": {"label_pred.txt": 3}, "regenerating.md": {"rules.csv": 1 + 28}}

#: The command under test, which takes the hash of a stand-in for that of the published dictionary.
COMMAND = """\
#!{python}
import os, sys

if __name__ == "__main__":
    from mlimages.cli import main
    from mlimages.hierarchy import load

    load.DICTIONARY_SHA256 = os.environ.get("STANDIN_SHA256", load.DICTIONARY_SHA256)
    to, *added = os.environ.get("ADDED_OPTIONS", "").split() or [None]
    sys.argv += added if to in sys.argv[1:2] else []
    main()
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run shell blocks in a folder of their own, where `mlimages` is the one under test."""
    command = tmp_path / "bin" / "mlimages"
    command.parent.mkdir()
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv(
        "PATH", f"{command.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "80")

    def run(text, environment):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            capture_output=True,
            text=True,
            timeout=600,
            env=os.environ | environment,
        )
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


@pytest.fixture
def standins(shell):
    """What puts small things in place of large ones, in the folder of the blocks."""
    with server() as url:
        yield lambda: Standins(Path.cwd(), url)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_the_page_run(page, shell, data, standins):
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
            environment: dict[str, str] = {}
            if block.kind == "given":
                environment = given(block, standins())
            if block.language == "sh":
                printed = shell(block.text, environment)
            else:
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile(block.text, where, "exec"), names)
                printed = out.getvalue()
    for pattern, count in MADE.get(page.name, {}).items():
        assert len(list(Path.cwd().glob(pattern))) == count, pattern
    for name, count in LINES.get(page.name, {}).items():
        assert len(Path(name).read_text().splitlines()) == count, name


def given(block, here):
    """Put in place what a block is given; the environment that it runs in."""
    names, _, options = block.note.partition("; added:")
    for name in names.split(", "):
        here.put(name)
    return here.environment | {"ADDED_OPTIONS": options}


def test_what_is_left_out_is_little_and_says_why():
    found = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8")) if block.language in RUN]
    skipped = [block for block in found if block.kind == "skip"]
    assert all(len(block.note) > 10 for block in skipped)
    assert len(skipped) <= MOST_SKIPPED
    assert {block.note for block in found if block.kind == "needs"} <= {"ml-images"}
    assert {block.language for block in found if block.kind == "given"} == {"sh"}
    used = {name for block in found if block.kind == "given" for name in block.note.partition(";")[0].split(", ")}
    assert used == set(GIVEN)


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

<!-- given: lists, sources; added: train --device cpu -->
```sh
mlimages
```
"""
    assert blocks(page) == [
        Block("sh", "ls\n", 3),
        Block("python", "1\n", 8, kind="skip", note="no network here"),
        Block("text", "hello\n", 12, title="x/a.txt"),
        Block("sh", "mlimages\n", 17, kind="given", note="lists, sources; added: train --device cpu"),
    ]
