import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import hostile
import pytest

from mlimages.images import DownloadOptions
from mlimages.images.downloading.decoder import Decoder

ROOT = Path(__file__).parents[3]


def test_decoder_survives_a_picture_that_kills_its_process(tmp_path: Path) -> None:
    async def main() -> list[object]:
        with Decoder(DownloadOptions(processes=1), partial=tmp_path) as decoder:
            decoder._keep = hostile.crash_on_marked
            bodies = [b"a", b"killer", b"bb", b"killer", b"ccc"]
            verdicts = await asyncio.gather(*(decoder.keep(body, "ab/x", tmp_path) for body in bodies))
            return [getattr(one, "reason", one) for one in [*verdicts, await decoder.keep(b"dddd", "ab/x", tmp_path)]]

    assert asyncio.run(main()) == [1, "decoder_crashed", 2, "decoder_crashed", 3, 4]


@pytest.mark.parametrize("body", [hostile.picture(1), hostile.noise(600)])
def test_decoder_in_threads_keeps_small_and_large_pictures(tmp_path: Path, body: bytes) -> None:
    async def main() -> object:
        with Decoder(DownloadOptions(), partial=tmp_path) as decoder:
            return await decoder.keep(body, "ab/x", tmp_path)

    assert asyncio.run(main()).bytes == len(body)


def test_decoder_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, pathlib, sys, time\n"
        "from mlimages.images import DownloadOptions\n"
        "from mlimages.images.downloading.decoder import Decoder\n"
        "async def main():\n"
        "    path = pathlib.Path(sys.argv[1])\n"
        "    with Decoder(DownloadOptions(processes=1), partial=path) as decoder:\n"
        "        await decoder.keep(b'none', 'ab/x', path)\n"
        "        print(*decoder._pool._processes, flush=True)\n"
        "        time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script, tmp_path], env=environment, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        run.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists()
