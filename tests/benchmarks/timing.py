"""Times that can be trusted beside other work: calls in turn, and how busy the threads were."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

THREADS = 2
BUSY = 1.75
"""Two undisturbed threads spend at least so many processor seconds a second."""


@dataclass(frozen=True)
class Timing:
    """The quickest of several calls.

    Attributes:
        milliseconds: By the clock on the wall.
        busy: Processor time over wall time; below `BUSY` another process disturbed it, unless the
            work is too small to keep two threads busy.
    """

    milliseconds: float
    busy: float

    @property
    def disturbed(self) -> bool:
        return self.busy < BUSY

    @property
    def processor(self) -> float:
        """Milliseconds of processor time, of which other processes take none."""
        return self.milliseconds * self.busy

    def over(self, other: Timing) -> float:
        """How many times as long as another; by processor time where one was disturbed."""
        if self.disturbed or other.disturbed:
            return self.processor / other.processor
        return self.milliseconds / other.milliseconds

    def __str__(self) -> str:
        return f"{self.milliseconds:.3g} ms" + (" (disturbed)" if self.disturbed else "")


@contextmanager
def threads(count: int = THREADS) -> Iterator[None]:
    """So many threads inside, as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turn(
    calls: Mapping[str, Callable[[], object]], *, seconds: float = 5.0
) -> dict[str, Timing]:
    """Time calls, one after the other and over again, so that all meet the same machine.

    The first round prepares kernels and is not counted. Of undisturbed calls the quickest counts,
    else the one of least processor time. Rounds end when so many seconds are spent and each call
    was undisturbed once, or three times as many; there are three at least.
    """
    for call in calls.values():
        call()
    best: dict[str, Timing] = {}
    began, rounds = time.perf_counter(), 0
    while rounds < 3 or _worth_more(best, time.perf_counter() - began, seconds):
        for name, call in calls.items():
            timing = _once(call)
            if name not in best or _better(timing, best[name]):
                best[name] = timing
        rounds += 1
    return best


def _once(call: Callable[[], object]) -> Timing:
    wall, busy = time.perf_counter(), time.process_time()
    call()
    busy, wall = time.process_time() - busy, time.perf_counter() - wall
    return Timing(1000 * wall, busy / wall)


def _better(new: Timing, old: Timing) -> bool:
    if new.disturbed and old.disturbed:
        return new.processor < old.processor
    return (new.disturbed, new.milliseconds) < (old.disturbed, old.milliseconds)


def _worth_more(best: Mapping[str, Timing], spent: float, seconds: float) -> bool:
    clean = not any(timing.disturbed for timing in best.values())
    return spent < (seconds if clean else 3 * seconds)


def processor() -> str:
    """Its name, and which instructions for bfloat16 it has."""
    table = Path("/proc/cpuinfo")
    if not table.is_file():
        return "unknown"
    rows = dict(line.split(":", 1) for line in table.read_text().splitlines() if ":" in line)
    rows = {key.strip(): value.strip() for key, value in rows.items()}
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in rows.get("flags", "").split()]
    family = f"family {rows.get('cpu family', '?')}, model {rows.get('model', '?')}"
    return f"{rows.get('model name', 'unknown')} ({family}; {' '.join(flags) or 'no bfloat16'})"
