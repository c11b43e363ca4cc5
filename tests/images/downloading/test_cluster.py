from pathlib import Path

import pytest
from hostile import HostileServer

from mlimages.images import download
from tests.images.downloading.test_download import MIXED, options, state, write_list

pytest.importorskip("ray")


@pytest.mark.filterwarnings("ignore")
def test_download_on_ray_gives_what_the_local_engine_gives(server: HostileServer, tmp_path: Path) -> None:
    paths = [MIXED[number % len(MIXED)].format(number) for number in range(120)]
    urls = write_list(tmp_path / "l.txt", server, paths)
    both = options(unit_bytes=1000, output="packed")
    local = download(urls, tmp_path / "local", options=both)
    distributed = download(urls, tmp_path / "ray", options=both, engine="ray", workers=2)
    assert (distributed.done, distributed.reasons) == (local.done, local.reasons)
    assert state(tmp_path / "ray") == state(tmp_path / "local")
