"""Random changes of bytes and of JSON, for hypothesis, and what is done with each."""

from __future__ import annotations

import faulthandler
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.damage import countsfiles, npzfiles, packed, predictions, rulesfiles
from tests.damage.matrix import CHATTER
from tests.damage.operations import OPERATIONS, Operation
from tests.damage.specimen import PART, Specimens, copy_of
from tests.damage.worker import outcome_of

SECONDS = 20  # that all operations on one example may take


def edits(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with one to three changes: flipped bits, a cut, an insertion, zeros, a stretch repeated elsewhere."""
    place = st.integers(0, len(data) - 1) | st.integers(max(0, len(data) - 400), len(data) - 1)  # where the footer is
    length = st.sampled_from([1, 2, 4, 16, 100, 1000])
    change = st.one_of(
        st.tuples(st.just("flip"), place, st.integers(1, 255)),
        st.tuples(st.just("set"), place, st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])),
        st.tuples(st.just("cut"), place, length),
        st.tuples(st.just("end"), place, st.just(0)),
        st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("zero"), place, length),
        st.tuples(st.just("copy"), place, length),
    )

    def apply(changes: list[tuple[str, int, Any]]) -> bytes:
        out = bytearray(data)
        for kind, at, what in changes:
            at = min(at, max(0, len(out) - 1))
            if kind == "flip" and out:
                out[at] ^= what
            elif kind == "set" and out:
                out[at] = what
            elif kind == "cut":
                del out[at : at + what]
            elif kind == "end":
                del out[at:]
            elif kind == "insert":
                out[at:at] = what
            elif kind == "zero":
                out[at : at + what] = bytes(len(out[at : at + what]))
            else:
                out[:what] = out[at : at + what]
        return bytes(out)

    return st.lists(change, min_size=1, max_size=3).map(apply)


#: What is put in the place of a value of the manifest.
_VALUES = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 7, 2**31, 2**63, 10**30, 1.5, 1e308, float("nan"), float("inf")]),
    st.sampled_from(["", "0", "8", PART, "../x", "/", "part-00000.parquet", "\0", "\ud800", "é" * 200]),
    st.sampled_from([[], {}, [[]], [None], [{}], {"file": 1}, {"": {}}]),
    st.text(max_size=5),
    st.integers(),
)


def json_edits(data: bytes) -> st.SearchStrategy[bytes]:
    """JSON with one or two of its values replaced, removed or doubled, at any depth."""
    content = json.loads(data)
    paths = list(_paths(content))
    change = st.tuples(st.sampled_from(paths), st.sampled_from(["replace", "replace", "remove", "double"]), _VALUES)

    def apply(changes: list[tuple[tuple[Any, ...], str, Any]]) -> bytes:
        changed = json.loads(data)
        for path, kind, value in changes:
            inner = changed
            try:
                for step in path[:-1]:
                    inner = inner[step]
                if kind == "remove":
                    del inner[path[-1]]
                elif kind == "double" and isinstance(inner, list):
                    inner.append(inner[path[-1]])
                else:
                    inner[path[-1]] = value
            except (KeyError, IndexError, TypeError):
                pass  # the first change took away what the second was for
        return json.dumps(changed).encode()

    return st.lists(change, min_size=1, max_size=2).map(apply)


def _paths(content: Any, so_far: tuple[Any, ...] = ()) -> Any:
    if so_far:
        yield so_far
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in children:
        yield from _paths(value, (*so_far, key))


def _of_table(*names: str) -> dict[str, Operation]:
    return {name: OPERATIONS[name] for name in names}


_TABLE = _of_table(
    *("to_table", "category_counts", "multi_hot of one", "labels of", "take names", "batches of image"),
    *("mlimages merge", "export", "statistics", "mlimages verify --content"),
)
_MANIFEST = _of_table(
    *("to_table", "hierarchy", "category_counts", "mlimages verify"),
    *("mlimages merge", "statistics", "mlimages verify --content"),
)
#: Done to every fourth example only, since they take longest.
_SELDOM = {
    *("mlimages merge", "statistics", "labels of", "mlimages verify --content", "export"),
    *("merge duplicates", "mlimages pack", "annotate"),
}
#: What is changed: the copied file or folder, the file in it, how, and what is done then.
TARGETS: dict[str, tuple[str, str, Callable[[bytes], st.SearchStrategy[bytes]], dict[str, Operation]]] = {
    "part": ("table", PART, edits, _TABLE),
    "manifest bytes": ("table", "manifest.json", edits, _MANIFEST),
    "manifest values": ("table", "manifest.json", json_edits, _MANIFEST),
    "categories": ("table", "categories.parquet", edits, _of_table("hierarchy", "labels of")),
    "predictions": (
        "predictions",
        PART,
        edits,
        {name: predictions.OPERATIONS[name] for name in ("to_table", "take", "count")},
    ),
    "predictions manifest": (
        "predictions",
        "manifest.json",
        json_edits,
        {name: predictions.OPERATIONS[name] for name in ("to_table", "outputs", "threshold and top", "count")},
    ),
    "packed": (
        "packed",
        packed.PART,
        edits,
        {name: packed.OPERATIONS[name] for name in ("rows", "names", "sizes", "take", "merge duplicates")},
    ),
    "packed manifest": (
        "packed",
        "manifest.json",
        json_edits,
        {name: packed.OPERATIONS[name] for name in ("rows", "hierarchy", "mlimages pack")},
    ),
    "rules": (
        rulesfiles.SUBJECT,
        "",
        edits,
        {name: rulesfiles.OPERATIONS[name] for name in ("read rules", "annotate")},
    ),
    "counts": (countsfiles.SUBJECT, "", edits, {"load": countsfiles.OPERATIONS["load"]}),
    "npz": (npzfiles.SUBJECT, "", edits, {"load": npzfiles.OPERATIONS["load"]}),
}


def faults_of(outcomes: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Outcomes that no user should see; a result, a typed error of one line and a status of 1 are all right."""
    bad = {}
    for name, each in outcomes.items():
        message = each.get("err", "").strip()
        lines = [line for line in message.splitlines() if not line.startswith(CHATTER)]
        told = each["kind"] == "error" or (
            each["kind"] == "status" and each["status"] == 1 and "".join(lines).startswith("mlimages: error: ")
        )
        if each["kind"] != "result" and not (told and len(lines) == 1):
            bad[name] = f"{each['kind']}: {' '.join(message.split())[:300]}"
    return bad


def try_examples(target: str, count: int, seed: int, specimens: Path, folder: Path) -> dict[str, Any]:
    """Try examples of a target; tell how many, and what failed. The last that was tried stays in the folder."""
    made = Specimens(specimens)
    subject_name, file, strategy, operations = TARGETS[target]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subject = copy_of(made.folder / subject_name, folder / subject_name)
    changed = subject / file if file else subject
    original = changed.read_bytes()
    out = folder / "out"
    found: dict[str, Any] = {}
    tried = 0

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy(original))
    def attempt(data: bytes) -> None:
        nonlocal tried
        tried += 1
        changed.write_bytes(data)
        outcomes = {}
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        for name, run in operations.items():
            if name in _SELDOM and tried % 4:
                continue
            out.mkdir()
            outcomes[name] = outcome_of(lambda: run(made, subject, out))  # noqa: B023  (called at once)
            shutil.rmtree(out)
        faulthandler.cancel_dump_traceback_later()
        for name, what in faults_of(outcomes).items():
            found.setdefault(f"{name}: {what[:120]}", data.hex())

    attempt()
    return {"kind": "result", "tried": tried, "faults": found}
