"""``mlimages hierarchy``: look at, check and build hierarchies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlimages.cli.options import Json, load_hierarchy
from mlimages.cli.output import print_json, print_pairs, print_table

if TYPE_CHECKING:
    import pandas as pd

    from mlimages import Hierarchy
    from mlimages.hierarchy.audit import Report

app = typer.Typer(help="Look at, check and build hierarchies.", no_args_is_help=True)

_Hierarchy = Annotated[
    str,
    typer.Argument(
        metavar="HIERARCHY", help="A name (ml-images, imagenet-1k, -11k, -12k, -21k) or the path of a file or table."
    ),
]
_Csv = Annotated[Path | None, typer.Option("--out", metavar="CSV", help="Write the rows into this CSV file as well.")]


@app.command()
def show(
    hierarchy: _Hierarchy,
    root: Annotated[
        str | None, typer.Argument(metavar="[ROOT]", help="Where to start: a key, an index or an unambiguous name.")
    ] = None,
    depth: Annotated[int, typer.Option(min=0, help="Edges to go down.")] = 2,
    width: Annotated[int, typer.Option(min=1, help="Children to print of one category, at most.")] = 50,
) -> None:
    """Print a hierarchy, or the descendants of one category, as a tree."""
    from mlimages.hierarchy.drawing.draw import tree

    loaded = load_hierarchy(hierarchy)
    top = None if root is None else _category(loaded, root)
    typer.echo(tree(loaded, top, depth=depth, width=width))


@app.command()
def find(
    hierarchy: _Hierarchy,
    text: Annotated[str, typer.Argument(help="Part of a name or a key.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number to print.")] = None,
    as_json: Json = False,
) -> None:
    """Find categories by name or key: exact matches first, then prefixes, then other parts."""
    loaded = load_hierarchy(hierarchy)
    rows: list[dict[str, Any]] = [
        {
            "index": each.index,
            "key": each.key,
            "names": list(each.names),
            "parents": [loaded.keys[i] for i in loaded.parents(each.index)],
        }
        for each in loaded.find(text, limit=limit)
    ]
    if as_json:
        print_json(rows)
    elif rows:
        shown = [{**row, "names": ", ".join(row["names"]), "parent": " ".join(row["parents"])} for row in rows]
        print_table(shown, ["index", "key", "parent", "names"], free=["names"])
    if not rows:
        typer.echo(f"mlimages: nothing in {hierarchy} matches {text!r}", err=True)
        raise typer.Exit(1)


@app.command()
def stats(hierarchy: _Hierarchy, as_json: Json = False) -> None:
    """Count categories, roots and leaves, and measure depth in edges."""
    statistics = load_hierarchy(hierarchy).statistics()
    if as_json:
        print_json(statistics)
    else:
        print_pairs(statistics)


@app.command()
def audit(
    hierarchy: _Hierarchy,
    status: Annotated[str | None, typer.Option(help="Print the rows of this status too, such as contradicts.")] = None,
    out: _Csv = None,
    as_json: Json = False,
) -> None:
    """Compare each parent with WordNet's hypernyms."""
    from mlimages.hierarchy.audit import STATUSES
    from mlimages.hierarchy.audit import audit as audit_hierarchy

    _check_choice("--status", status, STATUSES)
    report = audit_hierarchy(load_hierarchy(hierarchy))
    rows = report.table if status is None else report.table[report.table["status"] == status]
    columns = ["key", "name", "parent_key", "parent_name", "nearest_key", "nearest_name"]
    _print_report(report, rows, out=out, as_json=as_json, columns=columns if status else [], free="name")


@app.command()
def compare(
    before: _Hierarchy,
    after: Annotated[str, typer.Argument(metavar="HIERARCHY", help="Another, by name or path.")],
    change: Annotated[str | None, typer.Option(help="Only this kind of change, such as re-parented.")] = None,
    out: _Csv = None,
    as_json: Json = False,
) -> None:
    """Print what changed between two hierarchies, by key."""
    from mlimages.hierarchy.audit import CHANGES
    from mlimages.hierarchy.audit import compare as compare_hierarchies

    _check_choice("--change", change, CHANGES)
    report = compare_hierarchies(load_hierarchy(before), load_hierarchy(after))
    rows = report.table if change is None else report.table[report.table["change"] == change]
    columns = ["change", "key", "name", "before", "after"]
    _print_report(report, rows, out=out, as_json=as_json, columns=columns, free="name")


