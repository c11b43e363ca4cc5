"""``mlimages hierarchy``: look at, check and build hierarchies."""

from __future__ import annotations

import typer

app = typer.Typer(help="Look at, check and build hierarchies.", no_args_is_help=True)


@app.command()
def stats(
    hierarchy: str = typer.Argument(help="A hierarchy: a name such as ml-images or imagenet-1k, or a path."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Count categories, roots and leaves, and measure depth."""
    import json

    from mlimages import Hierarchy

    statistics = Hierarchy.from_dictionary(hierarchy).statistics()
    typer.echo(json.dumps(statistics) if as_json else "\n".join(f"{k}: {v}" for k, v in statistics.items()))
