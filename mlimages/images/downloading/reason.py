"""Why a URL brought no picture: the words of the log's ``reason`` column."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reasons, beside ``http_404`` and its like for a status other than 200."""

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
    BAD_RESPONSE = "bad_response"  # not HTTP, or headers beyond all measure
    CONTENT_ENCODING = "content_encoding"  # compressed, though we ask for it as it is
    NOAI = "noai"
    TOO_LARGE = "too_large"
    INCOMPLETE_BODY = "incomplete_body"  # fewer bytes than announced
    EMPTY_BODY = "empty_body"
    PLACEHOLDER = "placeholder"  # the host's own picture for a missing one
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"  # begins as an image, and does not decode
    TOO_MANY_PIXELS = "too_many_pixels"
    ANIMATED = "animated"
    DECODER_CRASHED = "decoder_crashed"


class Failure(Exception):  # noqa: N818 - it is an outcome that goes into the log, not an error that reaches anybody
    """One attempt at a URL brought no picture.

    Parameters
    ----------
    reason : str
        A :class:`Reason`, or ``http_`` and a status.
    http_code : int, optional
        Status of the answer, where there was one.
    retry : bool
        Whether a further attempt may do better.
    wait : float, optional
        Seconds to wait before it, where the server said.
    """

    def __init__(
        self, reason: str, *, http_code: int | None = None, retry: bool = False, wait: float | None = None
    ) -> None:
        self.reason = str(reason)
        self.http_code = http_code
        self.retry = retry
        self.wait = wait
        super().__init__(self.reason)
