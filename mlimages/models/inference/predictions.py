"""A teacher's predictions for many pictures: resumable, and the same bytes whoever shares the work."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from mlimages.annotate.tables.predictions import PREDICTIONS, PredictionTable, PredictionWriter
from mlimages.errors import JobError, MlimagesError
from mlimages.job.job import Progress
from mlimages.job.shardjob import ShardJob
from mlimages.models.data.sources import NameList, Pictures, open_pictures
from mlimages.models.inference.predictionunit import UnitMaker, broken_path, gather_broken
from mlimages.models.inference.teacher import Teacher
from mlimages.models.ranks import Ranks, joined
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import JOB, Input, Part

#: Pictures of a unit, which becomes a part.
UNIT_IMAGES = 4096
#: Pictures that a teacher sees at once.
BATCH = 64
#: Pictures that could not be read, beside the parts: name and reason.
BROKEN = "broken.tsv"

_NAMES = "names.parquet.tmp"  # what a job is about, until it is done
_WAIT = timedelta(days=30)  # for the slowest rank; if one fails, torchrun ends them all


def predict_images(
    teacher: Teacher,
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    threshold: float = 0.5,
    top: int | None = None,
    batch: int = BATCH,
    unit_images: int = UNIT_IMAGES,
    device: str = "auto",
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> PredictionTable:
    """Predict what is in pictures, and write a table of predictions.

    Under ``torchrun`` the processes share the units of pictures among them; with ``engine="ray"`` the actors of a Ray
    Data pipeline do. The bytes of the table do not depend on that, nor on `workers`, on machines of one kind.

    A picture that cannot be read has no row: ``broken.tsv`` names it and says why, and the manifest counts them.

    Parameters
    ----------
    teacher : Teacher
        From :func:`mlimages.models.load_teacher`, or made by hand.
    images : path-like
        A folder of images, packed images, or an annotation table that names images.
    out : path-like
        Folder of the table, new or empty.
    root : path-like, optional
        For an annotation table: the folder that its names start from.
    threshold : float
        Scores up to this are left out; a negative one keeps all.
    top : int, optional
        So many labels an image at most, the most probable ones.
    batch : int
        Pictures that the teacher sees at once.
    unit_images : int
        Pictures of a part.
    device : str
        ``auto``, ``cpu``, ``cuda``.
    workers : int, optional
        Batches that are read and computed at once, in threads, or actors with Ray; as many as there are cores (for
        each rank, its share of them) by default.
    engine : {"local", "ray"}
        Where the work is done.
    resume : bool
        Go on where an interrupted job stopped.
    progress : callable, optional
        Called with a :class:`~mlimages.job.job.Progress` after every part that this process made.

    Raises
    ------
    JobError
        Where `out` is not empty, or what is to be resumed was begun with other images, options or teacher.
    MlimagesError
        For options that make no sense, and where there are no pictures.
    """
    _check(threshold=threshold, top=top, batch=batch, unit_images=unit_images, workers=workers, engine=engine)
    pictures = open_pictures(images, root=root)
    folder = Path(out)
    writer = PredictionWriter(
        folder=folder,
        hierarchy=teacher.hierarchy,
        outputs=teacher.outputs,
        threshold=threshold,
        top=top,
        teacher={**teacher.identity, **_seen_as(teacher), "batch": batch},
    )
    names = NameList(folder / _NAMES, unit_images)
    source = {"images": os.fspath(images), "root": None if root is None else os.fspath(root)}
    with joined(device, backend="gloo", timeout=_WAIT) as ranks:
        if engine == "ray" and ranks.world > 1:
            raise MlimagesError("engine ray shares the work itself: start one process, without torchrun")
        workers = workers or max(1, _cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        job = ranks.share(lambda: _begin(writer, pictures, names, source, resume=resume))
        if job is None:
            return PredictionTable.open(folder)
        maker = UnitMaker(writer=writer, teacher=teacher, names=names, pictures=pictures, batch=batch, workers=workers)
        waiting = ranks.share(lambda: [index for index in range(len(names)) if maker.finished(index) is None])
        if engine == "ray":
            from mlimages.models.inference.rayprediction import run_on_ray

            made: Iterable[Part] = run_on_ray(maker, waiting, device=str(ranks.device.type), workers=workers)
        else:
            made = _run_here(maker, waiting, ranks)
        _report(made, len(names), len(waiting), progress)
        ranks.wait()
        ranks.share(lambda: _finish(maker, pictures, job))
    return PredictionTable.open(folder)


def _check(
    *, threshold: float, top: int | None, batch: int, unit_images: int, workers: int | None, engine: str
) -> None:
    if not threshold < 1:
        raise MlimagesError(f"threshold={threshold}: expected below 1, or nothing would be left")
    for name, value in (("top", top), ("batch", batch), ("unit_images", unit_images), ("workers", workers)):
        if value is not None and value < 1:
            raise MlimagesError(f"{name}={value}: expected at least 1")
    if engine not in ("local", "ray"):
        raise MlimagesError(f"unknown engine {engine!r}: expected local or ray")


def _seen_as(teacher: Teacher) -> dict[str, Any]:
    """How the teacher sees pictures."""
    preprocessing = teacher.preprocessing
    return {
        "size": preprocessing.size,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "crop": teacher.crop,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _begin(
    writer: PredictionWriter, pictures: Pictures, names: NameList, source: dict[str, Any], *, resume: bool
) -> dict[str, Any] | None:
    """List the pictures, and begin or go on; return the options of the job, or None where it is done.

    A job that goes on has the list of names that it was begun with, and must find the same names again.
    """
    folder = writer.folder
    if not resume and folder.is_dir() and any(folder.iterdir()):
        ShardJob(folder, {}, {}, []).begin(resume=False)  # says what is in the way, before all names are listed
    listed = NameList(folder.with_name(f"{folder.name}.names.tmp"), names.unit_images)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        count, digest = listed.write(pictures.names(), source=source["images"])
        options = {"format": PREDICTIONS, **source, "names": count, "names_xxh3_128": digest}
        options["unit_images"] = names.unit_images
        if not ShardJob(folder, writer.table_metadata, options, list(pictures.inputs)).begin(resume=resume):
            return None
        listed.path.replace(names.path)
    finally:
        listed.path.unlink(missing_ok=True)
    return options


def _run_here(maker: UnitMaker, waiting: list[int], ranks: Ranks) -> Iterator[Part]:
    """Make the parts that fall to this rank."""
    mine = waiting[ranks.rank :: ranks.world]
    if mine:
        maker.teacher.on(ranks.device)
    for index in mine:
        try:
            yield maker.make(index)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise JobError(
                f"{maker.writer.folder}: {os.strerror(error.errno).lower()}: free some, then run again with --resume; "
                "finished parts are kept"
            ) from error


def _report(made: Iterable[Part], units: int, waiting: int, progress: Callable[[Progress], None] | None) -> None:
    rows = 0
    for count, part in enumerate(made, start=units - waiting + 1):
        rows += part.rows
        if progress is not None:
            progress(Progress(count, units, 0, 0, rows))


def _finish(maker: UnitMaker, pictures: Pictures, options: dict[str, Any]) -> bool:
    """Write what belongs beside the parts, the manifest last, and remove what only a job needs."""
    folder, units = maker.writer.folder, len(maker.names)
    parts = [maker.finished(index) for index in range(units)]
    lost = [index for index, part in enumerate(parts) if part is None]
    if lost:
        raise JobError(f"{folder}: the part {lost[0]} is gone or was changed: run again with --resume")
    broken = gather_broken(folder, units, folder / BROKEN)
    inputs = [Input.of(path, xxh3_128=file_hash(path)) for path in pictures.inputs]
    counts = {"broken": broken} if broken else {}
    maker.writer.finish([part for part in parts if part is not None], inputs=inputs, options=options, counts=counts)
    for index in range(units):
        broken_path(folder, index).unlink(missing_ok=True)
    for name in (_NAMES, JOB):
        (folder / name).unlink(missing_ok=True)
    return True
