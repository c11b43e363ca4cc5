"""Every kind of job on a small input: what the tests of engines and of faults run.

Imported by the processes that the tests start, so it loads what jobs need once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.annotate.sources.openimages import files as openimages
from mlimages.annotate.tables.merging import merge
from mlimages.annotate.tables.selection import filter, subset  # noqa: A004
from mlimages.annotate.tables.splitting import split
from mlimages.images import DownloadOptions, download, pack
from mlimages.images.downloading import engine as downloading
from mlimages.images.duplicates.fingerprints import fingerprint_images
from mlimages.images.tfrecord.export import export_tfrecord
from mlimages.kernels import load_kernels
from mlimages.storage.manifest import MANIFEST
from tests.images.pictures import encoded, picture

load_kernels(
    "mlimages.annotate.sources.imagelistkernels",
    "mlimages.annotate.propagation.augmentkernels",
    "mlimages.annotate.parquet.writerkernels",
    "mlimages.annotate.tables.unionkernels",
    "mlimages.annotate.tables.splittingkernels",
    "mlimages.storage.nameskernels",
)

Run = Callable[..., Any]

ZOO = Hierarchy(list("abcdefghij"), [[], [0], [0], [1], [1, 2], [2], [], [6], [7], [6]])
IMAGES = 6


def make_inputs(folder: Path) -> None:
    """Write all inputs: small ones that make several parts all the same."""
    (folder / "lists").mkdir(parents=True)
    for number in range(6):
        rows = range(200 * number, 200 * (number + 1))
        text = "".join(f"image{i:04d}.jpg\t{i % 10}:1\t{i * 7 % 10}:0.5\n" for i in rows)
        (folder / f"lists/{number}.txt").write_text(text)
    shuffled = (f"{i * 7919 % 600:016x},machine,{ZOO.keys[i % 10]},0.5\n" for i in range(1200))
    (folder / "boxes.csv").write_text("ImageID,Source,LabelName,Confidence\n" + "".join(shuffled))
    annotate(str(folder / "lists/*.txt"), ZOO, out=folder / "table", workers=1)
    (folder / "other.txt").write_text("".join(f"image{i:04d}.jpg\t{i % 3}:1\n" for i in range(1100, 1400)))
    annotate(folder / "other.txt", ZOO, out=folder / "other", workers=1)

    (folder / "images").mkdir()
    padding = np.random.default_rng(0)
    for number in range(IMAGES):  # after its end a JPEG may hold anything: with it a shard holds one image
        data = encoded(picture(number)) + padding.bytes(900_000)
        (folder / f"images/{number}.jpg").write_bytes(data)
    (folder / "named.txt").write_text("".join(f"{number}.jpg\t{number}:1\n" for number in range(IMAGES)))
    annotate(folder / "named.txt", ZOO, out=folder / "named", workers=1)
    pack(folder / "named", folder / "images", folder / "packed", shard_mib=1, workers=1)


def _list(inputs: Path, out: Path, **options: Any) -> None:
    annotate(str(inputs / "lists/*.txt"), ZOO, out=out, **options)


def _open_images(inputs: Path, out: Path, **options: Any) -> None:
    with mock.patch.object(openimages, "BUCKET_BYTES", 10_000):
        annotate(inputs / "boxes.csv", ZOO, out=out, format="open-images", **options)


def _merge(inputs: Path, out: Path, **options: Any) -> None:
    merge([inputs / "table", inputs / "other"], out, **options)


def _filter(inputs: Path, out: Path, **options: Any) -> None:
    filter(inputs / "table", out, categories=["b"], **options)


def _subset(inputs: Path, out: Path, **options: Any) -> None:
    subset(inputs / "table", out, images=inputs / "other.txt", **options)


def _split(inputs: Path, out: Path, **options: Any) -> None:
    split(inputs / "table", out, validation=0.5, **options)


def _pack(inputs: Path, out: Path, **options: Any) -> None:
    pack(inputs / "named", inputs / "images", out, shard_mib=1, **options)


def _tfrecord(inputs: Path, out: Path, **options: Any) -> None:
    export_tfrecord(inputs / "named", inputs / "images", out, shard_mib=1, **options)


def _fingerprints(inputs: Path, out: Path, **options: Any) -> None:
    fingerprint_images(inputs / "packed", out, part_images=1, **options)


def _predictions(inputs: Path, out: Path, **options: Any) -> None:
    from mlimages.models import predict_images

    predict_images(teacher(), inputs / "packed", out, unit_images=1, batch=1, threshold=-1.0, **options)


def make_urls(folder: Path, root: str) -> None:
    """Write the list of URLs of a server into the folder of the inputs."""
    (folder / "urls.txt").write_text("".join(f"{root}/good/{number}.jpg\t{number}:1\n" for number in range(IMAGES)))


def _download(
    inputs: Path, out: Path, *, progress: Any = None, workers: int | None = None, resume: bool = True
) -> None:
    del workers, resume  # it has workers on a cluster only, and is always resumed

    def show(at: Any) -> None:
        if progress is not None:
            progress(SimpleNamespace(parts=at.done))

    # one at a time, so that the file operations have an order
    options = DownloadOptions(unit_bytes=1, concurrency=1, retries=0, allow_networks=("127.0.0.0/8",))
    with mock.patch.object(downloading.time, "time_ns", return_value=10**18):  # the log's column `when`
        download(inputs / "urls.txt", out, options=options, progress=show)


def teacher() -> Any:
    """A teacher that sees how bright each of ten stripes is."""
    from mlimages.models import Preprocessing, Teacher

    return Teacher.from_function(_brightness, ZOO, classes=ZOO.keys, preprocessing=Preprocessing(size=10))


def _brightness(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return pixels.mean((1, 2)).clip(0, 1)  # (B, 3, 10, 10) to (B, 10)


def _bad_line(path: Path) -> None:
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:50], b"bad", *lines[51:]]))


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _garble(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:300] + bytes(len(data) - 300))


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Parameters
    ----------
    run : callable
        Does it: folder of the inputs, folder of the result, and the options that all jobs have.
    input : str
        The input whose change is noticed.
    broken : str
        An input of a late task, to be broken.
    breaks : callable
        Breaks it.
    error : str
        What is then said.
    midway : bool
        Whether it must be broken after the job has begun.
    part : str
        A part, in the folder of the result.
    late : float
        The share of all file operations after which that part is finished, and the job is not.
    again : str
        How the user continues it.
    skipped : dict of str to str
        Tests of faults that mean nothing for it, and the reason.
    """

    run: Run
    input: str
    broken: str
    breaks: Callable[[Path], None]
    error: str
    midway: bool = False
    part: str = "part-00000.parquet"
    late: float = 2 / 3
    again: str = "run again with --resume"
    skipped: dict[str, str] = field(default_factory=dict)


