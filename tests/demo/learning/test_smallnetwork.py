"""The trainings of the demo: the curve out of a log, and processes that outlive nobody."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from mlimages.demo.learning.smallnetwork import curve


def test_curve_is_the_mean_of_each_quarter_of_an_epoch(tmp_path: Path) -> None:
    losses = {5: 8.0, 10: 6.0, 15: 5.0, 20: 4.0, 25: 3.0, 30: 2.5, 35: 2.0, 40: 1.0}
    lines = [f"{step},0,{step * 16},0,{loss},0.1,99" for step, loss in losses.items()]
    (tmp_path / "log.csv").write_text(
        "\n".join(["step,epoch,images,broken,loss,learning_rate,images_per_second", *lines, ""])
    )
    assert curve(tmp_path / "log.csv", steps_an_epoch=40) == ((0.25, 7.0), (0.5, 4.5), (0.75, 2.75), (1.0, 1.5))


_PARENT = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from mlimages.demo.learning.smallnetwork import _begin

if __name__ == "__main__":
    spawning = get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=spawning, initializer=_begin, initargs=(spawning.Event(),))
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the end of somebody else's child is seen on Linux alone")
def test_training_process_ends_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(_PARENT)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            watched = os.pidfd_open(child)
        except ProcessLookupError:
            return  # it ended already
        try:
            assert select.select([watched], [], [], 30)[0], "the process goes on without its parent"
        finally:
            os.close(watched)
