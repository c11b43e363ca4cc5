"""A process that does operations and tells what became of each; a signal that ends it is an outcome too.

It reads a task a line, a JSON list of a suite, a case and an operation, and answers each with a line of JSON; the suite
``mutations`` takes a target and how many examples, from which seed. It is started by :mod:`tests.damage.matrix`, with
the folder of the specimens and one to work in.
"""

from __future__ import annotations

import faulthandler
import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

SECONDS = 60  # that an operation may take; then it hangs


def outcome_of(run: Any) -> dict[str, Any]:
    """What becomes of a call: a result, an error that a user reads, or a traceback."""
    from mlimages.errors import MlimagesError
    from tests.damage.operations import CommandError

    try:
        return {"kind": "result", "value": run()}
    except CommandError as error:
        return {"kind": "status", "status": error.status, "out": error.out, "err": error.err}
    except (MlimagesError, OSError) as error:
        text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        return {"kind": "error", "type": type(error).__name__, "err": text}
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(place.filename).name}:{place.lineno}"
        return {"kind": "traceback", "err": f"{type(error).__name__}: {str(error)[:200]} ({at})"}


class Subjects:
    """The file or folder that is operated on, copied and damaged anew where the case is another or it was changed.

    Parameters
    ----------
    specimens : pathlib.Path
        The undamaged files.
    work : pathlib.Path
        Folder for the copy, and for what an operation writes.
    """

    def __init__(self, specimens: Path, work: Path) -> None:
        from tests.damage.specimen import Specimens

        self._specimens, self._work = Specimens(specimens), work
        self._made: tuple[str, str] | None = None
        self._state: Any = None

    def outcome(self, suite_name: str, case: str, operation: str) -> dict[str, Any]:
        """What becomes of an operation on a case of a suite."""
        import importlib

        from tests.damage.specimen import copy_of

        suite = importlib.import_module(f"tests.damage.{suite_name}")
        subject, out = self._work / suite.SUBJECT, self._work / "out"
        if self._made != (suite_name, case) or _state(subject) != self._state:
            self._made = None
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir(parents=True)
            copy_of(self._specimens.folder / suite.SUBJECT, subject)
            if case:
                suite.CASES[case].apply(self._specimens, subject)
            self._made, self._state = (suite_name, case), _state(subject)
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(out.with_name("groups"), ignore_errors=True)
        out.mkdir()
        return outcome_of(lambda: suite.OPERATIONS[operation](self._specimens, subject, out))


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Of every file of a subject, its name, size and time of change."""
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return [(file.name, (found := file.lstat()).st_size, found.st_mtime_ns) for file in files]


def main() -> None:
    """Answer the lines of the standard input."""
    specimens, work = Path(sys.argv[1]), Path(sys.argv[2])
    subjects = Subjects(specimens, work / "subject")
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        suite, case, operation = json.loads(line)
        if suite == "mutations":
            from tests.damage.mutations import try_examples

            answer = try_examples(case, *operation, specimens, work / "mutated")
        else:
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            answer = subjects.outcome(suite, case, operation)
            faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(answer).replace(str(work / "subject"), "WORK") + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
