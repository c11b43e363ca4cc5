"""The curve of a training, out of its log."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from mlimages.demo.smallnetwork import curve


def test_curve_is_the_mean_of_each_quarter_of_an_epoch(tmp_path: Path) -> None:
    losses = {5: 8.0, 10: 6.0, 15: 5.0, 20: 4.0, 25: 3.0, 30: 2.5, 35: 2.0, 40: 1.0}
    lines = [f"{step},0,{step * 16},0,{loss},0.1,99" for step, loss in losses.items()]
    (tmp_path / "log.csv").write_text(
        "\n".join(["step,epoch,images,broken,loss,learning_rate,images_per_second", *lines, ""])
    )
    assert curve(tmp_path / "log.csv", steps_an_epoch=40) == ((0.25, 7.0), (0.5, 4.5), (0.75, 2.75), (1.0, 1.5))
