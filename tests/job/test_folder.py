"""The folder of a job: held by one process, begun once, resumed with the same."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlimages.errors import JobError
from mlimages.job.folder import SCRATCH, begin, check_free, full_disk_told, held
from mlimages.job.journal import JOURNAL, Journal
from mlimages.storage.manifest import JOB, MANIFEST, Input, Manifest, Part

DESCRIBED = Manifest({"format_version": 1, "content": "numbers"}, {"step": 2}, [])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_made_held_and_let_go_without_a_trace(tmp_path: Path) -> None:
    with held(tmp_path / "a/b"):
        assert files(tmp_path / "a/b") == [".lock"]
    assert files(tmp_path / "a/b") == []


def test_a_folder_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from mlimages.job.folder import held\nwith held(Path(sys.argv[1])): 0"
    )
    run = [sys.executable, "-c", script, tmp_path]
    with held(tmp_path):
        refused = subprocess.run(run, capture_output=True, text=True, check=False)
        assert f"JobError: {tmp_path}: another process is writing here: wait for it, or choose" in refused.stderr
        assert files(tmp_path) == [".lock"]
    assert subprocess.run(run, check=False).returncode == 0


def test_a_folder_is_let_go_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        _ = 1 / 0
    assert files(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_by_the_name_of_the_file_or_else_of_the_folder(code: int, tmp_path: Path) -> None:
    message = os.strerror(code).lower() + ": free some, then run again with --resume; finished parts are kept"
    with pytest.raises(JobError, match=f"^a.txt: {message}$"), full_disk_told(tmp_path):
        raise OSError(code, os.strerror(code), "a.txt")
    message = os.strerror(code).lower() + ": free some, then call again; finished parts are kept"
    told = pytest.raises(JobError, match=f"^{re.escape(str(tmp_path))}: {message}$")
    with told, full_disk_told(tmp_path, again="call again"):
        raise OSError(code, os.strerror(code))


def test_another_error_of_the_system_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), full_disk_told(tmp_path):
        raise PermissionError(errno.EACCES, "denied", "a.txt")


@pytest.mark.parametrize(
    ("there", "refused", "refused_resumed"),
    [
        ([], None, None),
        ([".lock", "job.json.tmp"], None, None),
        ([JOB], "holds an unfinished job: continue it with --resume", None),
        ([MANIFEST], "already holds a table", None),
        ([MANIFEST, JOB], "already holds a table", None),
        (["thesis.tex"], "not an empty folder", "not an empty folder"),
    ],
)
def test_what_is_in_a_folder_decides_whether_a_job_may_have_it(
    tmp_path: Path, there: list[str], refused: str | None, refused_resumed: str | None
) -> None:
    for name in there:
        (tmp_path / name).touch()
    for resume, message in ((False, refused), (True, refused_resumed)):
        if message is None:
            check_free(tmp_path, resume=resume)
        else:
            with pytest.raises(JobError, match=message):
                check_free(tmp_path, resume=resume)


def test_a_file_is_no_folder_for_a_job(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match="exists and is not an empty folder"):
        check_free(tmp_path / "file", resume=True)


def test_a_job_is_begun_and_gone_on_with_without_what_was_half_made(tmp_path: Path) -> None:
    assert begin(tmp_path, DESCRIBED, resume=False)
    (tmp_path / "quarantine").mkdir()
    for name in ("part-00000.parquet", "part-00001.parquet.tmp", "quarantine/part-00001.parquet.tmp"):
        (tmp_path / name).touch()
    with pytest.raises(JobError, match="holds an unfinished job"):
        begin(tmp_path, DESCRIBED, resume=False)
    assert begin(tmp_path, DESCRIBED, resume=True)
    assert files(tmp_path) == [JOB, "part-00000.parquet", "quarantine"]
    assert files(tmp_path / "quarantine") == []


def test_a_finished_job_has_nothing_left_to_do_and_loses_what_only_the_job_needed(tmp_path: Path) -> None:
    DESCRIBED.write(tmp_path / MANIFEST)
    (tmp_path / SCRATCH).mkdir()
    for name in (JOB, JOURNAL, f"{SCRATCH}/bucket"):
        (tmp_path / name).touch()
    assert not begin(tmp_path, DESCRIBED, resume=True)
    assert files(tmp_path) == [MANIFEST]


def test_another_job_is_not_gone_on_with(tmp_path: Path) -> None:
    begin(tmp_path, DESCRIBED, resume=False)
    with pytest.raises(JobError, match="begun with step 2, and to be resumed with 3: use the same, or start again"):
        begin(tmp_path, replace(DESCRIBED, options={"step": 3}), resume=True)
    with pytest.raises(JobError, match="begun with content numbers, and to be resumed with letters"):
        begin(tmp_path, replace(DESCRIBED, metadata={"format_version": 1, "content": "letters"}), resume=True)


def test_a_changed_input_is_not_gone_on_with(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("1")
    (tmp_path / "out").mkdir()
    begin(tmp_path / "out", replace(DESCRIBED, inputs=[Input.of(source)]), resume=False)
    source.write_text("12")
    with pytest.raises(JobError, match=r"in\.txt: changed since the job in .*out was begun \(found 2 bytes of"):
        begin(tmp_path / "out", replace(DESCRIBED, inputs=[Input.of(source)]), resume=True)


def test_a_journal_knows_the_parts_of_earlier_runs(tmp_path: Path) -> None:
    first, second = Part("part-0", 1, 10, "aa"), Part("part-1", 1, 10, "bb")
    with Journal(tmp_path) as journal:
        journal.note(first)
        journal.note(second)
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"file": "part-2", "xxh3')  # killed while it wrote
    with Journal(tmp_path) as journal:
        assert not journal.contradicts(first)
        assert journal.contradicts(replace(first, xxh3_128="cc"))
        assert not journal.contradicts(Part("part-2", 1, 10, "dd"))
        journal.note(replace(first, xxh3_128="cc"))
    with Journal(tmp_path) as journal:
        assert journal.contradicts(first)
        assert not journal.contradicts(second)
