"""Limits per host: concurrent requests, requests per second, and pauses that the host asked for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mlimages.errors import import_extra

_REMEMBERED = 16_384  # hosts; beyond it the least recently used idle ones are dropped


class _Host:
    __slots__ = ("limiter", "resume_at", "slots", "users")

    def __init__(self, per_host: int, rate: float | None) -> None:
        self.slots = asyncio.Semaphore(per_host)
        self.users = 0
        self.resume_at = 0.0  # of the loop's clock
        self.limiter = None
        if rate is not None:
            limiter = import_extra("aiolimiter", extra="images").AsyncLimiter
            self.limiter = limiter(rate, 1.0) if rate >= 1 else limiter(1.0, 1.0 / rate)


class Hosts:
    """Admits requests within the limits `concurrency`, `per_host` and `rate` of
    :class:`~mlimages.images.downloading.options.DownloadOptions`.
    """

    def __init__(self, *, concurrency: int, per_host: int, rate: float | None) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._per_host = per_host
        self._rate = rate
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait until a request to the host `name` is admitted, and count it as under way within the context.

        While a request waits for its host it takes no slot that a request to another host could use.
        """
        host = self._host(name)
        host.users += 1
        try:
            async with host.slots:
                while (wait := host.resume_at - asyncio.get_running_loop().time()) > 0:
                    await asyncio.sleep(wait)
                if host.limiter is not None:
                    await host.limiter.acquire()
                async with self._slots:
                    yield
        finally:
            host.users -= 1

    def pause(self, name: str, seconds: float) -> None:
        """Admit no further request to the host `name` for the given number of seconds."""
        host = self._host(name)
        host.resume_at = max(host.resume_at, asyncio.get_running_loop().time() + seconds)

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            self._forget()
            host = self._hosts[name] = _Host(self._per_host, self._rate)
        self._hosts.move_to_end(name)
        return host

    def _forget(self) -> None:
        while len(self._hosts) >= _REMEMBERED:
            name, oldest = self._hosts.popitem(last=False)
            if oldest.users:  # in use: keep it, as the most recent
                self._hosts[name] = oldest
                return
