"""How a notebook is run for its tests."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
PATIENCE = 600
"""Seconds that a cell may take by the clock."""
COST = """
import pathlib, re, resource
used = resource.getrusage(resource.RUSAGE_SELF)
status = pathlib.Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
print("cost", used.ru_utime + used.ru_stime, peak[1] if peak else used.ru_maxrss)
"""
"""Run after the last cell: the kernel's own seconds, and its peak in kilobytes (on Linux, where
``ru_maxrss`` would begin with the peak of the process that started the kernel)."""


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


class Executed(NamedTuple):
    """A notebook that ran, and the seconds by the clock that it took."""

    notebook: NotebookNode
    seconds: float


def execute(path: Path, folder: Path) -> Executed:
    """Run a chapter in an empty folder; its kernel imports the package that is tested.

    All share a cache beside their folders.
    """
    folder.mkdir(parents=True)
    notebook = read(path)
    notebook.cells.append(nbformat.v4.new_code_cell(COST))
    start = time.perf_counter()
    client = NotebookClient(
        notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}}
    )
    ours = {"PYTHONPATH": str(FOLDER.parent), "STEERBENCH_CACHE": str(folder.parent / "cache")}
    client.execute(env=os.environ | ours)
    return Executed(notebook, time.perf_counter() - start)
