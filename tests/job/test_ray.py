from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlimages import Hierarchy
from mlimages.annotate import Cooccurrence, export, statistics
from mlimages.annotate.cooccurrence.paircounter import CountingSizes
from mlimages.annotate.pipeline import annotate
from mlimages.errors import FormatError, MissingExtraError
from mlimages.job.ray import run_on_ray, until_first_error
from mlimages.job.task import Calls
from tests.job.kinds import KINDS, OTHERS, ZOO, content, make_inputs

# Ray warns of its own deprecated settings, and leaves files of its processes to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """One Ray of two CPUs for all tests."""
    module = pytest.importorskip("ray")
    module.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    module.shutdown()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "inputs"
    make_inputs(folder)
    return folder


#: A download needs a server: tests/images/downloading/test_cluster.py.
RUNS = {name: kind.run for name, kind in KINDS.items() if name != "download"} | OTHERS


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize("name", RUNS)
def test_ray_makes_the_parts_of_the_local_engine(
    name: str, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if name == "predictions":
        pytest.importorskip("torch")
    RUNS[name](inputs, tmp_path / "local", workers=1)
    # each worker is a process that loads everything: two are enough once
    RUNS[name](inputs, tmp_path / "ray", workers=2 if name == "list" else 1, engine="ray")
    assert content(tmp_path / "ray") == content(tmp_path / "local")
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("ray")
def test_the_first_bad_row_is_told_through_ray_and_paths_may_be_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        text = "a.jpg\t1:1\n" * 10 + ("bad\n" if number in (1, 3) else "")
        (tmp_path / f"{number}.txt").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError, match=r"1\.txt:11: found no tab in 'bad'"):
        annotate("[0-9].txt", ZOO, out="bad", engine="ray", workers=2)
    assert not (tmp_path / "bad").exists()


@pytest.mark.usefixtures("ray")
def test_statistics_are_counted_by_ray(inputs: Path) -> None:
    here = statistics(inputs / "table", workers=1)
    there = statistics(inputs / "table", engine="ray", workers=2)
    assert there.images == 1200
    pd.testing.assert_frame_equal(there.per_category, here.per_category)
    np.testing.assert_array_equal(there.histogram, here.histogram)


@pytest.mark.usefixtures("ray")
def test_pairs_are_counted_by_ray(inputs: Path) -> None:
    names = [f"image{i:04d}.jpg" for i in range(1200)]
    names[700], names[701] = names[701], names[700]  # from there on a unit is joined by name
    seen = {"image": names, "labels": [[i % 10] for i in range(1200)], "scores": [[1.0]] * 1200}
    options = {"hierarchy": ZOO, "sizes": CountingSizes(unit_rows=100)}
    told: list[tuple[int, int]] = []
    here = Cooccurrence.count(inputs / "table", pa.table(seen), **options)
    there = Cooccurrence.count(
        inputs / "table",
        pa.table(seen),
        **options,
        engine="ray",
        workers=2,
        progress=lambda rows, all_rows: told.append((rows, all_rows)),
    )
    assert there == here
    assert there.total == 1200
    assert told[-1] == (1200, 1200)


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize("name", ["out.txt", "out.csv.gz"])
def test_an_export_by_ray_has_the_same_bytes_in_the_same_order(name: str, zoo: Hierarchy, tmp_path: Path) -> None:
    rows = pa.table({"image": [f"{i}.jpg" for i in range(20_000)], "labels": [[i % 10] for i in range(20_000)]})
    table = annotate(rows, zoo, out=tmp_path / "table")
    for engine in ("local", "ray"):
        (tmp_path / engine).mkdir()
        exported = export(table, tmp_path / engine / name, engine=engine, piece_rows=7000, workers=2)
        assert (exported.images, exported.left_out) == (20_000, 0)
    assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


@pytest.mark.usefixtures("ray")
def test_results_come_in_the_order_of_the_tasks_where_they_must() -> None:
    work = Calls(_slow_first)
    assert list(run_on_ray(work, range(6), 2, in_order=True)) == list(range(6))


def _slow_first(number: int) -> int:
    time.sleep(0.5 if number == 0 else 0)
    return number


def test_the_first_error_is_that_of_the_lowest_number_in_whatever_order_they_come() -> None:
    arriving = [(5, ValueError("of 5")), (0, "part 0"), (3, ValueError("of 3")), (4, "part 4"), (2, "part 2")]

    def results() -> Iterator[tuple[int, object]]:
        yield from arriving
        yield 1, "part 1"
        pytest.fail("waited for what comes after the error")

    found = until_first_error(results(), range(8))
    assert [next(found) for _ in range(4)] == ["part 0", "part 4", "part 2", "part 1"]
    with pytest.raises(ValueError, match="of 3"):
        next(found)
    assert list(until_first_error([(1, "b"), (0, "a")], [0, 1])) == ["b", "a"]


def test_without_ray_its_extra_is_named(zoo: Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    path = tmp_path / "list.txt"
    path.write_text("a.jpg\t1\n")
    with pytest.raises(MissingExtraError, match=r'ray is not installed: run pip install "mlimages\[ray\]"'):
        annotate(path, zoo, out=tmp_path / "out", engine="ray")


def test_format_errors_travel_between_processes() -> None:
    error = FormatError("found x", path="a.txt", line=3)
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.path, back.line) == ("a.txt:3: found x", Path("a.txt"), 3)
