"""Reasons why a URL yielded no image: the values of the log's ``reason`` column."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reasons, besides ``http_404`` and the like for a status other than 200."""

    BAD_URL = "bad_url"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    PRIVATE_ADDRESS = "private_address"
    DNS = "dns"
    CONNECTION = "connection"
    TLS = "tls"
    CONNECT_TIMEOUT = "connect_timeout"
    READ_TIMEOUT = "read_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BAD_RESPONSE = "bad_response"  # not HTTP, or oversized headers
    CONTENT_ENCODING = "content_encoding"  # compressed, although identity was requested
    NOAI = "noai"
    TOO_LARGE = "too_large"
    INCOMPLETE_BODY = "incomplete_body"  # fewer bytes than announced
    EMPTY_BODY = "empty_body"
    PLACEHOLDER = "placeholder"  # what the host sends in place of a missing image
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"  # has an image's header, but cannot be decoded
    TOO_MANY_PIXELS = "too_many_pixels"
    ANIMATED = "animated"
    DECODER_CRASHED = "decoder_crashed"


class Failure(Exception):  # noqa: N818 - an outcome for the log, not an error that reaches a caller
    """One attempt at a URL yielded no image: by a :class:`Reason`, or ``http_`` and a status.

    `http_code` is the status of the response, where there was one; `retry` says whether a further attempt may succeed,
    and `wait` after how many seconds, where the server stated them.
    """

    def __init__(
        self, reason: str, *, http_code: int | None = None, retry: bool = False, wait: float | None = None
    ) -> None:
        self.reason = str(reason)
        self.http_code = http_code
        self.retry = retry
        self.wait = wait
        super().__init__(self.reason)
