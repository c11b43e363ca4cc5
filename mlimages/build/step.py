"""A step of a build, and the manifest of finished steps, by which unchanged steps are skipped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from mlimages.errors import FormatError, JobError
from mlimages.job.folder import LOCK
from mlimages.storage.files import file_hash, replacing
from mlimages.storage.manifest import Input

MANIFEST = "build.json"
_FORMAT = "mlimages-build-1"
_BEGUN, _DONE = "begun", "done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a build, and the folder of its name in that of the build.

    It reads the files `inputs`, those of earlier steps included; its output depends on these and on `parameters`, of
    types that JSON has, alone. `outputs` are the files in its folder that exist when it is done: for a table, the
    manifest. `run` is called with the folder, and whether to resume an earlier run: on all ranks of ``torchrun`` where
    `together`, else on the first alone.
    """

    name: str
    inputs: Sequence[Path]
    parameters: dict[str, Any]
    outputs: Sequence[str]
    run: Callable[[Path, bool], Any]
    together: bool = False


def check_free(folder: Path) -> None:
    """Raise a JobError for a folder that holds something else than a build."""
    if (folder / MANIFEST).is_file() or not folder.exists():
        return
    if not folder.is_dir() or {each.name for each in folder.iterdir()} - {LOCK}:
        raise JobError(f"{folder}: exists and holds no build: choose a new folder as out")


@dataclass(slots=True)
class BuildManifest:
    """The state of the steps of a build with a configuration, kept in ``build.json`` in its folder."""

    folder: Path
    config: dict[str, Any]
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, config: dict[str, Any]) -> BuildManifest:
        """Read the manifest of a folder, or begin a new one.

        Raises
        ------
        FormatError
            If the file is not the manifest of a build.
        """
        path = folder / MANIFEST
        if not path.is_file():
            manifest = cls(folder, config)
            manifest.write()
            return manifest
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != _FORMAT:
                raise FormatError(f"found the format {content['format']!r}, expected {_FORMAT!r}", path=path)
            return cls(folder, config, dict(content["steps"]))
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"not the manifest of a build ({type(error).__name__}: {error})", path=path) from error

    def write(self) -> None:
        """Write the manifest atomically."""
        from mlimages import __version__

        content = {"format": _FORMAT, "mlimages_version": __version__, "config": self.config, "steps": self.steps}
        with replacing(self.folder / MANIFEST) as file:
            file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def begin(self, step: Step) -> bool | None:
        """Begin a step: return None if it is done already, else whether to resume an earlier run.

        Outputs of an earlier run with other inputs or parameters are removed.
        """
        inputs = [self._described(path) for path in step.inputs]
        key = self._key(step, inputs)
        known = self.steps.get(step.name)
        place = self.folder / step.name
        if known is not None and known["key"] == key:
            if known["status"] == _BEGUN:
                return place.exists()
            if self._unchanged(known["outputs"]):
                return None
        if place.exists():
            if known is None:
                raise JobError(f"{place}: was not made by this build: remove it")
            shutil.rmtree(place)
        self.steps[step.name] = {
            "status": _BEGUN,
            "key": key,
            "parameters": step.parameters,
            "inputs": [asdict(each) for each in inputs],
            "outputs": [],
        }
        self.write()
        return False

    def finish(self, step: Step) -> None:
        """Record that a step is done.

        Raises
        ------
        JobError
            If its inputs changed during the step, or an output is missing.
        """
        known, place = self.steps[step.name], self.folder / step.name
        lacking = [name for name in step.outputs if not (place / name).is_file()]
        if lacking:
            raise JobError(f"{place / lacking[0]}: is not there, although the step {step.name} ended: run it again")
        for before in known["inputs"]:
            now = Input.of(Path(before["path"]))
            if (now.bytes, now.modified) != (before["bytes"], before["modified"]):
                raise JobError(f"{now.path}: changed while the step {step.name} read it: run the build again")
        known["outputs"] = [asdict(self._described(place / name)) for name in step.outputs]
        known["status"] = _DONE
        self.write()

    def _key(self, step: Step, inputs: list[Input]) -> str:
        """A hash of everything a step depends on: contents of files, not their paths or times."""
        content = [step.name, step.parameters, [each.xxh3_128 for each in inputs]]
        return xxhash.xxh3_128(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _unchanged(self, outputs: list[dict[str, Any]]) -> bool:
        for before in outputs:
            path = Path(before["path"])
            if not path.is_file() or self._described(path).xxh3_128 != before["xxh3_128"]:
                return False
        return True

    def _described(self, path: Path) -> Input:
        """A file with its hash, taken from the manifest if size and time are unchanged."""
        now = Input.of(path)
        for step in self.steps.values():
            for before in (*step["inputs"], *step["outputs"]):
                if (before["path"], before["bytes"], before["modified"]) == (os.fspath(path), now.bytes, now.modified):
                    return Input(**before)
        return Input.of(path, xxh3_128=file_hash(path))
