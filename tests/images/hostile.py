"""A web server on the loopback address that misbehaves in every way the downloader must survive.

Paths say what to do: ``/good/3.png`` is a picture, ``/hang/...`` sends headers and then nothing, and so on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import signal
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from PIL import Image


def picture(number: int = 0, *, kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> bytes:
    """A small picture, another one for each number."""
    colour = tuple(hashlib.sha256(b"%d" % number).digest()[: len(Image.new(mode, (1, 1)).getbands())])
    out = io.BytesIO()
    Image.new(mode, size, colour if len(colour) > 1 else colour[0]).save(out, kind)
    return out.getvalue()


def animation() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few hundred bytes (its rows end early, but its header is honest)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def noise(side: int = 900) -> bytes:
    """A PNG of more than 1 MiB, so that it is spooled to disk."""
    rows = b"".join(hashlib.shake_256(b"%d" % row).digest(3 * side) for row in range(side))
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), rows).save(out, "PNG", compress_level=0)
    return out.getvalue()


PLACEHOLDER = picture(404, kind="PNG", size=(40, 30))


@dataclass
class HostileServer:
    """A running server; `seen` counts requests by path, `together` is the largest number under way at once."""

    port: int
    latency: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    under_way: int = 0
    together: int = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (head := await reader.readuntil(b"\r\n\r\n")) and await self.answer(head, writer):
                await writer.drain()
        writer.close()

    async def answer(self, head: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open."""
        path = unquote(head.split(b" ")[1].decode("ascii"))
        self.seen[path] += 1
        self.times.append(time.monotonic())
        self.under_way += 1
        self.together = max(self.together, self.under_way)
        try:
            await asyncio.sleep(self.latency)
            return await self.act(path, writer)
        finally:
            self.under_way -= 1

    async def act(self, path: str, writer: asyncio.StreamWriter) -> bool:
        word = path.split("/")[1]
        number = int("".join(filter(str.isdigit, path[-12:])) or 0)
        first = self.seen[path] == 1
        match word:
            case "good" | "names" | "etc":  # clients resolve the ".." of a path
                send(writer, picture(number))
            case "png":
                send(writer, picture(number, kind="PNG"))
            case "large":
                send(writer, noise())
            case "cmyk":
                send(writer, picture(number, mode="CMYK"))
            case "lying-type":
                send(writer, picture(number), kind="text/html")
            case "hang":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(60)
            case "mute":
                await asyncio.sleep(60)
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n")
                for _ in range(60):
                    writer.write(b"\xff")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            case "endless":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + picture(number))
                while True:
                    writer.write(bytes(1 << 16))
                    await writer.drain()
            case "huge-length":
                send(writer, b"\xff\xd8", length=10**12)
            case "more-than-sent":
                send(writer, picture(number), length=100_000)
                return False
            case "less-than-sent":
                send(writer, picture(number), length=300)
                return False
            case "half":
                data = picture(number)
                send(writer, data[: len(data) // 2], length=len(data))
                return False
            case "slam":
                return False
            case "garbage":
                writer.write(b"\x00\x01garbage\r\n\r\n")
                return False
            case "endless-headers":
                writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
                return False
            case "busy":
                if first:
                    send(writer, b"", status="429 Too Many Requests", headers=["Retry-After: 1"])
                else:
                    send(writer, picture(number))
            case "busy-for-a-day":
                send(writer, b"", status="429 Too Many Requests", headers=["Retry-After: 86400"])
            case "down-twice":
                if self.seen[path] <= 2:
                    send(writer, b"", status="503 Service Unavailable")
                else:
                    send(writer, picture(number))
            case "down":
                send(writer, b"", status="503 Service Unavailable")
            case "heals":  # once, and for good
                if first:
                    send(writer, b"", status="404 Not Found")
                else:
                    send(writer, picture(number))
            case "loop":
                send(writer, b"", status="302 Found", headers=[f"Location: /loop/{number + 1}"])
            case "to-good":
                send(writer, b"", status="301 Moved Permanently", headers=[f"Location: ../good/{number}"])
            case "to":
                send(writer, b"", status="302 Found", headers=[f"Location: {path.removeprefix('/to/')}"])
            case "html":
                send(writer, b"<!DOCTYPE html><html><body>Not here any more</body></html>")
            case "truncated":
                send(writer, picture(number, size=(200, 200))[:-400])
            case "bomb":
                send(writer, bomb(), kind="image/png")
            case "gzip":
                send(writer, picture(number), headers=["Content-Encoding: gzip"])
            case "animated":
                send(writer, animation(), kind="image/webp")
            case "empty":
                send(writer, b"")
            case "placeholder":
                send(writer, PLACEHOLDER, kind="image/png")
            case "noai":
                send(writer, picture(number), headers=["X-Robots-Tag: noai, noimageai"])
            case _:
                send(writer, b"no such thing", status="404 Not Found", kind="text/plain")
        return True


def send(
    writer: asyncio.StreamWriter,
    body: bytes,
    *,
    status: str = "200 OK",
    kind: str = "image/jpeg",
    length: int | None = None,
    headers: list[str] | None = None,
) -> None:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    writer.write("\r\n".join([*lines, *(headers or []), "", ""]).encode() + body)


@contextlib.contextmanager
def hostile_server(*, latency: float = 0.0) -> Iterator[HostileServer]:
    """Run the server in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = HostileServer(0, latency)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(server.handle, "127.0.0.1", 0, limit=1 << 20, backlog=1024)

    listening = asyncio.run_coroutine_threadsafe(start(), loop).result()
    server.port = listening.sockets[0].getsockname()[1]

    async def stop() -> None:
        listening.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


def crash_on_marked(body: bytes, stem: str, **_: object) -> int:
    """Stands in for a decoder with a fault: one picture kills the process that looks at it."""
    if body == b"killer":
        os.kill(os.getpid(), signal.SIGKILL)
    return len(body)
