"""Notebooks begin to run as soon as it is known which of them are wanted, beside the other tests.

A kernel computes on one core, and so does the process of the tests.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.notebooks.running import FOLDER, Executed, execute

POOL = pytest.StashKey[ThreadPoolExecutor]()
RUNS = pytest.StashKey[dict[Path, Future[Executed]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask for them last, so that nobody waits for a notebook while there is anything else to do."""
    items.sort(key=is_ours)


def is_ours(item: pytest.Item) -> bool:
    return item.path.parent == Path(__file__).parent


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start them, in the order of their tests."""
    if session.config.option.collectonly:
        return
    ours = [item for item in session.items if is_ours(item)]
    wanted = [item.callspec.params["path"] for item in ours if "executed" in item.fixturenames]
    home = Path(tempfile.mkdtemp(prefix="notebooks-"))
    pool = session.config.stash[POOL] = ThreadPoolExecutor(
        1 if len(session.items) > len(ours) else 2
    )
    session.config.stash[RUNS] = {
        path: pool.submit(execute, path, home / path.relative_to(FOLDER).with_suffix(""))
        for path in wanted
    }


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let go of what nobody waits for any more."""
    pool = session.config.stash.get(POOL, None)
    if pool is not None:
        pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture(scope="session")
def executed(request: pytest.FixtureRequest) -> Callable[[Path], Executed]:
    """The notebook of a path, run; waits until it is."""
    return lambda path: request.config.stash[RUNS][path].result()
