"""Fixtures of the image tests: the hostile server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `hostile`, here and in the processes that tests start

from hostile import HostileServer, hostile_server


@pytest.fixture
def server() -> Iterator[HostileServer]:
    """A hostile server on the loopback address."""
    with hostile_server() as running:
        yield running
