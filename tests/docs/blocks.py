"""The fenced code blocks of a Markdown page, and what becomes of each when the page is tested.

Blocks of ``python`` and ``sh`` are run, in the order of the page, in one temporary folder; the Python blocks share
their variables. Comments on the line above a block, which a reader does not see, say what else is to be known:

``<!-- skip: REASON -->``
    The block is not run.
``<!-- needs: ml-images -->``
    It is run where the official files are, and not elsewhere.
``<!-- given: NAME, NAME; added: COMMAND OPTIONS -->``
    It is run on small things that stand where it speaks of large ones: see :mod:`tests.docs.standins`. The options are
    added to ``mlimages COMMAND`` in it; they may be left out.
``<!-- output -->``
    The block is what the block before it prints, checked word for word.

A block with a title (```` ```text title="list.txt" ````) is a file that is written for the blocks after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)
_COMMENT = re.compile(r"<!-- *(?P<kind>skip|needs|given|output)(?:: *(?P<text>.*?))? *-->\s*\Z")
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it begins on, and what the comment above it says."""

    language: str
    text: str
    line: int
    title: str = ""
    kind: str = ""
    note: str = ""


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    found = []
    for match in _FENCE.finditer(page):
        before = _COMMENT.search(page[: match.start()])
        title = _TITLE.search(match["info"])
        text = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        language = match["info"].split()[0] if match["info"].strip() else ""
        line = page.count("\n", 0, match.start()) + 1
        kind, note = (before["kind"], before["text"] or "") if before else ("", "")
        found.append(Block(language, text, line, title[1] if title else "", kind, note))
    return found
