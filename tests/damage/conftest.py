"""The specimens, and the process that works on copies of them, made once for a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.damage.matrix import Matrix, Worker
from tests.damage.specimen import Specimens, make_specimens


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> Specimens:
    return make_specimens(tmp_path_factory.mktemp("specimens"))


@pytest.fixture(scope="session")
def worker(specimens: Specimens) -> Iterator[Worker]:
    made = Worker(specimens.folder)
    yield made
    made.close()


@pytest.fixture(scope="session")
def matrix_of(worker: Worker) -> Callable[[str], Matrix]:
    """The outcomes of a suite."""
    return cache(lambda suite: Matrix(suite, worker))
