"""``mlimages doctor``: installed and missing packages, data and programs."""

from __future__ import annotations

import typer

from mlimages.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Print versions, extras and data, and how to get what is missing; exit 1 if something required is missing."""
    from dataclasses import asdict

    from mlimages.cli.output import print_json
    from mlimages.doctor import diagnose, healthy

    findings = diagnose()
    if as_json:
        print_json([asdict(each) for each in findings])
    else:
        section = None
        width = max(len(each.name) for each in findings)
        for each in findings:
            if each.section != section:
                typer.echo(f"{each.section}:")
                section = each.section
            typer.echo(f"  {each.state:<7}  {each.name:<{width}}  {each.detail}")
            if each.fix:
                typer.echo(f"  {'':<7}  {'':<{width}}  -> {each.fix}")
    if not healthy(findings):
        raise typer.Exit(1)
