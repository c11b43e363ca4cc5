"""Fetching the body of a URL: bounded in time and size, with retries, from allowed addresses only."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import errno
import itertools
import logging
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from mlimages.errors import import_extra
from mlimages.images.downloading.gate import Gate, PrivateAddressError
from mlimages.images.downloading.hosts import Hosts
from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.reason import Failure, Reason

if TYPE_CHECKING:
    import aiohttp
    import yarl

Body = bytes | Path
Result = TypeVar("Result")

_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}
_NO_FILES_LEFT = {errno.EMFILE, errno.ENFILE}
_SPOOL = 1 << 20  # bytes; a larger body is written to a file, so that memory stays bounded
_CHUNK = 1 << 16
_FLICKR_MISSING = re.compile(r"/photo_unavailable[^/]*$")  # Flickr redirects there for an image that is gone


class Fetcher:
    """Fetches URLs over one session. An asynchronous context manager.

    Bodies of more than 1 MiB are written to `folder` as they arrive.
    """

    def __init__(self, options: DownloadOptions, *, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._gate = Gate(allow_private=options.allow_private, allow_networks=options.allow_networks)
        self._hosts = Hosts(concurrency=options.concurrency, per_host=options.per_host, rate=options.rate)
        self._http: Any = import_extra("aiohttp", extra="images")
        self._stamina: Any = import_extra("stamina", extra="images")
        logging.getLogger("stamina").addHandler(logging.NullHandler())  # otherwise each retry prints a line to stderr
        self._count = itertools.count()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Fetcher:
        http, options = self._http, self._options
        self._session = http.ClientSession(
            connector=http.TCPConnector(limit=0, ttl_dns_cache=300, socket_factory=self._gate.socket),
            timeout=http.ClientTimeout(
                total=None, sock_connect=options.connect_timeout, sock_read=options.read_timeout
            ),
            headers={"User-Agent": options.user_agent, "Accept": "image/*,*/*;q=0.1", "Accept-Encoding": "identity"},
            cookie_jar=http.DummyCookieJar(),
            auto_decompress=False,  # do not expand decompression bombs
            trust_env=False,  # a proxy could connect to addresses that the gate forbids
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(self, url: str, use: Callable[[Body], Awaitable[Result]]) -> Result:
        """Fetch a URL and return the result of `use` for its body.

        Parameters
        ----------
        url : str
            Any text.
        use : callable
            Awaited with the body: bytes, or the path of a temporary file that it may move. The request still counts
            as under way meanwhile, which bounds the number of bodies that wait.

        Raises
        ------
        Failure
            With the reason, where there is no body.
        """
        options = self._options
        attempts = self._stamina.retry_context(
            on=_again,
            attempts=options.retries + 1,
            timeout=None,
            wait_initial=options.backoff,
            wait_max=options.max_wait,
            wait_jitter=options.backoff,
        )
        async for attempt in attempts:
            with attempt:
                return await self._attempt(url, use)
        raise AssertionError("retry_context ends by return or by the last failure")

    async def _attempt(self, text: str, use: Callable[[Body], Awaitable[Result]]) -> Result:
        loop = asyncio.get_running_loop()
        left = self._options.total_timeout
        url = self._gate.url(text)
        for _ in range(self._options.max_redirects + 1):
            host = str(url.raw_host)
            async with self._hosts.turn(host):
                begin = loop.time()
                try:
                    async with asyncio.timeout(max(left, 0.0)):
                        answer = await self._request(url)
                except Failure as failure:
                    if failure.wait is not None:
                        self._hosts.pause(host, min(failure.wait, self._options.max_wait))
                    raise
                except TimeoutError:
                    raise Failure(Reason.TOTAL_TIMEOUT) from None
                if isinstance(answer, bytes):
                    return await use(answer)
                if isinstance(answer, Path):
                    try:
                        return await use(answer)
                    finally:
                        answer.unlink(missing_ok=True)
            left -= loop.time() - begin
            url = answer
        raise Failure(Reason.TOO_MANY_REDIRECTS)

    async def _request(self, url: yarl.URL) -> Body | yarl.URL:
        """Send one request; return the body, or the target of a redirect."""
        http = self._http
        status: int | None = None
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                status = response.status
                if response.status in _REDIRECTS and "Location" in response.headers:
                    target = self._gate.url(response.headers["Location"], url)
                    if _FLICKR_MISSING.search(target.path):
                        raise Failure(Reason.PLACEHOLDER, http_code=response.status)
                    return target
                return await self._answer(response)
        except http.ConnectionTimeoutError as error:
            raise Failure(Reason.CONNECT_TIMEOUT, retry=True) from error
        except http.SocketTimeoutError as error:
            raise Failure(Reason.READ_TIMEOUT, http_code=status, retry=True) from error
        except http.ClientPayloadError as error:
            raise Failure(Reason.INCOMPLETE_BODY, http_code=status, retry=True) from error
        except http.InvalidURL as error:
            raise Failure(Reason.BAD_URL) from error
        except http.ClientSSLError as error:
            raise Failure(Reason.TLS) from error
        except http.ClientConnectorDNSError as error:
            raise Failure(Reason.DNS, retry=error.os_error.errno == socket.EAI_AGAIN) from error
        except http.ClientConnectorError as error:
            raise _not_connected(error.os_error) from error
        except http.ClientResponseError as error:
            raise Failure(Reason.BAD_RESPONSE, http_code=status) from error
        except http.ClientError as error:  # reset, closed before an answer
            raise Failure(Reason.CONNECTION, http_code=status, retry=True) from error
        except (ValueError, ssl.SSLError) as error:  # a host that IDNA cannot encode; a broken record
            raise Failure(Reason.BAD_URL if isinstance(error, UnicodeError) else Reason.TLS) from error

    async def _answer(self, response: aiohttp.ClientResponse) -> Body:
        status = response.status
        if status != 200:
            wait = _retry_after(response.headers.get("Retry-After"))
            retry = status in _MAY_PASS and (wait is None or wait <= self._options.max_wait)
            raise Failure(f"http_{status}", http_code=status, retry=retry, wait=wait if status in _MAY_PASS else None)
        if self._options.respect_noai and forbids_training(response.headers.getall("X-Robots-Tag", ())):
            raise Failure(Reason.NOAI, http_code=status)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Failure(Reason.CONTENT_ENCODING, http_code=status)
        if (response.content_length or 0) > self._options.max_bytes:
            raise Failure(Reason.TOO_LARGE, http_code=status)
        return await self._body(response)

    async def _body(self, response: aiohttp.ClientResponse) -> Body:
        """Read a body into memory or, where it is large, into a temporary file."""
        head = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            head += chunk
            if len(head) > min(_SPOOL, self._options.max_bytes):
                return await self._spool(response, head)
        if not head:
            raise Failure(Reason.EMPTY_BODY, http_code=200)
        return bytes(head)

    async def _spool(self, response: aiohttp.ClientResponse, head: bytearray) -> Path:
        size = len(head)
        path = self._folder / f"body-{os.getpid()}-{next(self._count)}"
        with path.open("xb") as file:
            try:
                file.write(head)
                async for chunk in response.content.iter_chunked(_CHUNK):
                    size += len(chunk)
                    if size > self._options.max_bytes:
                        raise Failure(Reason.TOO_LARGE, http_code=200)
                    file.write(chunk)
                if size > self._options.max_bytes:
                    raise Failure(Reason.TOO_LARGE, http_code=200)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return path


def _again(error: Exception) -> bool | float:
    """Whether to retry, or the seconds to wait where the server stated them: the ``on`` hook of stamina."""
    if not isinstance(error, Failure) or not error.retry:
        return False
    return True if error.wait is None else error.wait


def _not_connected(error: OSError) -> Failure:
    if isinstance(error, PrivateAddressError):
        return Failure(Reason.PRIVATE_ADDRESS)
    if error.errno in _NO_FILES_LEFT:  # a local limit: every further request would fail as well
        raise OSError(error.errno, "too many open files: lower --concurrency, or raise `ulimit -n`") from error
    return Failure(Reason.CONNECTION, retry=True)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, which is a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=datetime.UTC)
    return max(0.0, (until - datetime.datetime.now(datetime.UTC)).total_seconds())


def forbids_training(headers: Iterable[str]) -> bool:
    """Whether ``X-Robots-Tag`` headers forbid training on an image.

    A directive may be limited to one robot; those for robots other than ``mlimages`` are ignored.

    Examples
    --------
    >>> forbids_training(["noindex, NoAI"]), forbids_training(["otherbot: noai"]), forbids_training(["all"])
    (True, False, False)
    """
    for header in headers:
        robot, colon, rest = header.partition(":")
        if colon and robot.strip().lower() not in {"mlimages", "unavailable_after"}:
            continue
        directives = (rest if colon else header).lower().split(",")
        if any(directive.strip() in {"noai", "noimageai"} for directive in directives):
            return True
    return False
