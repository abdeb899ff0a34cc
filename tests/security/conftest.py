"""One worker process for all hostile files of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.security.guard import Guard


@pytest.fixture(scope="session")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """Opens files in another process; see `tests.security.worker`."""
    if sys.platform != "linux":
        pytest.skip("watching a process this closely needs Linux")
    made = Guard(tmp_path_factory.mktemp("hostile"))
    yield made
    made.close()
