"""The folder of a download: its layout, its lock, and its manifest.

::

    OUT/images/ab/cat-ab01...jpg    the images
    OUT/packed/                     or packed images, see mlimages.images.packed.writing
    OUT/image_list.txt              their names and labels, in the order of the list
    OUT/log/part-00000.parquet      the outcome for each URL, one part per unit
    OUT/manifest.json               the lists, the options that determine the output and, when complete, counts
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlimages import __version__
from mlimages.errors import FormatError, MlimagesError, import_extra
from mlimages.images.downloading.log import Tally
from mlimages.images.downloading.options import DownloadOptions
from mlimages.storage.files import file_hash, replacing

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy

_VERSION = 1
_SHAPING = ("unit_bytes", "url_column", "resize", "quality", "output")  # options that may not change on resuming


@dataclass(frozen=True, slots=True)
class DownloadFolder:
    """Paths below the folder `root`."""

    root: Path

    @property
    def images(self) -> Path:
        """The images."""
        return self.root / "images"

    @property
    def packed(self) -> Path:
        """The packed images."""
        return self.root / "packed"

    @property
    def spool(self) -> Path:
        """Images that are to be packed."""
        return self.root / ".spool"

    @property
    def log(self) -> Path:
        """The log's parts."""
        return self.root / "log"

    @property
    def image_list(self) -> Path:
        """Names and labels of the images."""
        return self.root / "image_list.txt"

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.root / "manifest.json"

    @property
    def partial(self) -> Path:
        """Unfinished files; emptied at the start of each run."""
        return self.root / ".partial"

    def scratch(self) -> Path:
        """A folder below `partial` for this process alone, distinct on every machine."""
        path = self.partial / f"{socket.gethostname()}-{os.getpid()}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folders and lock them against other runs within the context.

        Raises
        ------
        MlimagesError
            Where another run holds the lock.
        """
        filelock = import_extra("filelock", extra="images")
        self.log.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self.root / ".lock", blocking=False):
                shutil.rmtree(self.partial, ignore_errors=True)
                yield
                shutil.rmtree(self.partial, ignore_errors=True)
                with suppress(OSError):  # only where it is empty
                    self.spool.rmdir()
        except filelock.Timeout:
            raise MlimagesError(
                f"{self.root}: another download is writing here: wait for it, or take another --out"
            ) from None

    def claim(
        self, inputs: list[dict[str, Any]], options: DownloadOptions, hierarchy: Hierarchy | None
    ) -> dict[str, Any]:
        """Write the manifest, or check that the one that is there has the same lists and options.

        Returns
        -------
        dict
            The manifest.

        Raises
        ------
        MlimagesError
            Where the folder holds the download of another list, or was made with other options.
        """
        manifest: dict[str, Any] = {
            "format": "mlimages-download",
            "format_version": _VERSION,
            "mlimages_version": __version__,
            "inputs": inputs,
            "options": {name: getattr(options, name) for name in _SHAPING}
            | {"hierarchy": None if hierarchy is None else hierarchy.fingerprint},
        }
        if not self.manifest.exists():
            self._write(manifest)
            return manifest
        try:
            there = json.loads(self.manifest.read_text("utf-8"))
            inputs_there, options_there = there["inputs"], there["options"]
        except (ValueError, KeyError, TypeError):
            raise FormatError("found no manifest of a download: take another --out", path=self.manifest) from None
        if inputs_there != inputs:
            raise MlimagesError(
                f"{self.root}: holds the download of {_named(inputs_there)}, and the list given is {_named(inputs)}: "
                "take another --out"
            )
        for name in manifest["options"]:
            if options_there.get(name) != manifest["options"][name]:
                raise MlimagesError(
                    f"{self.root}: was begun with {name.replace('_', '-')} {options_there.get(name)}, "
                    f"found {manifest['options'][name]}: keep it, or take another --out"
                )
        return dict(there)

    def complete(self, manifest: dict[str, Any], *, units: int, tally: Tally) -> None:
        """Add the counts of a complete download to the manifest."""
        self._write(
            manifest
            | {
                "units": units,
                "urls": tally.done,
                "images": tally.success,
                "bytes": tally.bytes,
                "failures": dict(sorted(tally.reasons.items())),
            }
        )

    def _write(self, manifest: dict[str, Any]) -> None:
        with replacing(self.manifest) as file:
            file.write((json.dumps(manifest, indent=2) + "\n").encode())


def describe(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, size in bytes and content hash (XXH3, 128 bits) of each list."""
    return [{"name": path.name, "bytes": path.stat().st_size, "xxh3_128": file_hash(path)} for path in paths]


def _named(inputs: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['name']} ({one['bytes']:,} bytes, {one['xxh3_128'][:8]})" for one in inputs)