_TABLE_PART, _PACKED_PART = "table/part-00004.parquet", "packed/part-00004.parquet"
#: What tests of faults do.
KINDS = {
    "list": Kind(_list, "lists/0.txt", "lists/4.txt", _bad_line, "4.txt:51: found no tab"),
    "open-images": Kind(_open_images, "boxes.csv", "boxes.csv", _bad_line, "boxes.csv:51: found"),
    "merge": Kind(_merge, f"table/{MANIFEST}", _TABLE_PART, _cut_short, "part-00004.parquet: damaged"),
    "split": Kind(
        _split,
        f"table/{MANIFEST}",
        _TABLE_PART,
        _cut_short,
        "part-00004.parquet: damaged",
        part="validation/part-00000.parquet",
        late=5 / 6,
    ),
    "pack": Kind(_pack, f"named/{MANIFEST}", "images/4.jpg", Path.unlink, "files came or went", midway=True),
    "tfrecord": Kind(
        _tfrecord, f"named/{MANIFEST}", "images/4.jpg", _garble, "4.jpg: damaged JPEG", part="0.tfrecords"
    ),
    "fingerprints": Kind(_fingerprints, f"packed/{MANIFEST}", _PACKED_PART, _cut_short, "part-00004.parquet: damaged"),
    "predictions": Kind(_predictions, f"packed/{MANIFEST}", _PACKED_PART, _cut_short, "part-00004.parquet: damaged"),
    "download": Kind(
        _download,
        "urls.txt",
        "urls.txt",
        _bad_line,
        "",
        part="log/part-00000.parquet",
        again="run the same command again",
        skipped={
            "test_a_signal_ends_it_and_it_is_resumed_to_the_same_bytes": (
                "a signal ends a download in good order: tests/images/downloading/test_resume.py"
            ),
            "test_an_input_that_changes_in_the_middle_is_noticed": "a list is known by its content, not by its time",
            "test_a_task_that_fails_leaves_nothing_half_made_and_the_rest_is_resumed": (
                "lists are checked before the first request, and a URL that fails is an outcome"
            ),
        },
    ),
}
#: More that is made of parts, for tests of engines.
OTHERS = {"filter": _filter, "subset": _subset}


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
