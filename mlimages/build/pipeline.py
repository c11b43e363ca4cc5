"""Runs the steps of a build in order and skips those that are done."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path

from mlimages.build.config import BuildConfig
from mlimages.build.step import MANIFEST, BuildManifest, Step, check_free
from mlimages.build.steps import check_inputs, steps_of
from mlimages.errors import import_extra
from mlimages.job.folder import held

_WAIT = timedelta(days=30)
_log = logging.getLogger(__name__)


def build(config: BuildConfig | str | os.PathLike[str], *, report: Callable[[str, str], None] | None = None) -> Path:
    """Build a data set by the published method.

    ================  ==============================================================================================
    step and folder   output
    ================  ==============================================================================================
    open-images       the table of the Open Images lists: labels that the hierarchy lacks removed, ancestors added
    imagenet          the same for the ImageNet lists
    teacher           a network trained on the open-images table (unless one is loaded)
    predictions       the teacher's predictions for the images of the imagenet table
    cooccurrence      the counts, ``cooccurrence.parquet``, and their rules, ``rules.csv``
    train             the final table: both lists with ancestors and rules
    validation        the final table of the validation lists
    statistics        counts and figures of the final tables
    ================  ==============================================================================================

    A step is skipped if its inputs (by content), parameters and outputs are unchanged; an interrupted step is resumed.
    ``build.json`` records these. Under ``torchrun`` all processes share training and prediction.

    Parameters
    ----------
    config : BuildConfig or path-like
        The configuration; see ``docs/build.toml``.
    report : callable, optional
        Called with the name of each step and its state: ``skipped``, ``begun``, ``resumed``, ``done``.

    Returns
    -------
    pathlib.Path
        Path of ``build.json``.

    Raises
    ------
    MlimagesError
        If a step fails, or another process builds in the same folder.
    """
    known = config if isinstance(config, BuildConfig) else BuildConfig.from_toml(config)
    folder = Path(known.out)
    tell = report or partial(_log.info, "%s: %s")
    import_extra("torch", extra="train")
    from mlimages.models.ranks import joined

    with ExitStack() as stack, joined("cpu", backend=_backend(), timeout=_WAIT) as ranks:
        ranks.share(lambda: check_inputs(known))
        manifest = ranks.share(partial(_open, folder, known, stack))
        for step in steps_of(known, folder):
            resume = ranks.share(partial(manifest.begin, step))
            if ranks.first:
                tell(step.name, "skipped" if resume is None else "resumed" if resume else "begun")
            if resume is None:
                continue
            if step.together:
                step.run(folder / step.name, resume)
            else:
                ranks.share(partial(_run, step, folder / step.name, resume))
            ranks.share(partial(manifest.finish, step))
            if ranks.first:
                tell(step.name, "done")
    return folder / MANIFEST


def _open(folder: Path, config: BuildConfig, stack: ExitStack) -> BuildManifest:
    """Hold the folder until `stack` is closed, and read the manifest, or begin it."""
    check_free(folder)
    stack.enter_context(held(folder))
    return BuildManifest.open(folder, asdict(config))


def _run(step: Step, place: Path, resume: bool) -> None:
    step.run(place, resume)  # its result is not shared with the other ranks


def _backend() -> str:
    """Gloo for objects; NCCL as well for gradients if there are GPUs."""
    torch = import_extra("torch", extra="train")
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
