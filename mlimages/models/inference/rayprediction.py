"""Units of pictures over the actors of a Ray Data pipeline, each of which holds the teacher.

Every node must see the pictures and the folder of the table under the same paths, as on a shared file system; the
teacher travels once, through Ray's object store, then only numbers of units and descriptions of parts do.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pyarrow as pa

from mlimages.errors import MlimagesError, import_extra
from mlimages.job.ray import quiet, until_first_error
from mlimages.models.inference.predictionunit import UnitMaker
from mlimages.storage.manifest import Part


def run_on_ray(maker: UnitMaker, waiting: list[int], *, device: str, workers: int) -> Iterator[Part]:
    """Make the parts of units with `workers` actors; a running Ray is used, else one is begun and ended here.

    Raises
    ------
    MissingExtraError
        Where Ray is not installed.
    MlimagesError
        What the first unit, by number, raised.
    """
    ray = import_extra("ray", extra="ray")
    data = import_extra("ray.data", extra="ray")
    if not waiting:
        return
    begun_here = not ray.is_initialized()
    if begun_here:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        with quiet(data):
            kept = ray.put(replace(maker, workers=1))  # an actor has a processor
            blocks = [pa.table({"unit": pa.array([index], pa.int64())}) for index in waiting]
            made = data.from_arrow(blocks).map_batches(
                _Actor,
                fn_constructor_args=(kept, device),
                batch_size=1,
                batch_format="pyarrow",
                concurrency=min(workers, len(waiting)),
                num_cpus=1,
                num_gpus=1 if device == "cuda" else 0,
            )
            with closing(iter(made.iter_rows())) as rows:  # ends what still runs before Ray itself is ended
                yield from until_first_error((pickle.loads(row["made"]) for row in rows), waiting)
    finally:
        if begun_here:
            ray.shutdown()


class _Actor:
    """Holds the teacher, and makes a part for each unit it is handed."""

    def __init__(self, kept: Any, device: str) -> None:
        ray = import_extra("ray", extra="ray")
        self._maker: UnitMaker = ray.get(kept)
        self._maker.teacher.on(device)

    def __call__(self, batch: pa.Table) -> pa.Table:
        made = []
        for index in batch.column("unit").to_pylist():
            try:
                result: Part | BaseException = self._maker.make(index)
            except (MlimagesError, OSError) as error:  # as a value: raised, it would reach the caller wrapped
                result = error
            made.append(pickle.dumps((index, result)))
        return pa.table({"made": pa.array(made, pa.binary())})
