"""Options of a download: limits on requests, time and size, allowed addresses, and the form of the output."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from mlimages import __version__
from mlimages.errors import MlimagesError

MIB = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadOptions:
    """Options of :func:`mlimages.images.download`.

    Parameters
    ----------
    concurrency : int
        Concurrent requests to all hosts.
    per_host : int
        Concurrent requests to one host.
    rate : float, optional
        Requests per second to one host; unlimited if None.
    retries : int
        Further attempts after a transient failure: a status 408, 425, 429, 500, 502, 503 or 504, a connection that
        fails or breaks, a connect or read time-out.
    backoff : float
        Seconds before the first retry, doubled with each further one, plus a random delay of up to as much.
    max_wait : float
        Longest wait before a retry, in seconds. A ``Retry-After`` beyond it ends the attempts.
    connect_timeout, read_timeout, total_timeout : float
        Seconds for the connection (with TLS), between two reads, and for one attempt in all, redirects included.
    max_bytes : int
        Largest body, in bytes.
    max_pixels : int
        Largest width x height in pixels; checked before an image is decoded.
    max_redirects : int
        Redirects followed; each target is checked as the URL itself is.
    allow_private : bool
        Allow addresses that are not public.
    allow_networks : tuple of str
        Networks (``"10.1.0.0/16"``) that are allowed although they are not public.
    respect_noai : bool
        Reject images that are served with ``X-Robots-Tag: noai`` or ``noimageai``.
    user_agent : str
        The ``User-Agent`` header.
    placeholders : tuple of str
        SHA-256, in hexadecimal, of further bodies that hosts send in place of a missing image. Flickr's is built in.
    resize : int, optional
        Shorter side, in pixels, of the JPEG to keep; smaller images keep their size. None keeps the bytes unchanged.
    quality : int
        JPEG quality, 1 to 100, where `resize` is given.
    processes : int, optional
        Processes that check and resize; 0 uses threads. None: threads, or with `resize` one process per core.
    output : {"files", "packed"}
        One file per image, or packed Parquet shards.
    list_format : {"auto", "list", "csv", "parquet"}
        Format of the list; ``auto`` decides by the suffix of its name.
    url_column : str
        Column of the URLs, in CSV and Parquet.
    unit_bytes : int
        Bytes of the list in one unit, which becomes one part of the log and one packed shard.
    """

    concurrency: int = 256
    per_host: int = 32
    rate: float | None = None
    retries: int = 2
    backoff: float = 0.5
    max_wait: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 120.0
    max_bytes: int = 50 * MIB
    max_pixels: int = 100_000_000
    max_redirects: int = 5
    allow_private: bool = False
    allow_networks: tuple[str, ...] = ()
    respect_noai: bool = False
    user_agent: str = f"mlimages/{__version__}"
    placeholders: tuple[str, ...] = ()
    resize: int | None = None
    quality: int = 90
    processes: int | None = None
    output: Literal["files", "packed"] = "files"
    list_format: Literal["auto", "list", "csv", "parquet"] = "auto"
    url_column: str = "url"
    unit_bytes: int = MIB

    def __post_init__(self) -> None:
        for name in ("concurrency", "per_host", "max_bytes", "max_pixels", "unit_bytes"):
            self._at_least(name, 1)
        for name in ("retries", "backoff", "max_wait", "max_redirects"):
            self._at_least(name, 0)
        for name in ("connect_timeout", "read_timeout", "total_timeout"):
            if getattr(self, name) <= 0:
                raise _bad(name, getattr(self, name), "a number of seconds above 0")
        if self.rate is not None and self.rate <= 0:
            raise _bad("rate", self.rate, "a number of requests a second above 0")
        if self.resize is not None:
            self._at_least("resize", 1)
        if self.processes is not None:
            self._at_least("processes", 0)
        if not 1 <= self.quality <= 100:
            raise _bad("quality", self.quality, "1 to 100")
        for name, allowed in (("output", ("files", "packed")), ("list_format", ("auto", "list", "csv", "parquet"))):
            if getattr(self, name) not in allowed:
                raise _bad(name, getattr(self, name), "one of " + ", ".join(allowed))
        for network in self.allow_networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise _bad("allow_networks", network, "a network such as 10.1.0.0/16") from None
        for digest in self.placeholders:
            if not _SHA256.fullmatch(digest):
                raise _bad("placeholders", digest, "a SHA-256 in 64 lower-case hexadecimal digits")

    def _at_least(self, name: str, least: int) -> None:
        if getattr(self, name) < least:
            raise _bad(name, getattr(self, name), f"{least} or more")

    def shared_by(self, workers: int) -> DownloadOptions:
        """The options of one of several workers, such that the limits on requests hold for all together."""
        share = {
            "concurrency": max(1, self.concurrency // workers),
            "per_host": max(1, self.per_host // workers),
            "rate": None if self.rate is None else self.rate / workers,
        }
        return DownloadOptions(**{**self.as_dict(), **share})

    def as_dict(self) -> dict[str, Any]:
        """The options by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _bad(name: str, found: object, expected: str) -> MlimagesError:
    return MlimagesError(f"{name.replace('_', '-')}: found {found!r}, expected {expected}")
