"""``mlimages download``: images from lists of URLs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mlimages.cli.options import Engine, load_hierarchy


class Retry(StrEnum):
    """Which failures of an earlier run to retry."""

    NONE = "none"
    FAILED = "failed"


class ListFormat(StrEnum):
    """Formats of a list of URLs."""

    AUTO = "auto"
    LIST = "list"
    CSV = "csv"
    PARQUET = "parquet"


class Output(StrEnum):
    """How images are stored."""

    FILES = "files"
    PACKED = "packed"


_HOW_MANY, _HOW_LONG, _WHAT, _HOW = "How many", "How long", "What is kept", "Input and engine"


def download(
    lists: Annotated[
        list[str],
        typer.Argument(
            metavar="LIST...", help="Lists of URLs: url<TAB>index:confidence..., CSV or Parquet; .gz and .zst too."
        ),
    ],
    out: str = typer.Option(..., "--out", help="The output folder; an unfinished download there is resumed."),
    retry: Annotated[Retry, typer.Option(help="Try again what failed in an earlier run.")] = Retry.NONE,
    concurrency: int = typer.Option(256, help="Requests at once, in all.", rich_help_panel=_HOW_MANY),
    per_host: int = typer.Option(32, help="Requests at once to one host.", rich_help_panel=_HOW_MANY),
    rate: float | None = typer.Option(None, help="Requests per second to one host.", rich_help_panel=_HOW_MANY),
    retries: int = typer.Option(2, help="Further attempts after transient failures.", rich_help_panel=_HOW_MANY),
    max_redirects: int = typer.Option(5, help="Redirects followed, each checked.", rich_help_panel=_HOW_MANY),
    backoff: float = typer.Option(0.5, help="Seconds before the first retry; doubles.", rich_help_panel=_HOW_LONG),
    max_wait: float = typer.Option(60.0, help="Longest wait, Retry-After included.", rich_help_panel=_HOW_LONG),
    connect_timeout: float = typer.Option(10.0, help="Seconds to connect.", rich_help_panel=_HOW_LONG),
    read_timeout: float = typer.Option(20.0, help="Seconds between two reads.", rich_help_panel=_HOW_LONG),
    total_timeout: float = typer.Option(120.0, help="Seconds for one attempt.", rich_help_panel=_HOW_LONG),
    max_bytes: int = typer.Option(50 << 20, help="Largest body, in bytes.", rich_help_panel=_WHAT),
    max_pixels: int = typer.Option(100_000_000, help="Largest width x height.", rich_help_panel=_WHAT),
    allow_private: bool = typer.Option(
        False, "--allow-private", help="Connect to private and loopback addresses too.", rich_help_panel=_WHAT
    ),
    allow_network: Annotated[
        list[str] | None,
        typer.Option(help="A network to connect to although it is not public; may be repeated.", rich_help_panel=_WHAT),
    ] = None,
    respect_noai: bool = typer.Option(
        False, "--respect-noai", help="Leave out images served with X-Robots-Tag: noai.", rich_help_panel=_WHAT
    ),
    placeholder: Annotated[
        list[str] | None,
        typer.Option(help="SHA-256 of a placeholder for a missing image; may be repeated.", rich_help_panel=_WHAT),
    ] = None,
    resize: int | None = typer.Option(
        None, help="Shorter side in pixels, at most; re-encodes as JPEG.", rich_help_panel=_WHAT
    ),
    quality: int = typer.Option(90, help="JPEG quality with --resize.", rich_help_panel=_WHAT),
    output: Annotated[
        Output, typer.Option(help="Files, or packed Parquet shards.", rich_help_panel=_WHAT)
    ] = Output.FILES,
    hierarchy: str | None = typer.Option(
        None, help="The categories, for packed labels: a name such as ml-images, or a path.", rich_help_panel=_WHAT
    ),
    processes: int | None = typer.Option(
        None, help="Processes that check and resize; 0: threads.", rich_help_panel=_HOW
    ),
    list_format: Annotated[
        ListFormat, typer.Option("--format", help="Form of the lists.", rich_help_panel=_HOW)
    ] = ListFormat.AUTO,
    url_column: str = typer.Option("url", help="Column of the URLs, in CSV and Parquet.", rich_help_panel=_HOW),
    unit_bytes: int = typer.Option(1 << 20, help="Bytes of list in one work unit.", rich_help_panel=_HOW),
    user_agent: str | None = typer.Option(None, help="The User-Agent header.", rich_help_panel=_HOW),
    engine: Annotated[
        Engine, typer.Option(help="One process here, or a Ray cluster.", rich_help_panel=_HOW)
    ] = Engine.LOCAL,
    workers: int | None = typer.Option(None, help="Ray workers at once.", rich_help_panel=_HOW),
) -> None:
    """Download the images of a list of URLs; run it again to resume."""
    import signal

    from mlimages.cli.progress import DownloadReport
    from mlimages.images import DownloadOptions
    from mlimages.images import download as run

    options = DownloadOptions(
        concurrency=concurrency,
        per_host=per_host,
        rate=rate,
        retries=retries,
        max_redirects=max_redirects,
        backoff=backoff,
        max_wait=max_wait,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        total_timeout=total_timeout,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        allow_private=allow_private,
        allow_networks=tuple(allow_network or ()),
        respect_noai=respect_noai,
        placeholders=tuple(placeholder or ()),
        resize=resize,
        quality=quality,
        output=output.value,
        processes=processes,
        list_format=list_format.value,
        url_column=url_column,
        unit_bytes=unit_bytes,
        **({} if user_agent is None else {"user_agent": user_agent}),
    )
    with DownloadReport() as report:
        final = run(
            lists,
            out,
            options=options,
            engine=engine.value,
            workers=workers,
            retry=retry.value,
            hierarchy=None if hierarchy is None else load_hierarchy(hierarchy),
            progress=report,
        )
    report.summary(final)
    if final.stopped_by is not None:
        raise typer.Exit(128 + signal.Signals[final.stopped_by])
