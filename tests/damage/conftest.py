"""The specimens, made once for a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.damage.matrix import Matrix
from tests.damage.specimen import Specimens, make_specimens


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> Specimens:
    return make_specimens(tmp_path_factory.mktemp("specimens"))


@pytest.fixture(scope="session")
def matrix_of(request: pytest.FixtureRequest, specimens: Specimens) -> Iterator[Callable[[str], Matrix]]:
    """The outcomes of a suite; those of the chosen tests are begun at once, but where other processes share them."""
    made: dict[str, Matrix] = {}

    def of(suite: str) -> Matrix:
        if suite not in made:
            chosen = [
                item.callspec.params["case"]
                for item in request.session.items
                if (suite in getattr(item, "fixturenames", ()) or (suite == "networks" and "network" in item.name))
                and "case" in getattr(item, "callspec", NoCase).params
            ]
            alone = "workerinput" not in vars(request.config)
            made[suite] = Matrix(suite, specimens.folder, dict.fromkeys(chosen) if alone else ())
        return made[suite]

    yield of
    for each in made.values():
        each.close()


class NoCase:
    """Of a test without parameters."""

    params: dict[str, Path] = {}  # noqa: RUF012
