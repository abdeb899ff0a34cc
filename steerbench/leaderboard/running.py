"""One finder in a process of its own, with its time, its memory and its pictures counted."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerbench.errors import CapabilityError
from steerbench.types import Generator, Traversal, load_traversal


@dataclass(frozen=True)
class FinderRun:
    """What a finder gave, and what it took.

    Attributes:
        finder: Its name.
        directions: Empty where it refuses the generator, for a ``reason``.
        seconds: Of ``fit``, by the clock.
        megabytes: By how much the process's peak of memory grew during ``fit``; NaN on systems
            that do not tell.
        pictures: Codes that were walked through the generator, in full or in part.
        reason: Why it cannot work here.
    """

    finder: str
    directions: tuple[Traversal, ...] = ()
    seconds: float = float("nan")
    megabytes: float = float("nan")
    pictures: int = 0
    reason: str = ""


def run_finder(
    name: str, finder: type[Any], options: Mapping[str, Any], build: Callable[[], Generator]
) -> FinderRun:
    """Run a finder in a fresh process, so that no other one has warmed up anything for it.

    Args:
        name: What it is called in tables.
        finder: Its class; one that can be imported by name there.
        options: Of the finder; what it has no argument for is left out by the caller.
        build: Gives the generator; a function that can be pickled.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            task = pool.submit(_fit, finder, dict(options), build, folder)
            seconds, megabytes, pictures, reason = task.result()
        files = sorted(Path(folder).glob("*.safetensors"))
        directions = tuple(load_traversal(path) for path in files)
    return FinderRun(name, directions, seconds, megabytes, pictures, reason)


def _fit(
    kind: type[Any], options: dict[str, Any], build: Callable[[], Generator], folder: str
) -> tuple[float, float, int, str]:
    generator = build()
    walks = _count_codes(generator)
    before, start = _peak(), time.perf_counter()
    try:
        finder = kind(**options).fit(generator)
    except CapabilityError as error:
        return float("nan"), float("nan"), 0, str(error)
    seconds, megabytes = time.perf_counter() - start, _peak() - before
    for index, direction in enumerate(finder.directions_):
        direction.save(Path(folder) / f"{index:05d}.safetensors")
    return seconds, megabytes, sum(walks), ""


def _count_codes(generator: Any) -> list[int]:
    """Let a generator note how many codes walk through its layers."""
    walked: list[int] = []
    run = generator.run

    def counting(state: Any, **options: Any) -> Any:
        walked.append(max(len(state.x), *(len(part) for part in state.inputs), 0))
        return run(state, **options)

    generator.run = counting
    return walked


def _peak() -> float:
    """Return the peak of this process's memory so far, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: its ru_maxrss begins with the peak of the parent process
        (line,) = (text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
