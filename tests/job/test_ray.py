from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlimages
from mlimages import Hierarchy
from mlimages.annotate.sources import source
from mlimages.errors import FormatError, MissingExtraError
from mlimages.job.ray import until_first_error

# Ray warns of its own deprecated settings, and leaves files of its processes to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def two_cpus() -> Iterator[None]:
    import logging

    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("two_cpus")
def test_ray_makes_the_parts_of_the_local_engine(
    zoo: Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(source, "UNIT_BYTES", 20_000)
    path = tmp_path / "list.txt"
    path.write_text("".join(f"image{i}.jpg\t{i % 10}:1\t{i * 7 % 10}:0.5\n" for i in range(4000)))
    for engine in ("local", "ray"):
        mlimages.annotate(path, zoo, out=tmp_path / engine, engine=engine, workers=2)  # type: ignore[arg-type]
    files = {each.name: each.read_bytes() for each in (tmp_path / "local").iterdir()}
    assert len(files) == 5 + 2
    assert {each.name: each.read_bytes() for each in (tmp_path / "ray").iterdir()} == files

    lines = path.read_text().splitlines()
    lines[1500] = lines[3900] = "bad"
    path.write_text("\n".join(lines))
    with pytest.raises(FormatError, match=r"list\.txt:1501: found no tab in 'bad'"):
        mlimages.annotate(path, zoo, out=tmp_path / "bad", engine="ray", workers=2)
    assert not (tmp_path / "bad").exists()

    labels = tmp_path / "labels.csv"
    rows = [f"{i % 100:016x},machine,{zoo.keys[i % 10]},0.5\n" for i in range(1000)]
    labels.write_text("ImageID,Source,LabelName,Confidence\n" + "".join(rows))
    for engine in ("local", "ray"):
        mlimages.annotate(labels, zoo, out=tmp_path / f"oi-{engine}", format="open-images", engine=engine, workers=2)  # type: ignore[arg-type]
    files = {each.name: each.read_bytes() for each in (tmp_path / "oi-local").iterdir()}
    assert {each.name: each.read_bytes() for each in (tmp_path / "oi-ray").iterdir()} == files
    assert capfd.readouterr().out == ""


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
        mlimages.annotate(path, zoo, out=tmp_path / "out", engine="ray")


def test_format_errors_travel_between_processes() -> None:
    error = FormatError("found x", path="a.txt", line=3)
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.path, back.line) == ("a.txt:3: found x", Path("a.txt"), 3)
