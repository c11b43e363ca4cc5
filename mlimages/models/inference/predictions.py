"""A teacher's predictions for many images: resumable, with the same bytes however the work is distributed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mlimages.annotate.tables.predictions import PREDICTIONS, PredictionTable, PredictionWriter
from mlimages.errors import MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.job.folder import SCRATCH, check_free
from mlimages.job.job import Job, Progress, Report
from mlimages.job.local import cores
from mlimages.job.task import Engine
from mlimages.models.data.sources import NameList, Pictures, open_pictures
from mlimages.models.inference.predictionunits import PredictionMaker, PredictionTask, gather_broken
from mlimages.models.inference.sharing import run_on_ranks
from mlimages.models.inference.teacher import Teacher
from mlimages.models.ranks import joined
from mlimages.storage.files import replacing
from mlimages.storage.manifest import CATEGORIES

#: Images of a unit, which becomes a part.
UNIT_IMAGES = 4096
#: Images in a batch of the teacher.
BATCH = 64
#: File beside the parts that lists images that could not be read: name and reason.
BROKEN = "broken.tsv"

_NAMES = "names.parquet"
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
    """Predict the labels of images, and write a table of predictions.

    Under ``torchrun`` the units of images are distributed over the processes; with ``engine="ray"`` the actors of a Ray
    Data pipeline do. The bytes of the table do not depend on that, nor on `workers`, on machines of one kind.

    An image that cannot be read has no row: ``broken.tsv`` lists it with the reason, and the manifest counts them.

    Parameters
    ----------
    teacher : Teacher
        From :func:`mlimages.models.load_teacher`, or constructed directly.
    images : path-like
        A folder of images, packed images, or an annotation table that names images.
    out : path-like
        Folder of the table, new or empty.
    root : path-like, optional
        For an annotation table: the folder that its names are relative to.
    threshold : float
        Scores up to this are left out; a negative one keeps all.
    top : int, optional
        Maximum number of labels per image; the most probable ones are kept.
    batch : int
        Images in a batch of the teacher.
    unit_images : int
        Images in a part.
    device : str
        ``auto``, ``cpu``, ``cuda``.
    workers : int, optional
        Batches that are read and computed at once, in threads, or actors with Ray; as many as there are cores (for
        each rank, its share of them) by default.
    engine : {"local", "ray"}
        Where the work is done.
    resume : bool
        Resume an interrupted job.
    progress : callable, optional
        Called with a :class:`~mlimages.job.job.Progress` after every part that this process made.

    Raises
    ------
    JobError
        If `out` is not empty, or the job to resume was begun with other images, options or another teacher.
    MlimagesError
        For invalid options, and if there are no images.
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
    names = NameList(folder / SCRATCH / _NAMES, unit_images)
    source = {"images": os.fspath(images), "root": None if root is None else os.fspath(root)}
    with joined(device, backend="gloo", timeout=_WAIT) as ranks, ExitStack() as stack:
        if engine == "ray" and ranks.world > 1:
            raise MlimagesError("engine ray shares the work itself: start one process, without torchrun")
        workers = workers or max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        maker = PredictionMaker(
            writer=writer,
            teacher=teacher,
            names=names,
            pictures=pictures,
            batch=batch,
            workers=1 if engine == "ray" else workers,  # an actor has a processor
            device=ranks.device,
        )

        def run(run_engine: str | Engine) -> None:
            check_free(folder, resume=resume)  # says what is in the way before all names are listed
            listed, count, digest = stack.enter_context(_listed(pictures, os.fspath(images), unit_images))
            options = {"format": PREDICTIONS, **source, "names": count, "names_xxh3_128": digest}
            job = Job(
                maker=maker,
                metadata=writer.table_metadata,
                options={**options, "unit_images": unit_images},
                inputs=pictures.inputs,
                stage=partial(_keep_names, listed.path, names.path),
                beside=partial(_write_beside, hierarchy=teacher.hierarchy),
            )
            tasks = [PredictionTask(index) for index in range(len(listed))]
            at_once = workers if engine == "ray" else 1
            job.run(tasks, engine=run_engine, workers=at_once, resume=resume, progress=progress)

        if ranks.world == 1:
            run(engine)
        else:
            run_on_ranks(ranks, maker, run)
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
    """The preprocessing of the teacher's input."""
    preprocessing = teacher.preprocessing
    return {
        "size": preprocessing.size,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "crop": teacher.crop,
    }


@contextmanager
def _listed(pictures: Pictures, source: str, unit_images: int) -> Iterator[tuple[NameList, int, str]]:
    """List the names in a temporary folder, with their number and hash: until the job has begun, another process may
    hold its own.

    A job that goes on lists them again, and must find the same.
    """
    with tempfile.TemporaryDirectory(prefix="mlimages-names-") as folder:
        names = NameList(Path(folder) / _NAMES, unit_images)
        yield names, *names.write(pictures.names(), source=source)


def _keep_names(listed: Path, target: Path, scratch: Path, /, *, workers: int, progress: Report) -> None:  # noqa: ARG001
    """Put the list of names where all workers read it; a :class:`~mlimages.job.job.Stage`."""
    scratch.mkdir(exist_ok=True)
    with listed.open("rb") as names, replacing(target) as file:
        shutil.copyfileobj(names, file)


def _write_beside(folder: Path, *, hierarchy: Hierarchy) -> None:
    """Write the categories, and which images could not be read."""
    with replacing(folder / CATEGORIES) as file:
        hierarchy.to_parquet(file.name)
    gather_broken(folder, folder / BROKEN)
