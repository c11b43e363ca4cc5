"""The folder of a download: what lies where.

::

    OUT/images/ab/cat-ab01...jpg    the images
    OUT/packed/                     or packed images, see mlimages.images.packed.writing
    OUT/image_list.txt              their names and labels, in the order of the list
    OUT/log/part-00000.parquet      outcome of each URL, one part per unit
    OUT/manifest.json               the lists, the options that shaped the folder, the log's parts and counts
    OUT/job.json, OUT/finished.jsonl, OUT/scratch/
                                    instead of the manifest, and what is under way, until the download is complete
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlimages.job.folder import SCRATCH


class DownloadFolder:
    """Paths below the folder `root`.

    Attributes
    ----------
    images, packed : Path
        The images, and the packed images.
    spool : Path
        Images that are to be packed; kept until their unit is done.
    log : Path
        The log's parts.
    image_list : Path
        Names and labels of the images.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images, self.packed, self.log = root / "images", root / "packed", root / "log"
        self.image_list = root / "image_list.txt"
        self.spool, self._partial = root / SCRATCH / "spool", root / SCRATCH / "partial"

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the log's folder; remove half-written files of this and of earlier runs."""
        shutil.rmtree(self._partial, ignore_errors=True)
        self.log.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def partial(self) -> Path:
        """A folder for half-written files of this process alone, on whatever machine it runs."""
        path = self._partial / f"{socket.gethostname()}-{os.getpid()}"
        path.mkdir(parents=True, exist_ok=True)
        return path
