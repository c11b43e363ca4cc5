"""A step of a build, and what is kept of those that were made: skipped where nothing that it depends on changed."""

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
from mlimages.storage.files import file_hash, replacing
from mlimages.storage.manifest import Input

MANIFEST = "build.json"
_FORMAT = "mlimages-build-1"
_BEGUN, _DONE = "begun", "done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to make.

    Parameters
    ----------
    name : str
        Also that of its folder within the build's.
    inputs : list of pathlib.Path
        Files that it depends on; those of earlier steps too.
    parameters : dict
        All else that it depends on, as JSON holds it.
    outputs : list of str
        Files in its folder that are there when it is done: for a table, the manifest.
    run : callable
        Makes it in a folder; told whether to go on where an earlier run stopped.
    together : bool
        Whether all ranks of ``torchrun`` do it together; else the first does it alone.
    """

    name: str
    inputs: Sequence[Path]
    parameters: dict[str, Any]
    outputs: Sequence[str]
    run: Callable[[Path, bool], Any]
    together: bool = False


@dataclass(slots=True)
class BuildManifest:
    """What is known of the steps, in ``build.json``.

    Parameters
    ----------
    folder : pathlib.Path
        The build's.
    config : dict
        What the build was told.
    """

    folder: Path
    config: dict[str, Any]
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, config: dict[str, Any]) -> BuildManifest:
        """Read what is there, or begin.

        Raises
        ------
        FormatError
            For a file that is no such manifest.
        JobError
            For a folder that holds something else.
        """
        path = folder / MANIFEST
        if not path.is_file():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise JobError(f"{folder}: exists and holds no build: choose a new folder as out")
            folder.mkdir(parents=True, exist_ok=True)
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
        """Write it at once."""
        from mlimages import __version__

        content = {"format": _FORMAT, "mlimages_version": __version__, "config": self.config, "steps": self.steps}
        with replacing(self.folder / MANIFEST) as file:
            file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def begin(self, step: Step) -> bool | None:
        """Prepare for a step: None where it is done, else whether it goes on where an earlier run stopped.

        What an earlier run made of other inputs or with other parameters is removed.
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
        """Note that a step is done.

        Raises
        ------
        JobError
            Where its inputs changed meanwhile, or it made not all that it should.
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
        """A hash over all that a step depends on; where a file lies or when it was written is not among that."""
        content = [step.name, step.parameters, [each.xxh3_128 for each in inputs]]
        return xxhash.xxh3_128(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _unchanged(self, outputs: list[dict[str, Any]]) -> bool:
        for before in outputs:
            path = Path(before["path"])
            if not path.is_file() or self._described(path).xxh3_128 != before["xxh3_128"]:
                return False
        return True

    def _described(self, path: Path) -> Input:
        """A file with its hash, which is taken from an earlier run where size and time are as they were."""
        now = Input.of(path)
        for step in self.steps.values():
            for before in (*step["inputs"], *step["outputs"]):
                if (before["path"], before["bytes"], before["modified"]) == (os.fspath(path), now.bytes, now.modified):
                    return Input(**before)
        return Input.of(path, xxh3_128=file_hash(path))
