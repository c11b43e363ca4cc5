"""The suite of the file of rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.damage.damages import Damage
from tests.damage.operations import Operation, command, frame, rows_of
from tests.damage.specimen import Specimens, change_bytes, zoo

SUBJECT = "rules.csv"
CASES: dict[str, Damage] = {}
OPERATIONS: dict[str, Operation] = {}


def data(name: str, change: Callable[[bytes], bytes]) -> None:
    """The file holds other bytes."""
    CASES[name] = Damage(lambda _, path: change_bytes(path, change), (SUBJECT,))


def line(name: str, text: str) -> None:
    """One line more."""
    data(name, lambda was: was + text.encode() + b"\n")


COMMAS = "," * 6
data("empty", lambda _: b"")
data("garbage", lambda _: bytes(range(256)) * 3)
data("all zero", lambda was: bytes(len(was)))
data("not UTF-8", lambda was: was + b"\xff\xfe")
data("UTF-16", lambda was: was.decode().encode("utf-16"))
data("no header", lambda was: was.split(b"\n", 1)[1])
data("columns renamed", lambda was: was.replace(b"source,", b"from,", 1))
data("a column over two lines", lambda was: was.replace(b"source,", b'"sou\nrce",', 1))
data("column twice", lambda was: was.replace(b"source,target", b"source,source", 1))
data("truncated in a line", lambda was: was[: was.rindex(b",") - 9])
data("a null byte in a key", lambda was: was.replace(b"rose", b"r\0se", 1))
data("a quote that does not end", lambda was: was + b'"dog,cat')
data("a cell of a megabyte", lambda was: was + b"dog,cat,0.5,,,,," + b"x" * 1_000_000 + b",\n")
line("unknown source", f"unicorn,rose,0.5{COMMAS}")
line("unknown target", f"rose,unicorn,0.5{COMMAS}")
line("of itself", f"dog,dog,0.5{COMMAS}")
line("too few cells", "dog,cat")
line("too many cells", "dog,rose" + "," * 30)
for _name in ("2", "-0.5", "0", "high", "inf", "1e-300", "0x1"):
    line(f"p {_name}", f"stuff,plant,{_name}{COMMAS}")
CASES["a folder"] = Damage(lambda _, path: (path.unlink(), path.mkdir()), (SUBJECT,))
CASES["missing"] = Damage(lambda _, path: path.unlink(), (SUBJECT,))


def read(made: Specimens, path: Path, out: Path) -> Any:
    from mlimages.annotate import read_rules

    return frame(read_rules(path, zoo()).fillna(-1))


def evaluate(made: Specimens, path: Path, out: Path) -> Any:
    from mlimages.annotate import evaluate_rules

    return frame(evaluate_rules(path, made.table).at().fillna(-1))


def annotate(made: Specimens, path: Path, out: Path) -> Any:
    command("annotate", made.listed, "--hierarchy", made.hierarchy, "--rules", path, "--out", out / "made")
    return rows_of(out / "made")


def annotate_function(made: Specimens, path: Path, out: Path) -> Any:
    from mlimages import annotate as function

    return rows_of(function(made.listed, zoo(), out=out / "made", rules=path, rule_confidence="p").folder)


def explore(made: Specimens, path: Path, out: Path) -> Any:
    command("hierarchy", "explore", made.hierarchy, "--rules", path, "--title", "t", "--out", out / "page.html")
    return (out / "page.html").read_text()


def beside_table(made: Specimens, path: Path, out: Path) -> Any:
    """The rules that a table was made with."""
    import shutil

    from mlimages import AnnotationTable

    folder = shutil.copytree(made.ruled, out / "ruled")
    (folder / "rules.csv").unlink()
    if path.is_dir():
        shutil.copytree(path, folder / "rules.csv")
    elif path.exists():
        shutil.copyfile(path, folder / "rules.csv")
    rules = AnnotationTable.open(folder).rules
    assert rules is not None
    return [len(rules), json.loads(command("explain", folder, "13.png", "--json"))]


OPERATIONS["read rules"] = read
OPERATIONS["evaluate rules"] = evaluate
OPERATIONS["annotate"] = annotate_function
OPERATIONS["rules of a table"] = beside_table
OPERATIONS["mlimages annotate"] = annotate
OPERATIONS["mlimages hierarchy explore"] = explore
OPERATIONS["mlimages cooccur evaluate"] = lambda made, path, out: command(
    "cooccur", "evaluate", path, made.table, "--json"
)
