"""A process that does operations and tells what became of each; a signal that ends it is an outcome too.

It reads pairs of a case and an operation, a JSON list a line, and answers each with a line of JSON. It is started by
:mod:`tests.damage.matrix`, with the name of the suite, the folder of the specimens and one to work in.
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


def main() -> None:
    """Answer the lines of the standard input."""
    import importlib

    from tests.damage.specimen import Specimens, copy_of

    suite_name, specimens, work = sys.argv[1], Specimens(Path(sys.argv[2])), Path(sys.argv[3])
    suite = importlib.import_module(f"tests.damage.{suite_name}")
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        case, name = json.loads(line)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        shutil.rmtree(work, ignore_errors=True)
        out = work / "out"
        out.mkdir(parents=True)
        subject = copy_of(specimens.folder / suite.SUBJECT, work / suite.SUBJECT)
        if case:
            suite.CASES[case].apply(specimens, subject)
        outcome = outcome_of(lambda: suite.OPERATIONS[name](specimens, subject, out))  # noqa: B023  (called at once)
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(outcome).replace(str(work), "WORK") + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
