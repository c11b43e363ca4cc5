"""Images downloaded a second: ours, the original script's way, and img2dataset, from a server on the loopback address.

    python benchmarks/download.py --img2dataset ENV/bin/python

The server runs in a process of its own and answers after a given latency. Each contender runs in a process of its own
too, and times the download alone, without its imports: by the clock and, as a busy machine blurs that, in processor
time. "The original" is the published script's way: eight threads that call ``urllib.request.urlretrieve`` and look at
nothing. Ours decodes every image, hashes it and logs it; img2dataset is told to do the same (``resize_mode="no"``,
``skip_reencode``: decode, keep the bytes; SHA-256). It needs an environment of its own, since it pins pandas below 3::

    python -m venv ENV && ENV/bin/pip install img2dataset==1.47
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve()
CONNECTIONS = 256  # of ours and of img2dataset

CPU = """
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
def cpu():
    return sum(sum(getrusage(who)[:2]) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
"""

OURS = """
import sys, time
import PIL.JpegImagePlugin, aiohttp, filelock, stamina  # which ours imports where it uses them
from mlimages.images import DownloadOptions, download
options = DownloadOptions(allow_private=True, concurrency={connections}, per_host={connections})
begin, used = time.perf_counter(), cpu()
final = download(sys.argv[1], sys.argv[2], options=options)
print(final.success, time.perf_counter() - begin, cpu() - used)
"""

ORIGINAL = """
import os, sys, threading, time, urllib.request
done = []
def run(lines):
    for line in lines:
        url = line.rstrip("\\n").split("\\t")[0]
        parts = url.split("/")
        urllib.request.urlretrieve(url, os.path.join(sys.argv[2], parts[-2] + "_" + parts[-1]))
        done.append(url)
begin, used = time.perf_counter(), cpu()
os.makedirs(sys.argv[2])
lines = open(sys.argv[1]).readlines()
size = -(-len(lines) // 8)
threads = [threading.Thread(target=run, args=(lines[i:i + size],)) for i in range(0, len(lines), size)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(done), time.perf_counter() - begin, cpu() - used)
"""

IMG2DATASET = """
import glob, os, sys, time
def main():
    from img2dataset import download
    begin, used = time.perf_counter(), cpu()
    download(url_list=sys.argv[1], output_folder=sys.argv[2], output_format="files", resize_mode="no",
             skip_reencode=True, extract_exif=False, compute_hash="sha256", thread_count={connections},
             processes_count={processes}, number_sample_per_shard={shard}, enable_wandb=False, timeout=30)
    seconds, used = time.perf_counter() - begin, cpu() - used
    print(len(glob.glob(sys.argv[2] + "/*/*.jpg")), seconds, used)
if __name__ == "__main__":
    main()
"""


def pictures(count: int) -> list[bytes]:
    """Generate distinct JPEGs of 128 x 128 pixels, about 5 kB each."""
    from PIL import Image

    chance = random.Random(0)
    found = []
    for _ in range(count):
        out = io.BytesIO()
        coarse = Image.frombytes("RGB", (24, 24), chance.randbytes(24 * 24 * 3))
        coarse.resize((128, 128), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
        found.append(out.getvalue())
    return found


class Answers(asyncio.Protocol):
    """A minimal HTTP server with keep-alive."""

    def __init__(self, latency: float, answers: list[bytes]) -> None:
        self.latency, self.answers, self.data = latency, answers, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request, after the latency."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head, self.data = self.data[:end], self.data[end + 4 :]
            number = int(head.split(b" ", 2)[1].rpartition(b"/")[2].partition(b".")[0])
            asyncio.get_running_loop().call_later(
                self.latency, self.send, self.answers[number % len(self.answers)], b"connection: close" in head.lower()
            )

    def send(self, answer: bytes, close: bool) -> None:
        """Send an answer."""
        self.transport.write(answer)
        if close:
            self.transport.close()


def serve(latency: float) -> None:
    """Run the server; print its port."""
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for body in pictures(200)
    ]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answers(latency, answers), "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())


@contextlib.contextmanager
def running(latency: float) -> Iterator[int]:
    """Run the server in its own process; yields its port."""
    with subprocess.Popen([sys.executable, HERE, "--serve", str(latency)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


def rate(python: str, script: str, source: Path, out: Path, images: int) -> tuple[float, float]:
    """Images per second, and per CPU second, of one tool in a separate process."""
    env = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONPATH": str(HERE.parent.parent)}
    if python != sys.executable:
        env.pop("PYTHONPATH")
    script_path = out.with_suffix(".py")
    script_path.write_text(CPU + script)
    run = subprocess.run([python, script_path, source, out], env=env, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    found, seconds, used = run.stdout.split()[-3:]
    if int(found) != images:
        raise SystemExit(f"{found} of {images} images arrived:\n{run.stdout}{run.stderr}")
    return images / float(seconds), images / float(used)


def main() -> None:
    """Run all tools and print their rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--latency", type=float, nargs="+", default=[0, 20, 100], help="milliseconds")
    parser.add_argument("--img2dataset", metavar="PYTHON", help="interpreter of the environment that has it")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.serve)
        return
    contenders = {
        "original, 8 threads": (sys.executable, ORIGINAL),
        "mlimages": (sys.executable, OURS.format(connections=CONNECTIONS)),
    }
    if args.img2dataset:
        for processes in (1, 2):
            shard = -(-args.images // processes)
            script = IMG2DATASET.format(connections=CONNECTIONS // processes, processes=processes, shard=shard)
            contenders[f"img2dataset, {processes} process{'es' * (processes > 1)}"] = (args.img2dataset, script)
    for latency in args.latency:
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        with running(latency / 1000) as port, tempfile.TemporaryDirectory() as folder:
            for turn in range(args.repeat):
                for number, (name, (python, script)) in enumerate(contenders.items()):
                    tag = f"{turn}-{number}"
                    source = Path(folder) / f"{tag}.txt"
                    source.write_text("".join(f"http://127.0.0.1:{port}/a/{i}.jpg\n" for i in range(args.images)))
                    rates[name].append(rate(python, script, source, Path(folder) / tag, args.images))
        ours = [statistics.median(column) for column in zip(*rates["mlimages"], strict=True)]
        print(f"{args.images:,} images, {latency:g} ms of latency, median of {args.repeat}")
        for name, found in rates.items():
            by_clock, by_cpu = zip(*found, strict=True)
            middle, middle_cpu = statistics.median(by_clock), statistics.median(by_cpu)
            print(
                f"  {name:24} {middle:7,.0f} images/s ({min(by_clock):,.0f} to {max(by_clock):,.0f}): "
                f"mlimages is {ours[0] / middle:.2f} times as fast; "
                f"{middle_cpu:7,.0f} images a CPU second: {ours[1] / middle_cpu:.2f} times",
                flush=True,
            )


if __name__ == "__main__":
    main()
