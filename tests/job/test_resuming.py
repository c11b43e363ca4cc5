"""What resuming compares, what reopening does, and how an engine ends: with a job whose parts are one line each."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlimages.errors import FormatError, JobError
from mlimages.job.job import Job, Progress
from mlimages.job.task import Made, Stopped, StopSignal
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import Part


@dataclass(frozen=True)
class Line:
    index: int
    size: int = 1


@dataclass
class Lines:
    folder: Path
    again: bool = False
    made: list[int] = field(default_factory=list)

    def worker(self, stop: StopSignal) -> Callable[[Line], Made]:
        return self.make

    def path(self, task: Line) -> Path:
        return self.folder / f"part-{task.index:05d}.txt"

    def make(self, task: Line) -> Made:
        if task.index == 9:
            raise FormatError("bad", path="x", line=9)
        self.made.append(task.index)
        self.path(task).write_text("line\n")
        return self.described(task)

    def described(self, task: Line) -> Made:
        path = self.path(task)
        return Made(Part(path.name, 1, 5, file_hash(path)), {"lines": 1}, 1)

    def finished(self, task: Line) -> Made | None:
        return self.described(task) if self.path(task).exists() and not self.again else None


def job(maker: Lines, **given: Any) -> Job:
    return Job(maker=maker, metadata={"format_version": 1}, options={}, pattern=None, **given)


def test_a_reopened_job_makes_again_what_its_maker_says(tmp_path: Path) -> None:
    maker = Lines(tmp_path / "out")
    tasks = [Line(0), Line(1)]
    job(maker).reopen()  # nothing to reopen
    assert not maker.folder.exists()
    first = job(maker).run(tasks)
    maker.again = True
    assert job(maker).run(tasks, resume=True) == first
    assert sorted(maker.made) == [0, 1]
    job(maker).reopen()
    assert job(maker).run(tasks, resume=True) == first
    assert sorted(maker.made) == [0, 0, 1, 1]
    with pytest.raises(JobError, match="already holds a table"):
        job(maker).run(tasks)


def test_inputs_known_by_content_may_move_and_be_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, moved = tmp_path / "a/list.txt", tmp_path / "b/list.txt"
    first.write_text("one")
    moved.write_text("one")
    os.utime(moved, ns=(0, 12345))
    maker = Lines(tmp_path / "out", again=True)

    def known(path: Path) -> Job:
        return job(maker, inputs=[path], hashes=[file_hash(path)])

    manifest = known(first).run([Line(0)])
    known(moved).reopen()
    (maker.folder / "job.json").write_text((maker.folder / "job.json").read_text().replace("/b/", "/a/"))
    again = known(moved).run([Line(0)], resume=True)
    assert [each.xxh3_128 for each in again.inputs] == [each.xxh3_128 for each in manifest.inputs] == [file_hash(first)]
    moved.write_text("two")
    with pytest.raises(JobError, match=r"list\.txt: changed since the job in .*out was begun"):
        known(moved).run([Line(0)], resume=True)
    with pytest.raises(JobError, match=r"list\.txt: changed since"):
        known(moved).reopen()


def test_a_bad_row_leaves_the_parts_of_a_job_without_a_pattern(tmp_path: Path) -> None:
    maker = Lines(tmp_path / "out")
    with pytest.raises(FormatError):
        job(maker).run([Line(0), Line(9)], workers=1)
    assert sorted(path.name for path in maker.folder.iterdir()) == ["finished.jsonl", "job.json", "part-00000.txt"]


def test_progress_counts_over_parts_of_earlier_runs_too(tmp_path: Path) -> None:
    maker = Lines(tmp_path / "out")
    with pytest.raises(FormatError):
        job(maker).run([Line(0), Line(9)], workers=1)
    seen: list[Progress] = []
    job(maker).run([Line(0), Line(1)], workers=1, resume=True, progress=seen.append)
    assert [each.counts for each in seen] == [{"lines": 1}, {"lines": 2}]


def test_an_engine_ends_before_the_folder_is_released(tmp_path: Path) -> None:
    held: list[bool] = []
    maker = Lines(tmp_path / "out")

    def engine(work: Lines, tasks: Iterable[Line], _: int, /) -> Generator[Made]:
        try:
            for task in tasks:
                yield work.make(task)
            raise Stopped
        finally:
            held.append((tmp_path / "out/.lock").exists())

    def fails(_: Progress) -> None:
        raise RuntimeError("in the caller's report")

    with pytest.raises(RuntimeError):
        job(maker).run([Line(0)], engine=engine, progress=fails)  # type: ignore[arg-type]
    assert held == [True]
    with pytest.raises(Stopped):
        job(maker).run([Line(0)], engine=engine, resume=True)  # type: ignore[arg-type]
    assert (maker.folder / "job.json").exists()
    assert not (maker.folder / "manifest.json").exists()
