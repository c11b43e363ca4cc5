"""Each kind of job through the same faults: nothing is lost, and what is resumed ends with the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.images.hostile import hostile_server
from tests.job.children import Break, Hold, Moment, Touch, do, start, wait_for
from tests.job.kinds import KINDS, content, make_inputs, make_urls

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("faults") / "inputs"
    make_inputs(folder)
    with hostile_server() as server:
        make_urls(folder, server.root)
        yield folder


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "predictions":
        pytest.importorskip("torch")
    return str(request.param)


@pytest.fixture(autouse=True)
def _meant_for_the_kind(request: pytest.FixtureRequest, kind: str) -> None:
    reason = KINDS[kind].skipped.get(request.node.originalname)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def whole(kind: str, inputs: Path) -> tuple[dict[str, bytes], int]:
    """The files of a job that nothing happened to, and how many file operations it took."""
    out = inputs.parent / f"{kind}-whole"
    said = do(kind, inputs, out, moment=Moment(0, "count"))
    assert said.startswith("done")
    files = content(out)
    assert sum("part" in name or name.endswith(".tfrecords") for name in files) >= 2
    assert not any(name.endswith((".tmp", "job.json", ".lock")) for name in files)
    return files, int(said.split()[1])


def half_made(folder: Path) -> list[Path]:
    return [*folder.parent.glob("*.tmp"), *folder.rglob("*.tmp")]


def test_killed_at_ten_moments_it_is_resumed_to_the_same_bytes(
    kind: str, inputs: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    files, operations = whole
    middle = (operations // 4, operations // 2, operations * 3 // 4)
    moments = [1, 2, 3, 4, *middle, operations - 2, operations - 1, operations]
    outs = [tmp_path / f"{moment}" / "out" for moment in moments]
    for out in outs:
        out.parent.mkdir()
    killed = [
        start(kind, inputs, out, moment=Moment(moment, signal.SIGKILL))
        for out, moment in zip(outs, moments, strict=True)
    ]
    assert [child.outcome() for child in killed] == [f"exit {-signal.SIGKILL}"] * 10
    assert do(kind, inputs, *outs, resume=True).startswith("done")
    for out in outs:
        assert content(out) == files


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_it_is_resumed_to_the_same_bytes(
    kind: str, inputs: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path, which: signal.Signals
) -> None:
    files, operations = whole
    out = tmp_path / "out"
    said = do(kind, inputs, out, moment=Moment(operations // 3, which))
    assert said == ("KeyboardInterrupt: " if which == signal.SIGINT else f"exit {-signal.SIGTERM}")
    if which == signal.SIGINT:
        assert half_made(out) == []
        assert not any(path.name == ".lock" for path in out.rglob("*"))
    assert do(kind, inputs, out, resume=True).startswith("done")
    assert content(out) == files


def test_a_full_disk_is_told_and_what_is_finished_is_kept(
    kind: str, inputs: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    files, operations = whole
    size = sum(-(-len(data) // 4096) * 4096 for data in files.values())
    with _disk(tmp_path / "disk", size // 2) as mounted:
        out = tmp_path / "disk" / "out"
        moment = None if mounted else Moment(operations // 2, "full")
        said = do(kind, inputs, out, moment=moment)
        assert said.startswith("JobError: ")
        assert "no space left on device: free some" in said
        assert f"then {KINDS[kind].again}" in said
        assert half_made(out) == []
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", tmp_path / "disk"], check=True)
        kept = {name: data for name, data in content(out).items() if name in files}
        assert kept == {name: files[name] for name in kept}
        assert do(kind, inputs, out, resume=True).startswith("done")
        assert content(out) == files


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[bool]:
    """A folder that is a file system of so many bytes, where that may be mounted; whether it is."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def own_inputs(inputs: Path, tmp_path: Path) -> Path:
    """Inputs to be changed, at a path of their own."""
    return Path(shutil.copytree(inputs, tmp_path / "inputs"))


def test_an_input_that_changes_in_the_middle_is_noticed(kind: str, own_inputs: Path, tmp_path: Path) -> None:
    out, changed = tmp_path / "out", own_inputs / KINDS[kind].input
    said = do(kind, own_inputs, out, after_part=Touch(changed))
    assert said.startswith(f"JobError: {changed}: changed while it was read")
    assert half_made(out) == []
    assert do(kind, own_inputs, out, resume=True).startswith(f"JobError: {changed}: changed since the job in ")


def test_a_second_process_says_that_the_folder_is_in_use_and_the_first_goes_on(
    kind: str, inputs: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    files, operations = whole
    out, reached, go_on = tmp_path / "out", tmp_path / "reached", tmp_path / "go-on"
    assert do(kind, inputs, out, moment=Moment(operations * 2 // 3, signal.SIGKILL)) == f"exit {-signal.SIGKILL}"
    first = start(kind, inputs, out, resume=True, after_part=Hold(reached, go_on))
    try:
        wait_for(reached)
        second = do(kind, inputs, out, resume=True)
        third = do(kind, inputs, out)
    finally:
        go_on.touch()
    assert first.outcome().startswith("done")
    assert second.startswith("JobError: ")
    assert "another process is writing here: wait for it, or choose another folder" in second
    assert third.startswith("JobError: ")
    if "--resume" in KINDS[kind].again:
        assert "holds an unfinished job: continue it with --resume" in third or "train: already holds a table" in third
    assert content(out) == files
    assert half_made(out) == []


def test_a_task_that_fails_leaves_nothing_half_made_and_the_rest_is_resumed(
    kind: str, own_inputs: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    out, described = tmp_path / "out", KINDS[kind]
    path = own_inputs / described.broken
    before, status = path.read_bytes(), path.stat()
    breaks = Break(kind, path)
    if not described.midway:
        breaks()
    said = do(kind, own_inputs, out, workers=1, after_part=breaks if described.midway else None)
    assert described.error in said
    assert half_made(out) == []
    path.write_bytes(before)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert do(kind, own_inputs, out, resume=True).startswith("done")
    parts = {name for name in whole[0] if "part" in name or name.endswith(".tfrecords")}
    assert {name: data for name, data in content(out).items() if name in parts} == {
        name: whole[0][name] for name in parts
    }


@pytest.mark.parametrize("damage", ["cut short", "empty", "other bytes", "one byte"])
def test_a_finished_part_that_was_damaged_is_made_again(
    kind: str, inputs: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path, damage: str
) -> None:
    files, operations = whole
    out = tmp_path / "out"
    moment = Moment(int(operations * KINDS[kind].late), signal.SIGKILL)
    assert do(kind, inputs, out, moment=moment, workers=1) == f"exit {-signal.SIGKILL}"
    part = out / KINDS[kind].part
    data = part.read_bytes()
    assert data == files[KINDS[kind].part]
    flipped = bytes([data[len(data) // 2] ^ 1])
    part.write_bytes(
        {
            "cut short": data[:-10],
            "empty": b"",
            "other bytes": b"x" * len(data),
            "one byte": data[: len(data) // 2] + flipped + data[len(data) // 2 + 1 :],
        }[damage]
    )
    assert do(kind, inputs, out, resume=True).startswith("done")
    assert content(out) == files
