"""The same work in several processes on one machine, one thread each, gradients averaged.

A signal that ends a program (SIGTERM, SIGINT) reaches every process of the work, which may finish
what it is at (`on_signals`). Where one process dies, the others end too, and `launch` raises.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import distributed, multiprocessing


def launch(
    work: Callable[..., None],
    workers: int,
    *arguments: Any,
    started: Callable[[Sequence[int]], None] = lambda pids: None,
) -> None:
    """Call `work(*arguments)` here, or in `workers` processes that know of one another.

    Args:
        work: A function of a module, which the processes import.
        workers: How many processes; 1 for none but this one.
        arguments: What it is called with, the same in every process.
        started: Called with the ids of the processes that were started, none where none was.

    Raises:
        torch.multiprocessing.ProcessExitedException, ProcessRaisedException: One of them died.
    """
    if workers == 1:
        started([])
        work(*arguments)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.spawn(_join, (workers, port, work, arguments), workers, join=False)
    pids = context.pids()
    started(pids)
    with on_signals(lambda: _terminate(pids)):
        while not context.join():
            pass


@contextlib.contextmanager
def on_signals(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` on SIGTERM and SIGINT, which end nothing by themselves within the block."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: act()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _join(
    rank: int, workers: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=workers)
    try:
        work(*arguments)
    finally:
        distributed.destroy_process_group()
