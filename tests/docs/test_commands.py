"""Every ``mlimages`` command that the documentation names parses, in blocks that are run or not, and in prose."""

from __future__ import annotations

import re
import shlex
from itertools import product

import pytest
from typer.main import get_command

from mlimages.cli import app
from tests.docs.blocks import blocks
from tests.docs.test_blocks import PAGES, ROOT

COMMAND = get_command(app)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
#: Options of other programs that the prose names.
OTHERS = {"--check", "--address", "--head", "--nnodes", "--num_gpus"}


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block, as words, without comments, assignments and redirections."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        words = words[: min((words.index(mark) for mark in (">", "|", "&&") if mark in words), default=len(words))]
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        if words:
            found.append(words)
    return found


def ours(words: list[str]) -> list[str] | None:
    """What a command gives to ``mlimages``: by itself, or by ``python -m`` or ``torchrun -m``."""
    if words[0] == "mlimages":
        return words[1:]
    if words[0] in ("torchrun", "python") and "mlimages" in words and words[words.index("mlimages") - 1] == "-m":
        return words[words.index("mlimages") + 1 :]
    return None


def resolve(words: list[str]):
    """The command that words name, and the rest of them."""
    command, rest = COMMAND, list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"mlimages {' '.join(words)}: no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    return command, rest


def options(command) -> set[str]:
    own = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return own.union(*(options(each) for each in getattr(command, "commands", {}).values())) | {"--help", "-h"}


def spans(page):
    """Code in the prose of a page; of a table, where a row goes from theirs to ours, the last cell."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *``` *$", "", text, flags=re.DOTALL | re.MULTILINE)
    for line in text.splitlines():
        told = line.replace("\\|", "\N{BROKEN BAR}")
        if page.name == "migrating.md" and told.startswith("|"):
            told = told.rstrip().rstrip("|").rpartition("|")[2]
        yield from (each.replace("\N{BROKEN BAR}", "|") for each in CODE.findall(told))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_blocks_parse(page):
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language != "sh":
            continue
        for words in commands(block.text):
            given = ours(words)
            if given is not None:
                command, rest = resolve(given)
                command.make_context("mlimages", rest)  # raises for unknown options, missing and surplus arguments
            elif words[0] == "make":
                assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE), words
            else:
                assert words[0] in ("ls", "torchrun"), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_in_prose_are_there(page):
    every = options(COMMAND) | OTHERS
    for span in spans(page):
        words = [word.strip(".,") for word in span.split()]
        if words[0] == "mlimages" and len(words) > 1:
            for choice in product(*(word.split("|") for word in words[1:])):
                plain = [word for word in choice if not word.isupper()]
                command, _ = resolve([word for word in plain if re.fullmatch(r"[a-z-]+", word)][:2])
                unknown = {word for word in plain if word.startswith("--")} - options(command)
                assert not unknown, f"{page.name}: `{span}`"
        elif words[0] == "make" and len(words) == 2:
            assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE), span
        else:
            named = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
            assert named <= every, f"{page.name}: `{span}`"


def test_words_of_a_block():
    text = 'A=b mlimages annotate "a b" \\\n    --out c > d  # e\ntorchrun --nnodes 4 -m mlimages build x\n'
    found = commands(text)
    assert found == [
        ["mlimages", "annotate", "a b", "--out", "c"],
        ["torchrun", "--nnodes", "4", "-m", "mlimages", "build", "x"],
    ]
    assert [ours(words) for words in found] == [["annotate", "a b", "--out", "c"], ["build", "x"]]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (["annotate", "a", "--outt", "b"], "No such option: --outt"),
        (["stats"], "Missing parameter: "),
        (["stats", "a", "b"], r"unexpected extra argument\S* \(b\)"),
    ],
)
def test_a_wrong_command_does_not_parse(wrong, complaint):
    command, rest = resolve(wrong)
    with pytest.raises(Exception, match=complaint):
        command.make_context("mlimages", rest)