@app.command()
def build(
    keys_file: Annotated[str, typer.Argument(help="WordNet ids, one per line; - is the standard input.")],
    out: Annotated[Path, typer.Option(help="What to write: a dictionary (.txt) or Parquet (.parquet).")],
    inner: Annotated[str | None, typer.Option(metavar="FILE", help="Ids that may be parents, one per line.")] = None,
    roots: Annotated[
        list[str] | None,
        typer.Option(metavar="ID,ID,...", help="Cut WordNet at these; 'published' means the four of ML-Images."),
    ] = None,
    multiple_parents: Annotated[bool, typer.Option(help="Keep every nearest hypernym, not the first only.")] = False,
    close_upwards: Annotated[bool, typer.Option(help="Add all hypernyms of the ids, up to the roots.")] = False,
) -> None:
    """Build a hierarchy from WordNet for a list of synset ids."""
    from mlimages import Hierarchy
    from mlimages.errors import HierarchyError
    from mlimages.hierarchy.wordnet import synsets as wordnet
    from mlimages.hierarchy.wordnet.synsets import read_synset_ids

    if out.suffix not in (".txt", ".parquet"):
        raise HierarchyError(f"--out {out}: found the ending {out.suffix!r}, expected .txt (a dictionary) or .parquet")
    if multiple_parents and out.suffix == ".txt":
        raise HierarchyError(f"--out {out}: a dictionary holds one parent a category: write .parquet")
    keys = read_synset_ids(_bytes(keys_file), path=_shown(keys_file))
    tops = None
    if roots is not None:
        tops = [key for each in roots for key in each.split(",")]
        if "published" in tops:
            tops = [key for key in tops if key != "published"] + list(wordnet.PUBLISHED_ROOTS)
    if close_upwards:
        keys = wordnet.close_upwards(keys, tops)
    nearer = None if inner is None else read_synset_ids(_bytes(inner), path=_shown(inner), among=set(keys))
    built = Hierarchy.from_wordnet(keys, inner=nearer, roots=tops, multiple_parents=multiple_parents)
    if out.suffix == ".txt":
        built.to_dictionary(out)
    else:
        built.to_parquet(out)
    typer.echo(f"{out}: {len(built):,} categories, {len(built.leaves):,} leaves, {len(built.roots):,} roots", err=True)


@app.command()
def explore(
    hierarchy: _Hierarchy,
    out: Annotated[Path, typer.Option(metavar="HTML", help="The page to write.")],
    table: Annotated[Path | None, typer.Option(metavar="DIR", help="Show the counts of this annotation table.")] = None,
    rules: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Show what co-occurs with each category by these rules.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page; the hierarchy's name unless given.")] = None,
) -> None:
    """Write one self-contained HTML page to search and browse a hierarchy."""
    from mlimages.errors import HierarchyError
    from mlimages.hierarchy.drawing.explorer import write_explorer

    loaded = load_hierarchy(hierarchy)
    counts = None
    if table is not None:
        if load_hierarchy(table).fingerprint != loaded.fingerprint:
            raise HierarchyError(f"{table}: the table was made with another hierarchy than {hierarchy}: name that one")
        from mlimages.annotate import AnnotationTable

        counts = AnnotationTable.open(table).category_counts()
    shown = None
    if rules is not None:
        from mlimages.annotate.propagation.rules import read_rules

        shown = read_rules(rules, loaded)
    write_explorer(loaded, out, counts=counts, rules=shown, title=title or f"{hierarchy}: {len(loaded):,} categories")
    typer.echo(f"{out}: {len(loaded):,} categories, {out.stat().st_size / 1e6:.1f} MB", err=True)


@app.command()
def match(
    names_file: Annotated[str, typer.Argument(help="Display names, one per line; - is the standard input.")],
    hierarchy: Annotated[str | None, typer.Option(help="Propose only categories of this one, by name or path.")] = None,
    out: _Csv = None,
    as_json: Json = False,
) -> None:
    """Propose WordNet synsets for display names, best first."""
    from mlimages.hierarchy.matching import match_names
    from mlimages.hierarchy.text import read_lines

    names = [name for _, name in read_lines(_bytes(names_file), path=_shown(names_file))]
    table = match_names(names, None if hierarchy is None else load_hierarchy(hierarchy))
    if out is not None:
        table.to_csv(out, index=False, lineterminator="\n")
    if as_json:
        print_json(_records(table))
    elif out is None:
        print_table(_records(table), ["name", "rank", "key", "synset", "how"], free=["name", "synset", "how"])


def _category(hierarchy: Hierarchy, text: str) -> int:
    """The category that a user means by a key, an index or a name."""
    from mlimages.errors import UnknownCategoryError

    if text in hierarchy:
        return hierarchy.index(text)
    if text.isascii() and text.isdigit():
        return hierarchy.index(int(text))
    wanted = text.casefold()
    named = [each for each in hierarchy.find(text) if wanted in (name.casefold() for name in each.names)]
    found = [each for each in named if each.name.casefold() == wanted] or named  # its usual name comes first
    if len(found) > 1:
        keys = ", ".join(each.key for each in found[:10])
        raise UnknownCategoryError(f"{text!r} is the name of {len(found)} categories: name one by its key ({keys})")
    if not found:
        raise UnknownCategoryError(f"unknown category {text!r}: expected a key, an index or a name; see find")
    return found[0].index


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    from mlimages.errors import HierarchyError

    if value is not None and value not in choices:
        raise HierarchyError(f"{option} {value}: expected one of {', '.join(choices)}")


def _print_report(
    report: Report, rows: pd.DataFrame, *, out: Path | None, as_json: bool, columns: list[str], free: str
) -> None:
    """Title, counts and, of the rows, the given columns; all that are not empty where there is room for them."""
    if out is not None:
        rows.to_csv(out, index=False, lineterminator="\n")
    records = _records(rows) if columns else []
    if as_json:
        print_json({"title": report.title, "summary": report.summary, "rows": records})
        return
    typer.echo(repr(report))
    if records:
        typer.echo()
        print_table(records, columns, free=[column for column in columns if column.endswith(free)])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts of plain Python values, None for null."""
    import json

    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return records


def _bytes(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()


def _shown(path: str) -> str:
    return "<stdin>" if path == "-" else path
